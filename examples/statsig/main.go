// Command statsig shows errors that carry the gates of Statsig's Go SDK, without
// OpenFeature.
//
//	go run ./examples/statsig
//
// It needs no account: the SDK starts from a file in its local mode, and the
// flags of each error are printed instead of sent.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"

	"github.com/getsentry/sentry-go"
	"github.com/statsig-io/go-sdk"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

//go:embed specs.json
var specs string

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "statsig:", err)
		os.Exit(1)
	}
}

// checkGate evaluates with Statsig and records what the application received.
// Statsig's own methods and callbacks are told no context.Context, and that is
// what ties an evaluation to a request: so evaluate through a function like this.
func checkGate(ctx context.Context, client *statsig.Client, gate, user string) bool {
	pass := client.CheckGate(statsig.User{UserID: user}, gate)
	flagtrack.AddFeatureFlag(ctx, gate, pass)
	return pass
}

// watch is a unit of work that fails.
func watch(ctx context.Context, client *statsig.Client, user string) {
	for _, gate := range []string{"new-player", "autoplay", "not-in-statsig"} {
		checkGate(ctx, client, gate, user)
	}
	sentry.GetHubFromContext(ctx).CaptureException(fmt.Errorf("playback failed for %s", user))
}

// newClient starts from the file. Yours has a server secret and neither of these
// options.
func newClient() (*statsig.Client, error) {
	client, started := statsig.NewClientWithDetails("secret-none", &statsig.Options{
		LocalMode: true, BootstrapValues: specs,
	})
	if !started.Success {
		return nil, errors.Join(errors.New("no gates"), started.Error)
	}
	return client, nil
}

func run(ctx context.Context) error {
	var sent flagtracktest.Transport // yours sends: leave it out, and set your DSN
	if err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@127.0.0.1/1", Transport: &sent}); err != nil {
		return err
	}
	client, err := newClient()
	if err != nil {
		return err
	}
	defer client.Shutdown()
	for _, user := range []string{"ada", "grace"} {
		watch(flagtrack.Fork(ctx), client, user) // in an HTTP service, sentryhttp gives each request its own
		fmt.Println(sent.Last().Exception[0].Value, flagtracktest.Flags(sent.Last()))
	}
	return nil
}
