// Command flagd shows errors that carry the flags of flagd's OpenFeature
// provider.
//
//	GOWORK=off go -C examples/openfeature run ./flagd
//
// It needs no server: the provider evaluates in the process, from a file, and
// the flags of each error are printed instead of sent.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/getsentry/sentry-go"
	flagd "github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk/openfeature"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

//go:embed flags.json
var flags []byte

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "flagd:", err)
		os.Exit(1)
	}
}

// watch is a unit of work that fails.
func watch(ctx context.Context, user string) {
	client, about := openfeature.NewDefaultClient(), openfeature.NewEvaluationContext(user, nil)
	for _, flag := range []string{"new-player", "autoplay", "not-in-flagd"} {
		client.Boolean(ctx, flag, false, about)
	}
	sentry.GetHubFromContext(ctx).CaptureException(fmt.Errorf("playback failed for %s", user))
}

func run(ctx context.Context) error {
	var sent flagtracktest.Transport // yours sends: leave it out, and set your DSN
	if err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@127.0.0.1/1", Transport: &sent}); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "flagd")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "flags.json") // in place of yours
	if err := os.WriteFile(file, flags, 0o600); err != nil {
		return err
	}
	provider, err := flagd.NewProvider(flagd.WithFileResolver(), flagd.WithOfflineFilePath(file))
	if err != nil {
		return err
	}
	openfeature.AddHooks(flagtrack.NewHook()) // once, for the whole program
	if err := openfeature.SetProviderWithContextAndWait(ctx, provider); err != nil {
		return err
	}
	defer openfeature.Shutdown()
	for _, user := range []string{"ada", "grace"} {
		watch(flagtrack.Fork(ctx), user) // in an HTTP service, sentryhttp gives each request its own
		fmt.Println(sent.Last().Exception[0].Value, flagtracktest.Flags(sent.Last()))
	}
	return nil
}
