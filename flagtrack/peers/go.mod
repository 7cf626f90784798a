module github.com/sentryflags/sentryflags-go/flagtrack/peers

go 1.26.0

require (
	github.com/getsentry/sentry-go v0.50.0
	github.com/open-feature/go-sdk v1.20.0
	github.com/sentryflags/sentryflags-go v0.1.0
	go.opentelemetry.io/otel/sdk v1.40.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/open-feature/go-sdk-contrib/hooks/open-telemetry v0.3.7
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel v1.40.0 // indirect
	go.opentelemetry.io/otel/metric v1.40.0 // indirect
	go.opentelemetry.io/otel/trace v1.40.0 // indirect
	go.uber.org/mock v0.6.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/sentryflags/sentryflags-go => ../..
