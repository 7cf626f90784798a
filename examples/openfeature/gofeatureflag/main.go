// Command gofeatureflag shows errors that carry the flags of GO Feature Flag,
// evaluated in the process through OpenFeature.
//
//	GOWORK=off go -C examples/openfeature run ./gofeatureflag
//
// It needs no server: flags come from a file, and errors are printed, not sent.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"github.com/getsentry/sentry-go"
	"github.com/open-feature/go-sdk/openfeature"
	goff "github.com/thomaspoignant/go-feature-flag"
	"github.com/thomaspoignant/go-feature-flag/ffcontext"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

//go:embed flags.yaml
var flags []byte

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "gofeatureflag:", err)
		os.Exit(1)
	}
}

// file is a retriever; GO Feature Flag has others for files on disk, git, S3.
type file []byte

func (f file) Retrieve(context.Context) ([]byte, error) { return f, nil }

// provider stands for GO Feature Flag's own ones, and knows booleans only.
type provider struct{ openfeature.NoopProvider }

func (provider) BooleanEvaluation(_ context.Context, flag string, def bool, about openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	user, _ := about[openfeature.TargetingKey].(string)
	value, err := goff.BoolVariation(flag, ffcontext.NewEvaluationContext(user), def)
	detail := openfeature.BoolResolutionDetail{Value: value}
	if err != nil {
		detail.ResolutionError = openfeature.NewGeneralResolutionError(err.Error())
	}
	return detail
}

// watch is a unit of work that fails.
func watch(ctx context.Context, user string) {
	client, about := openfeature.NewDefaultClient(), openfeature.NewEvaluationContext(user, nil)
	for _, flag := range []string{"new-player", "autoplay", "not-in-the-file"} {
		client.Boolean(ctx, flag, false, about)
	}
	sentry.GetHubFromContext(ctx).CaptureException(fmt.Errorf("playback failed for %s", user))
}

func run(ctx context.Context) error {
	var sent flagtracktest.Transport // yours sends: leave it out, and set your DSN
	if err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@127.0.0.1/1", Transport: &sent}); err != nil {
		return err
	}
	if err := goff.Init(goff.Config{Retriever: file(flags)}); err != nil {
		return err
	}
	defer goff.Close()
	openfeature.AddHooks(flagtrack.NewHook()) // once, for the whole program
	if err := openfeature.SetProviderWithContextAndWait(ctx, provider{}); err != nil {
		return err
	}
	for _, user := range []string{"ada", "grace"} {
		watch(flagtrack.Fork(ctx), user) // in an HTTP service, sentryhttp gives each request its own
		fmt.Println(sent.Last().Exception[0].Value, flagtracktest.Flags(sent.Last()))
	}
	return nil
}
