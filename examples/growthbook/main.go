// Command growthbook shows errors that carry the flags of GrowthBook's Go SDK,
// without OpenFeature.
//
//	go run ./examples/growthbook
//
// It needs no account: the features come from a file, and the flags of each
// error are printed instead of sent.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"github.com/getsentry/sentry-go"
	"github.com/growthbook/growthbook-golang"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

//go:embed features.json
var features string

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "growthbook:", err)
		os.Exit(1)
	}
}

// record is GrowthBook's FeatureUsageCallback: it is called on each evaluation,
// with the context of the evaluation. A feature that does not exist has no value
// and counts as off.
func record(ctx context.Context, feature string, result *growthbook.FeatureResult, _ any) {
	value := result.Value
	if value == nil {
		value = result.On
	}
	flagtrack.AddFeatureFlag(ctx, feature, value)
}

// newClient reads the features of the file. Yours has WithClientKey and a data
// source in place of WithJsonFeatures.
func newClient(ctx context.Context) (*growthbook.Client, error) {
	return growthbook.NewClient(ctx, growthbook.WithJsonFeatures(features), growthbook.WithFeatureUsageCallback(record))
}

// watch is a unit of work that fails.
func watch(ctx context.Context, client *growthbook.Client, user string) error {
	about, err := client.WithAttributes(growthbook.Attributes{"id": user})
	if err != nil {
		return err
	}
	for _, feature := range []string{"new-player", "autoplay", "not-in-growthbook"} {
		about.EvalFeature(ctx, feature)
	}
	sentry.GetHubFromContext(ctx).CaptureException(fmt.Errorf("playback failed for %s", user))
	return nil
}

func run(ctx context.Context) error {
	var sent flagtracktest.Transport // yours sends: leave it out, and set your DSN
	if err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@127.0.0.1/1", Transport: &sent}); err != nil {
		return err
	}
	client, err := newClient(ctx)
	if err != nil {
		return err
	}
	for _, user := range []string{"ada", "grace"} {
		if err := watch(flagtrack.Fork(ctx), client, user); err != nil { // in an HTTP service, sentryhttp forks
			return err
		}
		fmt.Println(sent.Last().Exception[0].Value, flagtracktest.Flags(sent.Last()))
	}
	return client.Close()
}
