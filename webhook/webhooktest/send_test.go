package webhooktest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// hello is the body that Sentry's own test sends.
const hello = `{"data":[{"action":"created","change_id":9734362632,"created_at":"2024-12-12T00:00:00+00:00","created_by":{"id":"username","type":"name"},"flag":"hello"}],"meta":{"version":1}}`

// flagged is hello for another flag.
func flagged(flag string) string { return strings.Replace(hello, `"hello"`, `"`+flag+`"`, 1) }

func newServer(t testing.TB, config webhooktest.Config) *webhooktest.Server {
	t.Helper()
	s := webhooktest.NewServer(config)
	t.Cleanup(s.Close)
	return s
}

// signed is a request as a good sender makes it.
func signed(t testing.TB, s *webhooktest.Server, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if !s.Secret().IsZero() {
		r.Header.Set(signing.Header, sign(t, s.Secret(), body))
	}
	return r
}

func sign(t testing.TB, secret signing.Secret, body string) string {
	t.Helper()
	signature, err := signing.Sign(secret, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// send returns the answer, or how it broke.
func send(s *webhooktest.Server, r *http.Request) (*http.Response, string, error) {
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// post sends a body that must be answered.
func post(t testing.TB, s *webhooktest.Server, body string) (status int, answer string) {
	t.Helper()
	response, answer, err := send(s, signed(t, s, body))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}
