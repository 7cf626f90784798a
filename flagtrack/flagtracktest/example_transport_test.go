package flagtracktest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

// A program whose errors go through the current hub is tested with a transport of sentry.Init.
func ExampleTransport() {
	var sent flagtracktest.Transport
	if err := sentry.Init(sentry.ClientOptions{Dsn: "https://key@sentry.example.com/1", Transport: &sent}); err != nil {
		fmt.Println(err)
		return
	}
	defer sentry.CurrentHub().Client().Close()
	hub := sentry.CurrentHub().Clone() // as sentryhttp makes one for each request
	ctx := sentry.SetHubOnContext(context.Background(), hub)
	flagtrack.AddFeatureFlag(ctx, "new-checkout", true)
	hub.CaptureException(errors.New("payment declined"))

	fmt.Println(flagtracktest.Flags(sent.Last()))
	// Output: [{new-checkout true}]
}
