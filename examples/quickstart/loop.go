package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// answerTimeout is how long Sentry may take to answer: for all the errors of the
// visits, and for each change.
const answerTimeout = 4 * time.Second

// loop is one run of the quickstart.
type loop struct {
	to     destination
	report reporter
	flags  definitions
	fault  fault

	shop   *shop
	origin string // of the shop
	http   *http.Client

	arrived  int // errors
	carried  int // flags on them
	accepted []edit
	rejected int
	// surprises are the differences between what arrived and what was expected.
	surprises []error
}

// run shows the three outputs and sums them up. It fails if anything came out
// other than expected.
func (l *loop) run(ctx context.Context) error {
	l.report.opening(l.flags, l.to.name)

	client, err := webhook.NewClient(l.to.webhook)
	if err != nil {
		return err
	}
	if err := client.Check(ctx); err != nil {
		return fmt.Errorf("the webhook for changes: %w", err)
	}
	stop, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer stop()

	l.report.title("Visits to the shop; each evaluates every flag:")
	if err := l.serve(ctx, l.rounds()...); err != nil {
		return err
	}

	l.report.title("Edits of the flag-definition file, found and reported to Sentry's flag log:")
	file, err := watchDefinitions(ctx, client, l.flags)
	if err != nil {
		return fmt.Errorf("watch the definitions: %w", err)
	}
	defer file.close(ctx)
	for _, e := range edits(l.flags, l.fault) {
		if err := l.edit(ctx, file, e); err != nil {
			return err
		}
	}
	l.compareLog()

	l.report.title("The same visit again, under the edited definitions:")
	again := visit{visitor: l.victim(), method: http.MethodPost, path: "/checkout"}
	if err := l.serve(ctx, again); err != nil {
		return err
	}

	if sent := len(l.to.arrived()); sent != l.arrived {
		l.surprises = append(l.surprises, fmt.Errorf("%d errors arrived, %d of them from the visits", sent, l.arrived))
	}
	for _, failure := range l.to.trouble() {
		l.surprises = append(l.surprises, errors.New("a request that carried an error: "+failure))
	}
	fmt.Fprintf(l.report.out, "\nquickstart: %d errors carried %d flags; %d changes accepted, %d rejected\n",
		l.arrived, l.carried, len(l.accepted), l.rejected)
	if len(l.surprises) > 0 {
		return fmt.Errorf("not as expected:\n%w", errors.Join(l.surprises...))
	}
	return nil
}

// open starts Sentry's SDK and the shop.
func (l *loop) open(ctx context.Context) (stop func(), err error) {
	err = sentry.Init(sentry.ClientOptions{
		Dsn:           l.to.dsn,
		HTTPTransport: l.to.transport,
		Environment:   "quickstart",
		ServerName:    "quickstart",
	})
	if err != nil {
		return nil, errors.New("the SDK does not take the DSN") // which the error's text may hold
	}
	l.shop, err = newShop(ctx, l.flags, l.fault)
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(l.shop.handler())
	l.origin, l.http = server.URL, server.Client()
	return func() {
		server.Close()
		closeSDK(sentry.CurrentHub().Client())
	}, nil
}

// closeSDK ends the SDK, unless a Sentry that does not answer holds it up.
func closeSDK(client *sentry.Client) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		client.Close()
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
}

// rounds are the visits: everybody looks at the basket and pays, and whose
// payment fails tries it again.
func (l *loop) rounds() []visit {
	var visits []visit
	for _, visitor := range visitors {
		checkout := visit{visitor: visitor, method: http.MethodPost, path: "/checkout"}
		visits = append(visits, visit{visitor: visitor, method: http.MethodGet, path: "/cart"}, checkout)
		if visitor.name == l.fault.visitor {
			visits = append(visits, checkout)
		}
	}
	return visits
}

// victim is the visitor whom the bug strikes.
func (l *loop) victim() user {
	i := slices.IndexFunc(visitors, func(u user) bool { return u.name == l.fault.visitor })
	return visitors[i]
}

// serve makes the visits, waits until their errors have arrived, and shows
// those with their flags.
func (l *loop) serve(ctx context.Context, visits ...visit) error {
	for i, v := range visits {
		v.wantError = v.path == "/checkout" && l.fault.strikes(v.visitor, l.flags.booleans(v.visitor))
		v.wantFlags = l.flags.recorded(v.visitor)
		made, err := makeVisit(ctx, l.http, l.origin, v)
		if err != nil {
			return err
		}
		visits[i] = made
		l.report.visit(made)
	}

	flush, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if !sentry.FlushWithContext(flush) {
		return fmt.Errorf("the errors were not sent within %v: no answer from where the DSN points", answerTimeout)
	}
	arrived := l.to.arrived()
	titled := false
	for _, v := range visits {
		e, err := v.compare(arrived)
		if err != nil {
			l.surprises = append(l.surprises, err)
		}
		if e.ID == "" {
			continue
		}
		if !titled {
			l.report.title("Errors that arrived at Sentry, each with the flags that its request had evaluated:")
			titled = true
		}
		l.report.failure(e, l.fault.flag)
		l.arrived++
		l.carried += len(e.Contexts.Flags.Values)
	}
	return nil
}

// edit edits the definition file, and shows what Sentry made of the change that
// was found in it.
func (l *loop) edit(ctx context.Context, file *watched, e edit) error {
	l.flags = e.apply(l.flags)
	l.shop.define(l.flags)
	if err := file.write(l.flags); err != nil {
		return err
	}
	file.watcher.Look()
	err := file.outcome(ctx)
	tooLong := utf8.RuneCountInString(e.flag) > webhook.MaxFlagBefore2026
	rejection, isRejection := errors.AsType[*webhook.RejectionError](err)
	switch {
	case err == nil:
		l.accepted = append(l.accepted, e)
		l.report.accepted(e)
		if tooLong && l.to.maxFlag == webhook.MaxFlagBefore2026 {
			l.surprises = append(l.surprises, fmt.Errorf("%s was accepted", shorten(e.flag)))
		}
		return nil
	case isRejection:
		l.rejected++
		l.report.rejected(e, reasonOf(rejection))
		if !tooLong {
			l.surprises = append(l.surprises, fmt.Errorf("%s was rejected", shorten(e.flag)))
		}
		return nil
	default:
		return fmt.Errorf("report that %s was %s: %w", shorten(e.flag), e.action, err)
	}
}

// reasonOf returns Sentry's words.
func reasonOf(rejection *webhook.RejectionError) string {
	if fields, ok := rejection.Changes[0]; ok {
		return fields.String()
	}
	return rejection.Request.String()
}

// compareLog compares what the stand-in has stored with what it had accepted.
func (l *loop) compareLog() {
	if l.to.stored == nil {
		return
	}
	var want, got []string
	for _, e := range l.accepted {
		want = append(want, string(e.action)+" "+e.flag)
	}
	for _, change := range l.to.stored() {
		got = append(got, string(change.Action)+" "+change.Flag)
	}
	if !slices.Equal(want, got) {
		l.surprises = append(l.surprises, fmt.Errorf("the flag log holds %s", shorten(strings.Join(got, ", "))))
	}
}
