package vwo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
)

func TestRelayRefuses(t *testing.T) {
	other := signing.NewSecret("another-secret-altogether")
	sign := func(secret signing.Secret, body []byte) string {
		signature, err := signing.Sign(secret, body)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	good := eventAlert("f", time.Now())
	with := func(body []byte, edit func(*http.Request)) *http.Request {
		r := signed(body)
		if edit != nil {
			edit(r)
		}
		return r
	}
	set := func(signature string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(signing.HookHeader, signature) }
	}
	for name, tc := range map[string]struct {
		request *http.Request
		status  int
		reason  vwo.Reason
	}{
		"GET":             {with(good, func(r *http.Request) { r.Method = http.MethodGet }), 405, vwo.ReasonMethod},
		"PUT":             {with(good, func(r *http.Request) { r.Method = http.MethodPut }), 405, vwo.ReasonMethod},
		"unsigned":        {with(good, func(r *http.Request) { r.Header.Del(signing.HookHeader) }), 401, vwo.ReasonUnsigned},
		"empty signature": {with(good, set("")), 401, vwo.ReasonUnsigned},
		"upper case":      {with(good, set(strings.ToUpper(sign(clientSecret, good)))), 401, vwo.ReasonForged},
		"prefix":          {with(good, set("sha256="+sign(clientSecret, good))), 401, vwo.ReasonForged},
		"other secret":    {with(good, set(sign(other, good))), 401, vwo.ReasonForged},
		"other body":      {with(good, set(sign(clientSecret, []byte("x")))), 401, vwo.ReasonForged},
		"empty's on body": {with(good, set(sign(clientSecret, nil))), 401, vwo.ReasonForged},
		"two signatures":  {with(good, func(r *http.Request) { r.Header.Add(signing.HookHeader, sign(other, good)) }), 401, vwo.ReasonForged},
		"app signature": {with(good, func(r *http.Request) {
			r.Header.Del(signing.HookHeader)
			r.Header.Set("Sentry-App-Signature", sign(clientSecret, good))
		}), 401, vwo.ReasonUnsigned},
		"empty body":      {with(nil, nil), 401, vwo.ReasonEmpty},
		"white body":      {with([]byte(" \r\n\t"), nil), 401, vwo.ReasonEmpty},
		"announced large": {with(bytes.Repeat([]byte(" "), vwo.MaxAlert+1), nil), 413, vwo.ReasonTooLarge},
		"large":           {with(bytes.Repeat([]byte(" "), vwo.MaxAlert+1), func(r *http.Request) { r.ContentLength = -1 }), 413, vwo.ReasonTooLarge},
		"broken off": {with(good, func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(good[:50]), iotestErr{}))
		}), 400, vwo.ReasonUnreadable},
		"contradicted": {with(good, func(r *http.Request) { r.Header.Set("Sentry-Hook-Resource", "metric_alert") }), 401, vwo.ReasonContradicted},
		"contradicted in part": {with(good, func(r *http.Request) {
			r.Header.Add("Sentry-Hook-Resource", "event_alert")
			r.Header.Add("Sentry-Hook-Resource", "issue")
		}), 401, vwo.ReasonContradicted},
	} {
		t.Run(name, func(t *testing.T) {
			var flags switches
			var decided decisions
			relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, OnDecision: decided.add})
			if status := deliver(relay, tc.request); status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			if d := decided.last(); d.Verdict != vwo.Refused || d.Reason != tc.reason || d.Status != tc.status {
				t.Errorf("%+v", d)
			}
			if _, calls := flags.all(); len(calls) > 0 {
				t.Error("a flag was switched")
			}
		})
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRelayTakesTheLargestAlert(t *testing.T) {
	var flags switches
	relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, AnswerWithin: 20 * time.Second})
	body := eventAlert("f", time.Now())
	body = append(body, bytes.Repeat([]byte(" "), vwo.MaxAlert-len(body))...)
	if status := deliver(relay, signed(body)); status != 200 || flags.count() != 1 {
		t.Errorf("status %d, %d switches", status, flags.count())
	}
}

func TestRelaySecretsAndSecondFactors(t *testing.T) {
	next := signing.NewSecret("the-next-client-secret")
	config := vwo.RelayConfig{
		Secrets: []signing.Secret{next, clientSecret}, Rules: ruled("f"), Installation: "7a485448", CoolDown: -1,
		Header: "X-Relay-Key", HeaderValues: []vwo.Token{vwo.NewToken("new\tkey"), vwo.NewToken("old-key")},
	}
	// A control character cannot be sent.
	if _, err := vwo.NewRelay(func() vwo.RelayConfig { c := config; c.Toggler = &switches{}; return c }()); !errors.Is(err, vwo.ErrMalformedToken) {
		t.Fatalf("%v", err)
	}
	config.HeaderValues = []vwo.Token{vwo.NewToken("new-key"), vwo.NewToken("Bearer old-key")}
	for name, tc := range map[string]struct {
		keys   []string
		secret signing.Secret
		status int
	}{
		"new":       {[]string{"new-key"}, next, 200},
		"old":       {[]string{"Bearer old-key"}, clientSecret, 200},
		"missing":   {nil, next, 401},
		"wrong":     {[]string{"new-kez"}, next, 401},
		"prefix":    {[]string{"new-ke"}, next, 401},
		"empty":     {[]string{""}, next, 401},
		"two":       {[]string{"new-key", "x"}, next, 401},
		"no secret": {[]string{"new-key"}, signing.NewSecret("wrong"), 401},
	} {
		t.Run(name, func(t *testing.T) {
			var flags switches
			config := config
			config.Toggler = &flags
			relay := newRelay(t, config)
			r := signed(eventAlert("f", time.Now()))
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			signature, err := signing.Sign(tc.secret, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(signing.HookHeader, signature)
			for _, key := range tc.keys {
				r.Header.Add("X-Relay-Key", key)
			}
			if status := deliver(relay, r); status != tc.status || (flags.count() == 1) != (tc.status == 200) {
				t.Errorf("status %d, %d switches", status, flags.count())
			}
		})
	}
}

// TestAnswersInTime has a flag system that never answers: the alert is taken all
// the same, and the switch goes on although Sentry has hung up.
func TestAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		flags := switches{fail: func(ctx context.Context, _ int) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags})
		ctx, hangUp := context.WithCancel(t.Context())
		start := time.Now()
		if status := deliver(relay, signed(eventAlert("f", start)).WithContext(ctx)); status != 202 {
			t.Errorf("status %d", status)
		}
		if took := time.Since(start); took != 700*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
		hangUp()
		synctest.Wait()
		close(release)
		synctest.Wait()
		if flags.count() != 1 {
			t.Error("the switch ended with the request")
		}
	})
}

func TestSentryHangsUpBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		ctx, hangUp := context.WithCancel(t.Context())
		flags.fail = func(ctx context.Context, _ int) error {
			hangUp()
			synctestYield()
			return ctx.Err()
		}
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags})
		deliver(relay, signed(eventAlert("f", time.Now())).WithContext(ctx))
		synctest.Wait()
		if flags.count() != 1 {
			t.Error("the switch ended with the request")
		}
	})
}

func synctestYield() { time.Sleep(time.Millisecond) }

// TestEightBodiesAtOnce fills the places with bodies that do not arrive.
func TestEightBodiesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags})
		var wg sync.WaitGroup
		var writers []*io.PipeWriter
		for range 8 {
			reader, writer := io.Pipe()
			writers = append(writers, writer)
			wg.Go(func() {
				r := signed(nil)
				r.Body, r.ContentLength = reader, -1
				if status := deliver(relay, r); status != 401 {
					t.Errorf("status %d", status)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if status := deliver(relay, signed(eventAlert("f", start))); status != 503 || time.Since(start) != 700*time.Millisecond {
			t.Errorf("the ninth was answered %d after %v", status, time.Since(start))
		}
		// One that waits gets the first place that becomes free.
		wg.Go(func() {
			if status := deliver(relay, signed(eventAlert("f", start))); status != 200 {
				t.Errorf("the tenth was answered %d", status)
			}
		})
		synctest.Wait()
		for _, w := range writers {
			_ = w.Close()
		}
		wg.Wait()
	})
}

// TestReadDeadline is about a real connection whose other end is slow.
func TestReadDeadline(t *testing.T) {
	var flags switches
	relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, ReadTimeout: 100 * time.Millisecond})
	server := httptest.NewServer(relay)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nSentry-Hook-Signature: "+strings.Repeat("a", 64)+"\r\n\r\n{")
	start := time.Now()
	_ = conn.SetReadDeadline(start.Add(5 * time.Second))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 400" {
		t.Errorf("%q, %v after %v", answer, err, time.Since(start))
	}
	// The deadline is the body's: it does not end a request that waits for its
	// flag, nor the next one on the connection.
	for range 2 {
		flags.fail = func(context.Context, int) error { time.Sleep(200 * time.Millisecond); return nil }
		body := eventAlert("f", time.Now())
		r := signed(body)
		out, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		out.Header = r.Header
		response, err := http.DefaultClient.Do(out)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("status %d", response.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRelayConfigIsChecked(t *testing.T) {
	good := vwo.RelayConfig{Secrets: []signing.Secret{clientSecret}, Rules: ruled("f"), Toggler: &switches{}}
	for field, spoil := range map[string]func(*vwo.RelayConfig){
		"Secrets":                 func(c *vwo.RelayConfig) { c.Secrets = nil },
		"Secrets:":                func(c *vwo.RelayConfig) { c.Secrets = []signing.Secret{clientSecret, {}} },
		"Rules must":              func(c *vwo.RelayConfig) { c.Rules = nil },
		"Rules[0].Target":         func(c *vwo.RelayConfig) { c.Rules = []vwo.Rule{{Alert: "a", Project: "p"}} },
		"Toggler":                 func(c *vwo.RelayConfig) { c.Toggler = nil },
		"Header and HeaderValues": func(c *vwo.RelayConfig) { c.Header = "X-Key" },
		"HeaderValues must":       func(c *vwo.RelayConfig) { c.HeaderValues = []vwo.Token{vwo.NewToken("x")} },
		"HeaderValues[0]":         func(c *vwo.RelayConfig) { c.Header, c.HeaderValues = "X-Key", []vwo.Token{{}} },
		"Header must": func(c *vwo.RelayConfig) {
			c.Header, c.HeaderValues = "sentry-hook-signature", []vwo.Token{vwo.NewToken("x")}
		},
		"MaxAge must not": func(c *vwo.RelayConfig) { c.MaxAge = -1 },
		"MaxAge must be":  func(c *vwo.RelayConfig) { c.MaxAge = 13 * time.Hour },
		"AnswerWithin":    func(c *vwo.RelayConfig) { c.AnswerWithin = -1 },
		"ReadTimeout":     func(c *vwo.RelayConfig) { c.ReadTimeout = -1 },
		"PollInterval":    func(c *vwo.RelayConfig) { c.PollInterval = -1 },
	} {
		config := good
		spoil(&config)
		if _, err := vwo.NewRelay(config); !errors.Is(err, vwo.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
