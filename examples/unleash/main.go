// Command unleash shows errors that carry the flags of Unleash's Go SDK, without
// OpenFeature.
//
//	go run ./examples/unleash
//
// It needs no account and no server: the SDK starts from a file, and the flags
// of each error are printed instead of sent.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"

	"github.com/Unleash/unleash-client-go/v4"
	unleashcontext "github.com/Unleash/unleash-client-go/v4/context"
	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

//go:embed features.json
var features []byte

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "unleash:", err)
		os.Exit(1)
	}
}

// isEnabled evaluates with Unleash and records what the application received.
// Unleash's own methods and listeners are told no context.Context, and that is
// what ties an evaluation to a request: so evaluate through a function like this.
func isEnabled(ctx context.Context, client *unleash.Client, feature, user string) bool {
	enabled := client.IsEnabled(feature, unleash.WithContext(unleashcontext.Context{UserId: user}))
	flagtrack.AddFeatureFlag(ctx, feature, enabled)
	return enabled
}

// watch is a unit of work that fails.
func watch(ctx context.Context, client *unleash.Client, user string) {
	for _, feature := range []string{"new-player", "autoplay", "not-in-unleash"} {
		isEnabled(ctx, client, feature, user)
	}
	sentry.GetHubFromContext(ctx).CaptureException(fmt.Errorf("playback failed for %s", user))
}

// newClient starts from the file. What the SDK keeps in backup it would prefer.
func newClient(backup string) (*unleash.Client, error) {
	return unleash.NewClient(
		unleash.WithAppName("player"), unleash.WithUrl("http://127.0.0.1:1/api"), // nobody is there
		unleash.WithStorage(&unleash.BootstrapStorage{Reader: bytes.NewReader(features)}),
		unleash.WithBackupPath(backup), unleash.WithDisableMetrics(true))
}

func run(ctx context.Context) error {
	var sent flagtracktest.Transport // yours sends: leave it out, and set your DSN
	if err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@127.0.0.1/1", Transport: &sent}); err != nil {
		return err
	}
	backup, err := os.MkdirTemp("", "unleash")
	if err != nil {
		return err
	}
	defer os.RemoveAll(backup)
	client, err := newClient(backup)
	if err != nil {
		return err
	}
	for _, user := range []string{"ada", "grace"} {
		watch(flagtrack.Fork(ctx), client, user) // in an HTTP service, sentryhttp gives each request its own
		fmt.Println(sent.Last().Exception[0].Value, flagtracktest.Flags(sent.Last()))
	}
	return client.Close()
}
