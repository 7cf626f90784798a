package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// drainTime is how long the end may take: what is not delivered by then stays in
// the database for the next start.
const drainTime = 10 * time.Second

// serve runs one back end until ctx ends.
func serve(ctx context.Context, d database, address string, out io.Writer) error {
	client, err := webhook.NewClient(webhook.Config{
		URL:     os.Getenv("SENTRY_FLAGS_URL"),
		Secrets: []signing.Secret{signing.NewSecret(os.Getenv("SENTRY_FLAGS_SECRET"))},
	})
	if err != nil {
		return fmt.Errorf("SENTRY_FLAGS_URL and SENTRY_FLAGS_SECRET: %w", err)
	}
	if err := client.Check(ctx); err != nil {
		fmt.Fprintf(out, "audit: Sentry cannot be reached; changes wait until it can: %v\n", err)
	}
	b, err := newBackend(ctx, d, client)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, Handler: b.handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Fprintf(out, "audit: serving on %s\n", address)
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(err, server.Shutdown(drain), b.close(drain))
}
