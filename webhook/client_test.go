package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestZeroClient(t *testing.T) {
	for _, client := range []*Client{nil, {}} {
		if err := client.Check(t.Context()); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("Check: %v", err)
		}
		if err := client.Send(t.Context(), valid); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("Send: %v", err)
		}
		for _, err := range client.Logs(t.Context(), "token", LogsQuery{}) {
			if !errors.Is(err, ErrInvalidConfig) {
				t.Errorf("Logs: %v", err)
			}
		}
		if _, err := NewEmitter(client, &queue.Memory{}, EmitterConfig{}); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("NewEmitter: %v", err)
		}
		_ = fmt.Sprint(client)
	}
}

// TestContextBetweenSecrets: a 401 has stored nothing, and the next try is not
// made any more.
func TestContextBetweenSecrets(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	client := s.client(t, func(c *Config) {
		c.Secrets = append(c.Secrets, signing.NewSecret("the-next-one"))
		c.HTTPClient = &http.Client{Transport: afterwards{s.Client().Transport, cancel}}
	})
	if err := client.Send(ctx, valid); !errors.Is(err, context.Canceled) || errors.Is(err, ErrAmbiguous) {
		t.Errorf("got %v", err)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

type afterwards struct {
	next http.RoundTripper
	call func()
}

func (a afterwards) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.next.RoundTrip(r)
	if err == nil { // read before the context ends
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		response.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	a.call()
	return response, err
}

// TestSecretIsKeptAfterARejection: Sentry accepted the signature.
func TestSecretIsKeptAfterARejection(t *testing.T) {
	var tried []string
	s := newSink(t, nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys, _ := signing.NewKeys(signing.NewSecret("second"))
		_, err := signing.VerifyRequest(r, signing.Header, keys, 0)
		tried = append(tried, fmt.Sprint(err == nil))
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"data":{"0":{"flag":["x"]}}}`)
	})
	client := s.client(t, func(c *Config) {
		c.Secrets = []signing.Secret{signing.NewSecret("first"), signing.NewSecret("second")}
	})
	for range 2 {
		if err := client.Send(t.Context(), valid); !errors.Is(err, ErrRejected) {
			t.Fatalf("got %v", err)
		}
	}
	if got := strings.Join(tried, " "); got != "false true true" {
		t.Errorf("accepted: %s", got)
	}
}

// sink is a server that keeps what it received and answers as it is told.
type sink struct {
	*httptest.Server
	mu       sync.Mutex
	received []received
}

type received struct {
	method, path string
	header       http.Header
	body         []byte
}

func newSink(t *testing.T, answer http.HandlerFunc) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.received = append(s.received, received{r.Method, r.RequestURI, r.Header.Clone(), body})
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) requests() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

func (s *sink) client(t *testing.T, edit func(*Config)) *Client {
	return newTestClient(t, func(c *Config) {
		c.Host = s.URL
		c.HTTPClient = s.Client()
		if edit != nil {
			edit(c)
		}
	})
}

func TestSendPostsWhatItSigned(t *testing.T) {
	s := newSink(t, nil)
	if err := s.client(t, nil).Send(t.Context(), valid); err != nil {
		t.Fatal(err)
	}
	got := s.requests()
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	want := `{"data":[{"action":"created","change_id":9734362632,"created_at":"2024-12-12T00:00:00.000000+00:00","created_by":{"id":"username","type":"name"},"flag":"hello"}],"meta":{"version":1}}`
	if got[0].method != "POST" || got[0].path != "/api/0/organizations/acme/flags/hooks/provider/generic/" || string(got[0].body) != want {
		t.Errorf("%s %s\n%s", got[0].method, got[0].path, got[0].body)
	}
	keys, err := signing.NewKeys(signing.NewSecret(treasure))
	if err != nil {
		t.Fatal(err)
	}
	if err := signing.Verify(keys, got[0].body, got[0].header.Get("X-Sentry-Signature")); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Accept-Encoding": "identity", "Content-Encoding": "", "Origin": "",
		"Content-Length": fmt.Sprint(len(want)), "User-Agent": userAgent,
	} {
		if value := got[0].header.Get(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
}

func TestSendWithoutChangesDoesNothing(t *testing.T) {
	s := newSink(t, nil)
	if err := s.client(t, nil).Send(t.Context()); err != nil || len(s.requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(s.requests()))
	}
}

func TestCheckWritesNothing(t *testing.T) {
	s := newSink(t, nil)
	if err := s.client(t, nil).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.requests(); len(got) != 1 || string(got[0].body) != `{"data":[],"meta":{"version":1}}` {
		t.Errorf("sent %q", got)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := newSink(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/elsewhere" {
				http.Redirect(w, r, "/elsewhere?token="+treasure, status)
			}
		})
		follow := s.Client()
		follow.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
		before := follow.Transport
		err := s.client(t, func(c *Config) { c.HTTPClient = follow }).Send(t.Context(), valid)
		if !errors.Is(err, ErrRedirected) || len(s.requests()) != 1 || strings.Contains(err.Error(), treasure) {
			t.Errorf("%d: %v after %d requests", status, err, len(s.requests()))
		}
		if follow.Transport != before || follow.CheckRedirect(nil, nil) != nil {
			t.Error("the caller's client was changed")
		}
	}
}

// TestRotation replaces the secret on the server's side in mid-stream.
func TestRotation(t *testing.T) {
	const previous, coming = "previous-secret-0123456789", "coming-secret-0123456789"
	accepted := previous
	s := newSink(t, nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys, _ := signing.NewKeys(signing.NewSecret(accepted))
		body, err := signing.VerifyRequest(r, signing.Header, keys, 0)
		s.received = append(s.received, received{body: body})
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `"Not authorized."`)
		}
	})
	client := s.client(t, func(c *Config) {
		c.Secrets = []signing.Secret{signing.NewSecret(previous), signing.NewSecret(coming)}
	})
	steps := []struct {
		accepted string
		requests int // in all, after the step
		ok       bool
	}{
		{previous, 1, true},
		{coming, 3, true},         // one refused, one with the next secret
		{coming, 4, true},         // which is kept to
		{previous, 6, true},       // and back
		{"a-third-one", 8, false}, // both tried, no more
	}
	for i, step := range steps {
		accepted = step.accepted
		err := client.Send(t.Context(), valid)
		if (err == nil) != step.ok || len(s.requests()) != step.requests {
			t.Errorf("step %d: %v after %d requests, want %d", i, err, len(s.requests()), step.requests)
		}
		if !step.ok && !errors.Is(err, ErrUnauthorized) {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

// TestNothingSecretIsPrinted scans whatever a program could print for the
// secret, the signature and the author, with a server that echoes all it gets.
func TestNothingSecretIsPrinted(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	show := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		logger.Info("shown", "value", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("shown", "value", v)
	}
	change := valid
	change.CreatedBy = Author{ID: "jane.doe@example.com", Type: AuthorEmail}
	var hidden []string
	for status := range 600 {
		if status < 200 {
			continue
		}
		s := newSink(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://user:"+treasure+"@example.com/"+r.Header.Get(signing.Header))
			w.Header().Set("Content-Type", "text/"+r.Header.Get(signing.Header))
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"detail":"%s"}`, r.Header.Get(signing.Header))
		})
		client := s.client(t, nil)
		show(client.Send(t.Context(), change))
		if status == 200 {
			show(client)
		}
		hidden = append(hidden, s.requests()[0].header.Get(signing.Header))
		s.Close()
	}
	show(Config{Secrets: []signing.Secret{signing.NewSecret(treasure)}})
	show(noAnswer(t.Context(), 0, true, errors.New(`invalid proxy address "http://me:`+treasure+`@proxy"`)))
	hidden = append(hidden, treasure, fmt.Sprintf("%x", treasure), "jane.doe", fmt.Sprintf("%x", "jane.doe"))
	for _, h := range hidden {
		if i := bytes.Index(out.Bytes(), []byte(h)); i >= 0 {
			t.Fatalf("the output shows what is private: …%s…", out.Bytes()[max(0, i-100):i+len(h)])
		}
	}
}
