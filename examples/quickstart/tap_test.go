package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTap(t *testing.T) {
	const body = "{}\n{\"type\":\"event\"}\n{\"event_id\":\"1\"}\n"
	for _, c := range []struct {
		name     string
		status   int // 0: no answer
		arrived  int
		failures []string
	}{
		{"taken", 200, 1, nil},
		{"taken later", 202, 1, nil},
		{"redirected", 301, 0, []string{"answered 301 Moved Permanently"}},
		{"refused", 403, 0, []string{"answered 403 Forbidden"}},
		{"down", 503, 0, []string{"answered 503 Service Unavailable"}},
		{"silent", 0, 0, []string{"no answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			watched := &tap{base: roundTripper(func(r *http.Request) (*http.Response, error) {
				if got, err := io.ReadAll(r.Body); err != nil || string(got) != body {
					t.Errorf("body %q, %v", got, err)
				}
				if c.status == 0 {
					return nil, errors.New("dial http://user:password@proxy")
				}
				w := httptest.NewRecorder()
				w.WriteHeader(c.status)
				return w.Result(), nil
			})}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := watched.RoundTrip(request)
			if (err != nil) != (c.status == 0) {
				t.Errorf("error %v", err)
			}
			if response != nil {
				response.Body.Close()
			}
			if got := len(watched.arrived()); got != c.arrived {
				t.Errorf("%d events arrived", got)
			}
			if diff := cmp.Diff(c.failures, watched.trouble()); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
		})
	}
}
