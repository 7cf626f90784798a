// Command launchdarkly shows errors that carry the flags of LaunchDarkly's Go
// SDK, without OpenFeature: a hook of a few lines passes each evaluation on.
//
//	go run ./examples/launchdarkly
//
// It needs no account: the flags come from LaunchDarkly's own test data source,
// and the flags of each error are printed instead of sent.
package main

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "launchdarkly:", err)
		os.Exit(1)
	}
}

// sentryHook is for the Hooks of LaunchDarkly's configuration.
type sentryHook struct{ ldhooks.Unimplemented }

func (sentryHook) Metadata() ldhooks.Metadata { return ldhooks.NewMetadata("sentry flags") }

// AfterEvaluation is told the value that the application gets: its own default if the evaluation failed.
func (sentryHook) AfterEvaluation(
	ctx context.Context, series ldhooks.EvaluationSeriesContext, data ldhooks.EvaluationSeriesData, detail ldreason.EvaluationDetail,
) (ldhooks.EvaluationSeriesData, error) {
	flagtrack.AddFeatureFlag(ctx, series.FlagKey(), detail.Value.AsArbitraryValue())
	return data, nil
}

// watch is a unit of work that fails. Only the methods with a context tie an
// evaluation to the work: of BoolVariation the hook is told no context.
func watch(ctx context.Context, client *ldclient.LDClient, user string) {
	for _, flag := range []string{"new-player", "autoplay", "not-in-launchdarkly"} {
		_, _ = client.BoolVariationCtx(ctx, flag, ldcontext.New(user), false) // the default comes with the error
	}
	sentry.GetHubFromContext(ctx).CaptureException(fmt.Errorf("playback failed for %s", user))
}

func newClient() (*ldclient.LDClient, error) {
	flags := ldtestdata.DataSource() // yours has an SDK key, and neither this nor the next two options
	flags.Update(flags.Flag("new-player").VariationForUser("ada", true).FallthroughVariation(false))
	flags.Update(flags.Flag("autoplay").VariationForAll(true))
	return ldclient.MakeCustomClient("sdk-key", ldclient.Config{
		DataSource: flags, Events: ldcomponents.NoEvents(), Logging: ldcomponents.NoLogging(),
		Hooks: []ldhooks.Hook{sentryHook{}},
	}, 5*time.Second)
}

func run(ctx context.Context) error {
	var sent flagtracktest.Transport // yours sends: leave it out, and set your DSN
	err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@127.0.0.1/1", Transport: &sent})
	client, notReady := newClient()
	if err := errors.Join(err, notReady); err != nil {
		return err
	}
	for _, user := range []string{"ada", "grace"} {
		watch(flagtrack.Fork(ctx), client, user) // in an HTTP service, sentryhttp gives each request its own
		fmt.Println(sent.Last().Exception[0].Value, flagtracktest.Flags(sent.Last()))
	}
	return client.Close()
}
