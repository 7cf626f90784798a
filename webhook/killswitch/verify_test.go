package killswitch_test

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
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestRelayRefuses(t *testing.T) {
	other := signing.NewSecret("another-secret-altogether")
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
		reason  killswitch.Reason
	}{
		"GET":             {with(good, func(r *http.Request) { r.Method = http.MethodGet }), 405, killswitch.ReasonMethod},
		"PUT":             {with(good, func(r *http.Request) { r.Method = http.MethodPut }), 405, killswitch.ReasonMethod},
		"unsigned":        {with(good, func(r *http.Request) { r.Header.Del(signing.HookHeader) }), 401, killswitch.ReasonUnsigned},
		"empty signature": {with(good, set("")), 401, killswitch.ReasonUnsigned},
		"upper case":      {with(good, set(strings.ToUpper(signature(clientSecret, good)))), 401, killswitch.ReasonForged},
		"prefix":          {with(good, set("sha256="+signature(clientSecret, good))), 401, killswitch.ReasonForged},
		"other secret":    {with(good, set(signature(other, good))), 401, killswitch.ReasonForged},
		"other body":      {with(good, set(signature(clientSecret, []byte("x")))), 401, killswitch.ReasonForged},
		"empty's on body": {with(good, set(signature(clientSecret, nil))), 401, killswitch.ReasonForged},
		"two signatures":  {with(good, func(r *http.Request) { r.Header.Add(signing.HookHeader, signature(other, good)) }), 401, killswitch.ReasonForged},
		"app signature": {with(good, func(r *http.Request) {
			r.Header.Del(signing.HookHeader)
			r.Header.Set("Sentry-App-Signature", signature(clientSecret, good))
		}), 401, killswitch.ReasonUnsigned},
		"empty body":      {with(nil, nil), 401, killswitch.ReasonEmpty},
		"white body":      {with([]byte(" \r\n\t"), nil), 401, killswitch.ReasonEmpty},
		"announced large": {with(bytes.Repeat([]byte(" "), killswitch.MaxAlert+1), nil), 413, killswitch.ReasonTooLarge},
		"large":           {with(bytes.Repeat([]byte(" "), killswitch.MaxAlert+1), func(r *http.Request) { r.ContentLength = -1 }), 413, killswitch.ReasonTooLarge},
		"broken off": {with(good, func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(good[:50]), brokenOff{}))
		}), 400, killswitch.ReasonUnreadable},
		"read before":                 {with(good, func(r *http.Request) { _, _ = io.ReadAll(r.Body) }), 500, killswitch.ReasonBodyRead},
		"read before, and taken away": {with(good, func(r *http.Request) { r.Body = http.NoBody }), 500, killswitch.ReasonBodyRead},
		"contradicted":                {with(good, func(r *http.Request) { r.Header.Set("Sentry-Hook-Resource", "metric_alert") }), 401, killswitch.ReasonContradicted},
		"contradicted in part": {with(good, func(r *http.Request) {
			r.Header.Add("Sentry-Hook-Resource", "event_alert")
			r.Header.Add("Sentry-Hook-Resource", "issue")
		}), 401, killswitch.ReasonContradicted},
	} {
		t.Run(name, func(t *testing.T) {
			var flags switches
			var decided decisions
			var heard reports
			relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnDecision: decided.add, OnReport: heard.add})
			if status := deliver(relay, tc.request); status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			if d := decided.last(); d.Verdict != killswitch.Refused || d.Reason != tc.reason || d.Status != tc.status {
				t.Errorf("%+v", d)
			}
			if _, calls := flags.all(); len(calls) > 0 {
				t.Error("a flag was switched")
			}
			if (heard.about(killswitch.ErrBodyRead) == 1) != (tc.reason == killswitch.ReasonBodyRead) {
				t.Errorf("reports: %v", heard.all())
			}
		})
	}
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestBodyReadByAMiddleware has a real server, whose body a middleware has read.
func TestBodyReadByAMiddleware(t *testing.T) {
	var flags switches
	var decided decisions
	relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnDecision: decided.add})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		relay.ServeHTTP(w, r)
	}))
	defer server.Close()
	body := eventAlert("f", time.Now())
	request, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = signed(body).Header
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if d := decided.last(); response.StatusCode != 500 || d.Reason != killswitch.ReasonBodyRead {
		t.Errorf("%d, %+v", response.StatusCode, d)
	}
}

func TestRelayTakesTheLargestAlert(t *testing.T) {
	var flags switches
	relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), AnswerWithin: 20 * time.Second})
	body := eventAlert("f", time.Now())
	body = append(body, bytes.Repeat([]byte(" "), killswitch.MaxAlert-len(body))...)
	if status := deliver(relay, signed(body)); status != 200 || flags.count() != 1 {
		t.Errorf("status %d, %d switches", status, flags.count())
	}
}

func TestSecretsAndSecondFactors(t *testing.T) {
	next := signing.NewSecret("the-next-client-secret")
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
		"longer":    {[]string{"new-key1"}, next, 401},
		"empty":     {[]string{""}, next, 401},
		"two":       {[]string{"new-key", "x"}, next, 401},
		"no secret": {[]string{"new-key"}, signing.NewSecret("wrong"), 401},
	} {
		t.Run(name, func(t *testing.T) {
			var flags switches
			relay := newRelay(t, killswitch.Config{
				Secrets: []signing.Secret{next, clientSecret}, Rules: ruled("f"), Togglers: by(&flags), Installation: "7a485448", CoolDown: -1,
				Header: "X-Relay-Key", HeaderValues: []signing.Secret{signing.NewSecret("new-key"), signing.NewSecret("Bearer old-key")},
			})
			body := eventAlert("f", time.Now())
			r := signed(body)
			r.Header.Set(signing.HookHeader, signature(tc.secret, body))
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
		flags := switches{fail: func(ctx context.Context, _ int, _ killswitch.Switch) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags)})
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

// TestSlowStrangers has strangers send slowly, as many as they like: right alerts
// up to 256 KB do not wait for them, and larger ones for a place at most.
func TestSlowStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), CoolDown: -1, CapPerHour: -1})
		var wg sync.WaitGroup
		var writers []*io.PipeWriter
		stranger := func(first int) {
			reader, writer := io.Pipe()
			writers = append(writers, writer)
			wg.Go(func() {
				r := signed(nil)
				r.Body, r.ContentLength = reader, -1
				if status := deliver(relay, r); status != 401 {
					t.Errorf("status %d", status)
				}
			})
			wg.Go(func() { _, _ = writer.Write(bytes.Repeat([]byte(" "), first)) })
		}
		for range 64 {
			stranger(1000)
		}
		for range 8 {
			stranger(300 << 10) // these take the places
		}
		synctest.Wait()
		start := time.Now()
		for range 60 {
			if status := deliver(relay, signed(eventAlert("f", start))); status != 200 || time.Since(start) > 0 {
				t.Errorf("answered %d after %v", status, time.Since(start))
			}
		}
		large := append(eventAlert("f", start), bytes.Repeat([]byte(" "), 300<<10)...)
		if status := deliver(relay, signed(large)); status != 503 || time.Since(start) != 700*time.Millisecond {
			t.Errorf("a large one was answered %d after %v", status, time.Since(start))
		}
		for _, w := range writers {
			_ = w.Close()
		}
		wg.Wait()
		if status := deliver(relay, signed(large)); status != 200 {
			t.Errorf("a large one with room was answered %d", status)
		}
	})
}

// TestReadDeadline is about a real connection whose other end is slow.
func TestReadDeadline(t *testing.T) {
	var flags switches
	relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), ReadTimeout: 100 * time.Millisecond, CoolDown: -1})
	server := httptest.NewServer(relay)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nSentry-Hook-Signature: "+strings.Repeat("a", 64)+"\r\n\r\n{")
	start := time.Now()
	_ = conn.SetReadDeadline(start.Add(2 * time.Minute))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 400" {
		t.Errorf("%q, %v after %v", answer, err, time.Since(start))
	}
	// The deadline is the body's: it does not end a request that waits for its
	// flag, nor the next one on the connection.
	flags.setFail(func(context.Context, int, killswitch.Switch) error { time.Sleep(200 * time.Millisecond); return nil })
	for range 2 {
		body := eventAlert("f", time.Now())
		out, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		out.Header = signed(body).Header
		response, err := server.Client().Do(out)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("status %d", response.StatusCode)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := killswitch.Config{Secrets: []signing.Secret{clientSecret}, Rules: ruled("f"), Togglers: by(&switches{})}
	picky := func(c *killswitch.Config) { c.Togglers = by(pickyFlags{}) }
	for field, spoil := range map[string]func(*killswitch.Config){
		"Secrets":                 func(c *killswitch.Config) { c.Secrets = nil },
		"Secrets:":                func(c *killswitch.Config) { c.Secrets = []signing.Secret{clientSecret, {}} },
		"Rules must":              func(c *killswitch.Config) { c.Rules = nil },
		"Rules[0].Target":         func(c *killswitch.Config) { c.Rules = []killswitch.Rule{{Alert: "a", Project: "p"}} },
		"Rules[0].Target: no":     picky,
		"Togglers must":           func(c *killswitch.Config) { c.Togglers = nil },
		"Togglers[\"x\"]":         func(c *killswitch.Config) { c.Togglers = map[string]killswitch.Toggler{"x": nil} },
		"Rules[0].Toggler: there": func(c *killswitch.Config) { c.Rules = ruled("f"); c.Rules[0].Toggler = "misspelt" },
		"Rules[0].Toggler: it": func(c *killswitch.Config) {
			c.Togglers = map[string]killswitch.Toggler{"x": &switches{}, "y": &switches{}}
		},
		"Header and HeaderValues": func(c *killswitch.Config) { c.Header = "X-Key" },
		"HeaderValues must":       func(c *killswitch.Config) { c.HeaderValues = []signing.Secret{signing.NewSecret("x")} },
		"HeaderValues[0]":         func(c *killswitch.Config) { c.Header, c.HeaderValues = "X-Key", []signing.Secret{{}} },
		"Header must": func(c *killswitch.Config) {
			c.Header, c.HeaderValues = "sentry-hook-signature", []signing.Secret{signing.NewSecret("x")}
		},
		"MaxAge must not": func(c *killswitch.Config) { c.MaxAge = -1 },
		"MaxAge must be":  func(c *killswitch.Config) { c.MaxAge = 13 * time.Hour },
		"AnswerWithin":    func(c *killswitch.Config) { c.AnswerWithin = -1 },
		"ReadTimeout":     func(c *killswitch.Config) { c.ReadTimeout = -1 },
		"Poll":            func(c *killswitch.Config) { c.Poll = -1 },
		"Hold":            func(c *killswitch.Config) { c.Hold = time.Millisecond },
		"Queue":           func(c *killswitch.Config) { c.Queue = strings.Repeat("q", 101) },
		// What an optional part leaves that is not there.
		"Store":             func(c *killswitch.Config) { c.Store = (*queue.Memory)(nil) },
		"Emitter":           func(c *killswitch.Config) { c.Emitter = (*webhook.Emitter)(nil) },
		"Togglers[\"nil\"]": func(c *killswitch.Config) { c.Togglers = map[string]killswitch.Toggler{"nil": (*switches)(nil)} },
	} {
		config := good
		spoil(&config)
		if _, err := killswitch.NewRelay(config); !errors.Is(err, killswitch.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// pickyFlags takes no name.
type pickyFlags struct{}

func (pickyFlags) Toggle(context.Context, killswitch.Switch) (killswitch.State, error) {
	return killswitch.StateUnknown, nil
}
func (pickyFlags) Validate(killswitch.Target) error { return errors.New("no such name here") }
