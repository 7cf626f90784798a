package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// rawServer answers each request with the bytes that answer makes of it, and
// leaves the connection open until the test ends.
func rawServer(t *testing.T, answer func(request []byte) string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				body, _ := io.ReadAll(request.Body)
				_, _ = io.WriteString(conn, answer(body))
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// TestAnswersThatAreNoneOfSentrys come from something that speaks HTTP badly, or
// speaks back what it was told.
func TestAnswersThatAreNoneOfSentrys(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(request []byte) string
		want   error
	}{
		// The connection then belongs to another protocol, and has no deadline.
		{"switching protocols", func([]byte) string {
			return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		}, ErrUnexpectedAnswer},
		{"the request as a status line", func(b []byte) string { return "HTTP/1.1 " + string(b) + "\r\n\r\n" }, ErrAmbiguous},
		{"the request as a length", func(b []byte) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + string(b) + "\r\n\r\n" }, ErrAmbiguous},
		{"the request as a header", func(b []byte) string { return "HTTP/1.1 200 OK\r\n" + string(b) + "\r\n\r\n" }, ErrAmbiguous},
		{"a location that is no URL", func([]byte) string {
			return "HTTP/1.1 302 Found\r\nLocation: https://sso.example.com/%zz?token=" + treasure + "\r\nContent-Length: 0\r\n\r\n"
		}, ErrRedirected},
		{"not HTTP at all", func(b []byte) string { return string(b) + "\r\n\r\n" }, ErrAmbiguous},
	} {
		t.Run(tc.name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := newTestClient(t, func(c *Config) {
				c.Host, c.HTTPClient, c.Timeout = rawServer(t, tc.answer), &http.Client{Transport: transport}, 5*time.Second
			})
			change := valid
			change.CreatedBy = Author{ID: "jane.doe@example.com", Type: AuthorEmail}
			start := time.Now()
			err := client.Send(t.Context(), change)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
			for e := err; e != nil; e = unwrapAny(e) {
				for _, text := range []string{e.Error(), fmt.Sprintf("%#v", e)} {
					if strings.Contains(text, "jane.doe") || strings.Contains(text, treasure) || len(text) > 1000 {
						t.Errorf("the error shows %.500s", text)
					}
				}
			}
		})
	}
}

// unwrapAny goes down to the last cause.
func unwrapAny(err error) error {
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		all := e.Unwrap()
		return all[len(all)-1]
	}
	return nil
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// TestTransportErrorsAreNotQuoted: an instrumented transport may put anything
// into its error.
func TestTransportErrorsAreNotQuoted(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, tc := range map[string]struct{ err, want error }{
		"text":          {errors.New("proxy http://me:a/b " + treasure + "@proxy failed"), ErrAmbiguous},
		"nested":        {&url.Error{Op: "Get", URL: "https://idp.example.com/?client_secret=" + treasure, Err: errors.New("no")}, ErrAmbiguous},
		"nested, known": {&url.Error{Op: "Get", URL: "https://idp.example.com/?client_secret=" + treasure, Err: refused}, ErrUnreachable},
		"broken off":    {fmt.Errorf("%s: %w", treasure, io.ErrUnexpectedEOF), ErrAmbiguous},
	} {
		client := newTestClient(t, func(c *Config) { c.HTTPClient = &http.Client{Transport: failing{tc.err}} })
		err := client.Check(t.Context())
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
		for e := err; e != nil; e = unwrapAny(e) {
			if strings.Contains(e.Error(), treasure) {
				t.Errorf("%s: the error shows %s", name, e)
			}
		}
	}
}

func TestUntrustedCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := newTestClient(t, func(c *Config) { c.Host, c.HTTPClient = server.URL, &http.Client{Transport: transport} })
	if err := client.Check(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

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

func TestContextCauses(t *testing.T) {
	reason := errors.New("shutting down")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	client := newTestClient(t, func(c *Config) { c.HTTPClient = &http.Client{Transport: failing{io.EOF}} })
	if err := client.Check(ended); !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
		t.Errorf("before: %v", err)
	}
	s := newSink(t, nil)
	during, cancel := context.WithCancelCause(t.Context())
	s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel(reason)
		<-r.Context().Done()
	})
	if err := s.client(t, nil).Check(during); !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || !errors.Is(err, ErrAmbiguous) {
		t.Errorf("during: %v", err)
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

// TestAnswersAreReadToTheirEnd, so that one connection serves all requests.
func TestAnswersAreReadToTheirEnd(t *testing.T) {
	for _, answer := range []string{"", `{"data":{"0":{"flag":["x"]}}}`, strings.Repeat("x", 300_000)} {
		remote := map[string]bool{}
		s := newSink(t, func(w http.ResponseWriter, r *http.Request) {
			remote[r.RemoteAddr] = true
			_, _ = io.WriteString(w, answer)
		})
		client := s.client(t, nil)
		for range 5 {
			_ = client.Check(t.Context())
		}
		if len(remote) != 1 {
			t.Errorf("%d connections for 5 answers of %d bytes", len(remote), len(answer))
		}
	}
}
