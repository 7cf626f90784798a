module github.com/sentryflags/sentryflags-go/webhook/webhookbench

go 1.26.0

require (
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/sentryflags/sentryflags-go v0.1.0
)

require github.com/hashicorp/go-cleanhttp v0.5.2 // indirect

replace github.com/sentryflags/sentryflags-go => ../../
