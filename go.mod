module github.com/sentryflags/sentryflags-go

go 1.26.0

require (
	github.com/BurntSushi/toml v1.6.0
	github.com/getsentry/sentry-go v0.47.0
	github.com/go-json-experiment/json v1.27.2
	github.com/google/go-cmp v0.7.0
	github.com/open-feature/go-sdk v1.18.0
	go.uber.org/goleak v1.3.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/time v0.16.0
	pgregory.net/rapid v1.3.0
)

require (
	go.uber.org/mock v0.6.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
