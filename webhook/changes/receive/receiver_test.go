package receive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// corsairdev/corsair#841 and adcontextprotocol/adcp#1588: without a secret
// everything was taken, or everything refused, and nothing said why. Here there is
// no receiver then.
func TestConfigIsChecked(t *testing.T) {
	secrets := []signing.Secret{signing.NewSecret(secret)}
	whole := receive.Config{Product: receive.Flipt{}, Secrets: secrets, Emitter: emitter{}, Store: newStore(t)}
	for field, damage := range map[string]func(*receive.Config){
		"Product must":  func(c *receive.Config) { c.Product = nil },
		"Secrets":       func(c *receive.Config) { c.Secrets = nil },
		"is empty":      func(c *receive.Config) { c.Secrets = []signing.Secret{{}} },
		"Store":         func(c *receive.Config) { c.Store = nil },
		"Emitter":       func(c *receive.Config) { c.Emitter = nil },
		"nil pointer":   func(c *receive.Config) { c.Store = (*queue.Memory)(nil) },
		" nil pointer":  func(c *receive.Config) { c.Emitter = (*webhook.Emitter)(nil) },
		"MaxBody":       func(c *receive.Config) { c.MaxBody = -1 },
		"Patience":      func(c *receive.Config) { c.Patience = -1 },
		"Name":          func(c *receive.Config) { c.Name = strings.Repeat("x", 101) },
		"Watchers must": func(c *receive.Config) { c.Product = receive.Any{Header: "X-Secret"} },
		"Header":        func(c *receive.Config) { c.Product = receive.Any{Header: "X Secret"} },
		"begin":         func(c *receive.Config) { c.Product = receive.Any{Header: "x", Author: "by"} },
		"of no use":     func(c *receive.Config) { c.Product = receive.Any{Header: "x", Flags: "/flags"} },
	} {
		c := whole
		damage(&c)
		if _, err := receive.New(c); !errors.Is(err, receive.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestRefused sends what is no webhook of the product.
func TestRefused(t *testing.T) {
	now := time.Now()
	body := growthBook("updated", "a", "ada@example.com", 1, now)
	with := func(change func(r *http.Request)) *http.Request {
		r := request("growthbook", secret, body)
		change(r)
		return r
	}
	large := strings.Repeat(" ", 1<<20) + body
	for name, c := range map[string]struct {
		request *http.Request
		status  int
		result  receive.Result
	}{
		"GET":            {with(func(r *http.Request) { r.Method = http.MethodGet }), 405, receive.Unfit},
		"no signature":   {with(func(r *http.Request) { r.Header.Del("X-GrowthBook-Signature") }), 401, receive.Unsigned},
		"another secret": {request("growthbook", "another-secret-of-somebody", body), 401, receive.Forged},
		"two signatures": {with(func(r *http.Request) { r.Header.Add("X-GrowthBook-Signature", strings.Repeat("0", 64)) }), 401, receive.Forged},
		"another body": {with(func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "ada", "eve", 1)))
		}), 401, receive.Forged},
		"truncated":                    {with(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body[:len(body)/2])) }), 401, receive.Forged},
		"broken off":                   {with(func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader(body[:9]), broken{})) }), 400, receive.Broken},
		"of another product":           {request("flipt", secret, flipt("updated", "a", "", 1, now)), 401, receive.Unsigned},
		"of another, signed for this":  {request("growthbook", secret, flipt("updated", "a", "", 1, now)), 400, receive.Unreadable},
		"too large":                    {request("growthbook", secret, large), 413, receive.TooLarge},
		"too large, and does not say":  {unannounced(request("growthbook", secret, large)), 413, receive.TooLarge},
		"empty":                        {request("growthbook", secret, ""), 400, receive.Unreadable},
		"compressed":                   {with(func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415, receive.Unfit},
		"read by something in front":   {with(func(r *http.Request) { _, _ = io.ReadAll(r.Body) }), 500, receive.BodyRead},
		"read and closed":              {with(func(r *http.Request) { r.Body = closed{} }), 500, receive.BodyRead},
		"PUT, which GrowthBook can do": {with(func(r *http.Request) { r.Method = http.MethodPut }), 200, receive.Accepted},
		"of no announced length":       {unannounced(request("growthbook", secret, body)), 200, receive.Accepted},
		"said to be text":              {with(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 200, receive.Accepted},
		"with the limit reached":       {request("growthbook", secret, large[len(body):]), 200, receive.Accepted},
	} {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: receive.GrowthBook{}, Store: s})
		status, text := serve(r, c.request)
		if stats := r.Stats(); status != c.status || stats.Results[c.result] != 1 {
			t.Errorf("%s: %d %s, %+v", name, status, text, stats)
		}
		want := 0
		if c.result == receive.Accepted {
			want = 1
		}
		if got := emitted(t, s); len(got) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type closed struct{}

func (closed) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }
func (closed) Close() error             { return nil }

func unannounced(r *http.Request) *http.Request {
	r.ContentLength = -1
	return r
}

// A secret is replaced at the product while both are taken here.
func TestTwoSecrets(t *testing.T) {
	s := newStore(t)
	r := newReceiver(t, receive.Config{Product: receive.Flipt{}, Store: s, Secrets: []signing.Secret{signing.NewSecret("the-old-secret"), signing.NewSecret("the-new-secret\n")}})
	for i, with := range []string{"the-old-secret", "the-new-secret", "the-next-secret"} {
		if status, _ := serve(r, request("flipt", with, flipt("updated", "a", "", i, time.Now()))); (status == 200) != (i < 2) {
			t.Errorf("%s: %d", with, status)
		}
	}
	if got := emitted(t, s); len(got) != 2 {
		t.Error(got)
	}
}

// TestRepeats sends each webhook again, to two processes at the same time.
func TestRepeats(t *testing.T) {
	for product, body := range map[string]string{
		"growthbook": growthBook("updated", "a", "", 1, time.Now()), "flipt": flipt("updated", "a", "", 1, time.Now()), "go-feature-flag": goff("a", 1, 2, "x"),
	} {
		s := newStore(t)
		one, two := newReceiver(t, receive.Config{Product: products[product], Store: s}), newReceiver(t, receive.Config{Product: products[product], Store: s})
		var wait sync.WaitGroup
		for i := range 20 {
			wait.Go(func() { send(t, []*receive.Receiver{one, two}[i%2], product, body) })
		}
		wait.Wait()
		if got := emitted(t, s); len(got) != 1 {
			t.Errorf("%s: %v", product, got)
		}
		if n := one.Stats().Results[receive.Accepted] + two.Stats().Results[receive.Accepted]; n != 1 {
			// Those that wait at the same time share an answer.
			if all := n + one.Stats().Results[receive.Repeated] + two.Stats().Results[receive.Repeated]; all != 20 {
				t.Errorf("%s: %d accepted of %d", product, n, all)
			}
		}
	}
}

// TestStoreIsAway: while the store fails, hangs or lies, webhooks are answered in
// time, and are kept when it is back, each once, in their order, whether the
// product tries again or not.
func TestStoreIsAway(t *testing.T) {
	for name, be := range map[string]func(*store){
		"it fails": func(s *store) { s.be(errDown, false, false) },
		"it hangs": func(s *store) { s.be(nil, true, false) },
		"it lies":  func(s *store) { s.be(nil, false, true) },
	} {
		for product, bodies := range map[string][]string{
			"flipt":           {flipt("created", "a", "", 1, time.Now()), flipt("updated", "a", "", 2, time.Now()), flipt("deleted", "a", "", 3, time.Now())},
			"go-feature-flag": {goff("a", 0, 1, "x"), goff("a", 1, 2, "x"), goff("a", 2, 1, "x"), goff("a", 1, 0, "x")},
		} {
			t.Run(name+", "+product, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore(t)
					// The bubble has a time of its own.
					r := newReceiver(t, receive.Config{Product: products[product], Store: s, MaxAge: 100 * 365 * 24 * time.Hour})
					be(s)
					// The note in the store shows that it has taken what it says it has not.
					away := name != "it lies" || product != "go-feature-flag"
					for i, body := range bodies {
						began := time.Now()
						status, text := serve(r, request(product, secret, body))
						if (status == http.StatusServiceUnavailable) != away || time.Since(began) > 3*time.Second {
							t.Errorf("%d %s after %v", status, text, time.Since(began))
						}
						if i == 1 { // it tries again
							serve(r, request(product, secret, body))
						}
					}
					stats := r.Stats()
					if away && (stats.Waiting != len(bodies) || stats.Problem == nil || stats.Results[receive.Unkept] != int64(len(bodies))+1) {
						t.Errorf("%+v", stats)
					}
					s.be(nil, false, false)
					time.Sleep(time.Minute)
					var actions []string
					for _, change := range emitted(t, s) {
						actions = append(actions, string(change.Action))
					}
					want := []string{"created", "updated", "updated", "deleted"}
					if product == "flipt" {
						want = []string{"created", "updated", "deleted"}
					}
					if !slices.Equal(actions, want) {
						t.Error(actions)
					}
					if stats := r.Stats(); stats.Waiting != 0 || stats.Problem != nil {
						t.Errorf("%+v", stats)
					}
					if text := send(t, r, product, bodies[len(bodies)-1]); text != "repeated" {
						t.Error(text)
					}
				})
			})
		}
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s})
		s.be(errDown, false, false)
		serve(r, request("go-feature-flag", secret, goff("a", 1, 2, "x")))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := r.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 webhooks") {
			t.Error(err)
		}
		if status, _ := serve(r, request("go-feature-flag", secret, goff("a", 2, 3, "x"))); status != 503 {
			t.Error(status)
		}

		r = newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s})
		serve(r, request("go-feature-flag", secret, goff("a", 1, 2, "x")))
		go func() {
			time.Sleep(2 * time.Second)
			s.be(nil, false, false)
		}()
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := errors.Join(r.Close(ctx), r.Close(ctx)); err != nil {
			t.Error(err)
		}
		if got := emitted(t, s); len(got) != 1 {
			t.Error(got)
		}
		if err := r.Close(nil); err == nil { //nolint:staticcheck // what it says then
			t.Error("a nil context was taken")
		}
	})
}

// There is room for so many webhooks while the store is away.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s})
		s.be(errDown, false, false)
		var wait sync.WaitGroup
		for i := range 1200 {
			wait.Go(func() { serve(r, request("go-feature-flag", secret, goff(fmt.Sprintf("flag-%d", i), 1, 2, "x"))) })
		}
		wait.Wait()
		if stats := r.Stats(); stats.Waiting != 1000 || stats.Results[receive.Unkept] != 1200 {
			t.Errorf("%+v", stats)
		}
		s.be(nil, false, false)
		time.Sleep(time.Minute)
		if got := emitted(t, s); len(got) != 1000 {
			t.Error(len(got))
		}
	})
}

// TestNeverDeafInSilence: a wrong secret, a missing one, and events of no use show
// in the numbers and in the log, once.
func TestNeverDeafInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newReceiver(t, receive.Config{Product: receive.Flipt{}, Store: newStore(t), Logger: slog.New(slog.NewTextHandler(&log, nil)), MaxAge: 100 * 365 * 24 * time.Hour})
		at := time.Now()
		send(t, r, "flipt", flipt("updated", "a", "ada@example.com", 0, time.Now()))
		for range 100 {
			time.Sleep(10 * time.Second)
			serve(r, request("flipt", "a-wrong-secret", "{}"))
			serve(r, request("webhook", "a-wrong-secret", "{}"))
		}
		stats := r.Stats()
		if stats.ForgedRun != 100 || stats.UnsignedRun != 100 || !stats.LastAuthentic.Equal(at) || !stats.ForgedSince.Equal(at.Add(10*time.Second)) {
			t.Errorf("%+v", stats)
		}
		if n := strings.Count(log.String(), "wrong signature"); n != 2 { // in 1,000 s
			t.Errorf("said %d times", n)
		}
		if n := strings.Count(log.String(), "without a signature"); n != 2 {
			t.Errorf("said %d times", n)
		}
		for i := range 100 {
			send(t, r, "flipt", fmt.Sprintf(`{"type":"segment","action":"updated","payload":{"key":"x"},"version":"%d"}`, i))
			send(t, r, "flipt", fmt.Sprintf(`{"type":"%d","action":"updated","payload":{"key":"x"}}`, i))
		}
		stats = r.Stats()
		if stats.ForgedRun != 0 || stats.UnsignedRun != 0 || stats.Unknown["segment updated"] != 100 || len(stats.Unknown) != 50 || stats.Results[receive.Unknown] != 200 {
			t.Errorf("%+v", stats)
		}
		if strings.Count(log.String(), "segment updated") != 1 || !strings.Contains(log.String(), "signatures are right again") {
			t.Error(log.String())
		}
		for _, private := range []string{"ada@", secret, "a-wrong-secret"} {
			if strings.Contains(log.String(), private) {
				t.Errorf("the log shows %q", private)
			}
		}
	})
}

// TestSlowBody: strangers who send slowly are ended, and keep nobody out.
func TestSlowBody(t *testing.T) {
	s := newStore(t)
	r := newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s, ReadTimeout: 2 * time.Second})
	server := httptest.NewServer(r)
	defer server.Close()
	var slow []net.Conn
	for range 40 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		slow = append(slow, conn)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=%s\r\nContent-Length: 1000\r\n\r\n{", strings.Repeat("0", 64))
	}
	body := goff("a", 1, 2, "x")
	req, err := http.NewRequest(http.MethodPost, server.URL, io.NopCloser(strings.NewReader(body))) // as the notifier does: chunked
	if err != nil {
		t.Fatal(err)
	}
	sign(req, "go-feature-flag", secret, body)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		head := make([]byte, 12)
		if _, err := io.ReadFull(conn, head); err != nil || string(head) != "HTTP/1.1 400" {
			t.Errorf("%q, %v", head, err)
		}
	}
}
