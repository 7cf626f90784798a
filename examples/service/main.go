// Command service is one process with all three flows: a shop with an HTTP and a
// gRPC front evaluates flags through flagd's OpenFeature provider, its errors
// carry them beside OpenTelemetry's traces, what people change in the flag file
// stands in Sentry's flag log, and an alert switches a flag off in that file.
//
//	GOWORK=off go -C examples/service run .
//
// It needs no account: a stand-in for Sentry takes the errors, raises the alert
// and has the flag log. The program calls its own shop 1,000 times a second; a
// person gives a flag to half of the users, and it breaks their checkout. Then
// the program goes on for a minute (-for, -rate) and says what came of it.
//
// Read service.go, which puts the flows together, and shop.go, which has them
// applied. The rest plays Sentry and the users.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

func main() {
	length := flag.Duration("for", time.Minute, "how long to go on once the shop is healthy again")
	rate := flag.Int("rate", 1000, "requests a second, at least 100")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "service: %q is not understood; see -h\n", flag.Args())
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *length, *rate)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

// run starts the service with a stand-in for Sentry, plays, and sums up. It
// returns nil only if everything came about as the last line says.
func run(ctx context.Context, out io.Writer, length time.Duration, rate int) error {
	if length < 0 || rate < 100 {
		return errors.New("-for must not be negative, and -rate must be at least 100")
	}
	folder, err := os.MkdirTemp("", "service")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	p := &play{out: out, sentry: newStandIn(), flags: filepath.Join(folder, "flags.flagd.json")}
	defer p.sentry.close()
	if err := os.WriteFile(p.flags, []byte(flagFile), 0o600); err != nil {
		return err
	}
	service, err := start(ctx, settings{
		Flags: p.flags, Store: filepath.Join(folder, "service.db"),
		FlagLog: p.sentry.flagLog.URL(), FlagSecret: p.sentry.flagLog.Secret(), ClientSecret: p.sentry.clientSecret,
		Rules: []killswitch.Rule{{
			Alert: alertName, Project: project, Evaluated: killswitch.EvaluatedOn, Target: killswitch.Target{Flag: "new-checkout"},
		}},
		DSN: "http://key@127.0.0.1/1", Transport: p.sentry, Spans: p.sentry, OnReport: p.reported,
	})
	var with, without cost
	if err == nil {
		err = p.perform(ctx, service, length, rate)
	}
	if err == nil {
		with, without = measure(ctx, service.spans)
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := errors.Join(err, service.stop(stopping)); err != nil {
		return err
	}
	return p.sumUp(with, without, rate)
}
