package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
)

// tap watches the SDK's requests to a Sentry that cannot be looked into: an
// event has arrived there when the request that carried it was answered 2xx.
type tap struct {
	base http.RoundTripper

	mu       sync.Mutex
	events   []event
	failures []string
}

// RoundTrip implements [http.RoundTripper].
func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		content, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		body = content
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(content))
	}
	response, err := t.base.RoundTrip(r)

	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		// The error's text may hold the URL, and with it a proxy's password.
		t.failures = append(t.failures, "no answer")
	case response.StatusCode < 200 || response.StatusCode > 299:
		t.failures = append(t.failures, fmt.Sprintf("answered %d %s", response.StatusCode, http.StatusText(response.StatusCode)))
	default:
		if parsed, err := parseEnvelope(body); err == nil {
			t.events = append(t.events, parsed.Events...)
		}
	}
	return response, err
}

// arrived returns the events that were answered 2xx so far.
func (t *tap) arrived() []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

// trouble returns what happened to the requests that failed.
func (t *tap) trouble() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.failures)
}
