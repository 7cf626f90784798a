package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		URL:     os.Getenv("SENTRY_FLAGS_WEBHOOK_URL"),
		Secrets: []signing.Secret{signing.NewSecret(os.Getenv("SENTRY_FLAGS_WEBHOOK_SECRET"))},
	})
	if err != nil {
		return fmt.Errorf("SENTRY_FLAGS_WEBHOOK_URL and SENTRY_FLAGS_WEBHOOK_SECRET: %w", err)
	}
	if err := client.Check(ctx); err != nil {
		fmt.Fprintf(out, "audit: changes wait until this is mended: %v\n", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	b, err := newBackend(ctx, d, client)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: b.handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Fprintf(out, "audit: serving on %s\n", listener.Addr())
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(err, server.Shutdown(drain), b.close(drain))
}
