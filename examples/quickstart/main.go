// Command quickstart shows the whole loop without an account: a shop evaluates
// feature flags, an error carries them to Sentry, and changes of the flags'
// definitions reach Sentry's flag log.
//
//	go run ./examples/quickstart
//
// It starts a stand-in for Sentry on this machine, the shop, and their visitors.
// To see the same in a real Sentry, set SENTRY_DSN, SENTRY_FLAGS_WEBHOOK_URL and
// SENTRY_FLAGS_WEBHOOK_SECRET; with -flags the shop uses your own definitions, a
// file in flagd's JSON format.
//
// What it is not for: it is no load test, and its own flag engine knows only
// simple targeting rules.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
