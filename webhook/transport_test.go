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
				c.Host, c.HTTPClient, c.Timeout = rawServer(t, tc.answer), &http.Client{Transport: transport}, time.Minute
			})
			change := valid
			change.CreatedBy = Author{ID: "jane.doe@example.com", Type: AuthorEmail}
			start := time.Now()
			err := client.Send(t.Context(), change)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if took := time.Since(start); took > 50*time.Second {
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

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return nil, f.err
}

// TestTransportErrorsAreNotQuoted: an instrumented transport may put anything
// into its error.
func TestTransportErrorsAreNotQuoted(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, tc := range map[string]struct{ err, want error }{
		"text":          {errors.New("proxy http://me:a/b " + treasure + "@proxy failed"), ErrAmbiguous},
		"nested":        {&url.Error{Op: "Get", URL: "https://idp.example.com/?client_secret=" + treasure, Err: errors.New("no")}, ErrAmbiguous},
		"nested, known": {&url.Error{Op: "Get", URL: "https://idp.example.com/?client_secret=" + treasure, Err: refused}, ErrAmbiguous},
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

func TestNoAnswer(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for name, answer := range map[string]http.HandlerFunc{
		"never answers": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		},
		"an answer that never ends": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Millisecond):
				case <-r.Context().Done():
				}
			}
		},
		"breaks the connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"breaks off in the answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"data":[{}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, answer)
			err := s.client(t, func(c *Config) { c.Timeout = 100 * time.Millisecond }).Send(t.Context(), valid)
			if !errors.Is(err, ErrAmbiguous) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "organizations") {
				t.Errorf("the error prints the URL: %v", err)
			}
			timesOut := strings.Contains(name, "never")
			if timesOut != errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the cause is not kept: %v", err)
			}
		})
	}
	t.Run("refuses the connection", func(t *testing.T) {
		s := newSink(t, nil)
		client := s.client(t, nil)
		s.Close()
		if err := client.Send(t.Context(), valid); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrAmbiguous) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestContexts(t *testing.T) {
	s := newSink(t, nil)
	client := s.client(t, nil)
	var none context.Context
	if err := client.Send(none, valid); err == nil {
		t.Error("a nil context is no error for Send")
	}
	if err := client.Check(none); err == nil {
		t.Error("a nil context is no error for Check")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Send(cancelled, valid); !errors.Is(err, context.Canceled) || errors.Is(err, ErrAmbiguous) {
		t.Errorf("an ended context gives %v", err)
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests were made all the same", n)
	}
	during, cancel := context.WithCancel(t.Context())
	s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice the client hanging up
		cancel()
		<-r.Context().Done()
	})
	if err := client.Send(during, valid); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrAmbiguous) {
		t.Errorf("a context that ends meanwhile gives %v", err)
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
