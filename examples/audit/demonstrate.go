package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

const backends = 3

// demonstrate has several back ends on one database change flags all at once,
// plays a Sentry that is down for a while, and reads its log back.
func demonstrate(ctx context.Context, d database, out io.Writer) error {
	if d.prefix == "" {
		d.prefix = fmt.Sprintf("demo%d_", time.Now().UnixNano())
	}
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()
	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		return err
	}
	fleet, err := startFleet(ctx, d, client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d back ends on one %v database; Sentry is down for the first requests\n", backends, d.dialect())
	down := webhooktest.Status(http.StatusServiceUnavailable)
	sentry.Fail(down, down, down)

	made, refused, err := fleet.edit(ctx)
	if err != nil {
		return errors.Join(err, fleet.close(ctx))
	}
	flags, err := fleet[0].flags(ctx)
	if err := errors.Join(err, fleet.close(ctx)); err != nil {
		return err
	}
	return report(ctx, out, client, sentry, made, refused, flags)
}

// fleet is several back ends that know nothing of each other.
type fleet []*backend

func startFleet(ctx context.Context, d database, client *webhook.Client) (fleet, error) {
	var f fleet
	for range backends {
		b, err := newBackend(ctx, d, client)
		if err != nil {
			return nil, errors.Join(err, f.close(ctx))
		}
		f = append(f, b)
	}
	return f, nil
}

func (f fleet) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime) // also after Ctrl-C
	defer cancel()
	var failures []error
	for i, b := range f {
		// What it emitted may be left to another back end, but not by the last.
		if i == len(f)-1 {
			failures = append(failures, b.emitter.Flush(ctx))
			if b.database.dsn != "" && strings.HasPrefix(b.database.prefix, "demo") {
				defer func() { _ = b.cleanUp(ctx) }()
			}
		}
		failures = append(failures, b.close(ctx))
	}
	return errors.Join(failures...)
}

// cleanUp removes the demonstration's tables from a database that is not its
// own.
func (b *backend) cleanUp(ctx context.Context) error {
	db, err := b.database.open()
	if err != nil {
		return err
	}
	return errors.Join(b.database.dropTables(ctx, db), db.Close())
}

// edit sends each back end its own requests, all at once.
func (f fleet) edit(ctx context.Context) (made, refused int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failures []error
	for i, b := range f {
		wg.Go(func() {
			handler := b.handler()
			user := []string{"ada", "grace", "joan"}[i%3]
			for n := range 10 {
				flag := fmt.Sprintf("flag-%d", n%4)
				status := ask(ctx, handler, http.MethodPut, flag, user, fmt.Sprintf(`{"enabled":%t}`, n%2 == 0))
				if n%5 == 4 {
					// Nobody said who; the flag stays as it is.
					status = ask(ctx, handler, http.MethodDelete, flag, "", "")
				}
				mu.Lock()
				switch status {
				case http.StatusNoContent:
					made++
				case http.StatusBadRequest:
					refused++
					made++ // the PUT before it
				case http.StatusServiceUnavailable: // two have created the same flag at once
				default:
					failures = append(failures, fmt.Errorf("a request was answered %d", status))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return made, refused, errors.Join(failures...)
}

func ask(ctx context.Context, handler http.Handler, method, flag, user, body string) int {
	request := httptest.NewRequestWithContext(ctx, method, "/flags/"+flag, strings.NewReader(body))
	request.Header.Set("X-User", user)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Code
}

// report compares the log that Sentry returns with the flags.
func report(ctx context.Context, out io.Writer, client *webhook.Client, sentry *webhooktest.Server, made, refused int, flags map[string]bool) error {
	logged := 0
	first := make(map[string]webhook.Action)
	for entry, err := range client.Logs(ctx, webhooktest.DefaultToken, webhook.LogsQuery{}) {
		if err != nil {
			return err
		}
		logged++
		if logged <= 5 {
			fmt.Fprintf(out, "  %s %s by %s\n", entry.Flag, entry.Action, entry.CreatedBy.ID)
		}
	}
	for _, change := range sentry.Changes() {
		if _, known := first[change.Flag]; !known {
			first[change.Flag] = change.Action
		}
	}
	fmt.Fprintf(out, "audit: %d changes committed, %d in Sentry's log, %d refused, %d flags\n", made, logged, refused, len(flags))
	if logged != made {
		return fmt.Errorf("%d changes were committed and %d are in Sentry's log", made, logged)
	}
	for flag := range flags {
		if first[flag] != webhook.ActionCreated {
			return fmt.Errorf("the log of %s begins with %q", flag, first[flag])
		}
	}
	return nil
}
