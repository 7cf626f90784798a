// Command launchdarkly shows a flag system without OpenFeature: LaunchDarkly's
// Go SDK tells its hooks about each evaluation, and a hook of a few lines passes
// it on to flagtrack.AddFeatureFlag.
//
//	go run ./examples/launchdarkly
//
// It needs no account: the flags come from LaunchDarkly's own test data source,
// and the flags of each error are printed instead of sent.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	ldclient "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/ldhooks"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "launchdarkly:", err)
		os.Exit(1)
	}
}

// sentryHook passes what an application received from LaunchDarkly on to Sentry.
// Register it in the Hooks of LaunchDarkly's configuration.
type sentryHook struct{ ldhooks.Unimplemented }

// Metadata names the hook in LaunchDarkly's own log.
func (sentryHook) Metadata() ldhooks.Metadata { return ldhooks.NewMetadata("sentry flags") }

// AfterEvaluation is called with the value that the application gets, which is
// its own default if the evaluation failed.
func (sentryHook) AfterEvaluation(
	ctx context.Context, series ldhooks.EvaluationSeriesContext,
	data ldhooks.EvaluationSeriesData, detail ldreason.EvaluationDetail,
) (ldhooks.EvaluationSeriesData, error) {
	flagtrack.AddFeatureFlag(ctx, series.FlagKey(), detail.Value.AsArbitraryValue())
	return data, nil
}

func run(ctx context.Context, out io.Writer) error {
	err := sentry.Init(sentry.ClientOptions{
		Dsn: "http://key@127.0.0.1/1", // nothing is sent there
		BeforeSend: func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
			printFlags(out, event)
			return nil
		},
	})
	if err != nil {
		return err
	}

	flags := ldtestdata.DataSource()
	flags.Update(flags.Flag("new-player").VariationForUser("ada", true).FallthroughVariation(false))
	flags.Update(flags.Flag("autoplay").VariationForAll(true))
	client, err := ldclient.MakeCustomClient("sdk-key", ldclient.Config{
		DataSource: flags,
		Events:     ldcomponents.NoEvents(),
		Logging:    ldcomponents.NoLogging(),
		Hooks:      []ldhooks.Hook{sentryHook{}},
	}, 5*time.Second)
	if err != nil {
		return err
	}
	for _, user := range []string{"ada", "grace"} {
		if err := watch(ctx, client, user); err != nil {
			return errors.Join(err, client.Close())
		}
	}
	return client.Close()
}

// watch is a unit of work that fails. Its hub keeps its flags apart from those
// of others; in an HTTP service sentryhttp does that.
func watch(ctx context.Context, client *ldclient.LDClient, user string) error {
	hub := sentry.CurrentHub().Clone()
	ctx = sentry.SetHubOnContext(ctx, hub)
	about := ldcontext.New(user)

	// The variants of the methods that take a context are what ties an
	// evaluation to the work.
	for _, flag := range []string{"new-player", "autoplay"} {
		if _, err := client.BoolVariationCtx(ctx, flag, about, false); err != nil {
			return err
		}
	}
	// A flag that does not exist gives the default, and that is recorded.
	if on, err := client.BoolVariationCtx(ctx, "subtitles", about, true); err == nil || !on {
		return errors.New("a flag that does not exist was found")
	}
	hub.CaptureException(fmt.Errorf("playback failed for %s", user))
	return nil
}

func printFlags(out io.Writer, event *sentry.Event) {
	encoded, err := json.Marshal(event.Contexts["flags"])
	if err != nil {
		return
	}
	fmt.Fprintf(out, "%-25s %s\n", event.Exception[0].Value, encoded)
}
