package main

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// destination is the Sentry that the quickstart talks to.
type destination struct {
	name string

	// For the SDK.
	dsn       string
	transport http.RoundTripper // nil: the SDK's own

	// For the changes.
	webhook webhook.Config

	// What can be found out about it.
	arrived func() []event
	trouble func() []string         // requests for events that failed
	stored  func() []webhook.Change // nil if it cannot be asked
	maxFlag int                     // the longest flag name it takes, 0 if not known

	close func()
}

// connect returns the Sentry that was asked for.
func connect(s settings) (destination, error) {
	if s.dsn == "" {
		return standIn(), nil
	}
	return realSentry(s)
}

// standIn starts a stand-in for Sentry on this machine. It plays a server from
// before September 2026, which takes flag names of up to 100 characters.
func standIn() destination {
	changes := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
	events := &ingestion{project: "1", key: rand.Text()}
	server := httptest.NewServer(events)
	return destination{
		name:    "a stand-in on this machine, in place of Sentry",
		dsn:     events.dsn(server.URL),
		webhook: webhook.Config{URL: changes.URL(), Secrets: []signing.Secret{changes.Secret()}},
		arrived: events.arrived,
		trouble: func() []string { return nil },
		stored:  changes.Changes,
		maxFlag: webhook.MaxFlagBefore2026,
		close: func() {
			server.Close()
			changes.Close()
		},
	}
}

// realSentry is the Sentry that the environment names.
func realSentry(s settings) (destination, error) {
	if _, err := sentry.NewDsn(s.dsn); err != nil {
		// The error's text may hold the DSN.
		return destination{}, errors.New(envDSN + " is not a DSN; copy it from the project's settings, Client Keys")
	}
	watched := &tap{base: http.DefaultTransport.(*http.Transport).Clone()}
	return destination{
		name:      hostOf(s.dsn) + " for events, " + hostOf(s.webhookURL) + " for changes",
		dsn:       s.dsn,
		transport: watched,
		webhook: webhook.Config{
			URL:     s.webhookURL,
			Secrets: []signing.Secret{s.secret},
			Timeout: answerTimeout,
		},
		arrived: watched.arrived,
		trouble: watched.trouble,
		close:   watched.base.(*http.Transport).CloseIdleConnections,
	}, nil
}

// hostOf returns the host of a URL and nothing else of it, for the rest may
// hold a key.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "an unreadable address"
	}
	if host, _, err := net.SplitHostPort(u.Host); err == nil {
		return host
	}
	return u.Host
}
