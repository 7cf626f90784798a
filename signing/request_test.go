package signing_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sentryflags/sentryflags-go/signing"
)

func TestVerifyRequest(t *testing.T) {
	const secret, body = "a-client-secret", `{"action":"triggered"}`
	right, err := signing.Sign(signing.NewSecret(secret), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := signing.Sign(signing.NewSecret(secret), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(body))
	broken := errors.New("broken")
	for _, tc := range []struct {
		name      string
		signature []string
		body      io.Reader
		length    int64 // announced; -1 is unknown
		limit     int64
		want      error
		status    int
	}{
		{"right", []string{right}, strings.NewReader(body), n, 0, nil, 200},
		{"right, of unknown length", []string{right}, strings.NewReader(body), -1, 0, nil, 200},
		{"as long as the limit", []string{right}, strings.NewReader(body), n, n, nil, 200},
		{"the largest limit", []string{right}, strings.NewReader(body), n, math.MaxInt64, nil, 200},
		{"empty, signed", []string{empty}, strings.NewReader(""), 0, 0, nil, 200},
		{"announced over the limit", []string{right}, iotest.ErrReader(errors.New("read")), n, n - 1, signing.ErrBodyTooLarge, 413},
		{"over the limit, unannounced", []string{right}, strings.NewReader(body), -1, n - 1, signing.ErrBodyTooLarge, 413},
		{"endless", []string{right}, endless{}, -1, 0, signing.ErrBodyTooLarge, 413},
		{"no signature, body unread", nil, iotest.ErrReader(errors.New("read")), n, 0, signing.ErrMissingSignature, 401},
		{"malformed, body unread", []string{"x"}, iotest.ErrReader(errors.New("read")), n, 0, signing.ErrMalformedSignature, 401},
		{"two signatures", []string{right, right}, strings.NewReader(body), n, 0, signing.ErrMalformedSignature, 401},
		{"another body's", []string{empty}, strings.NewReader(body), n, 0, signing.ErrMismatch, 401},
		{"breaks off", []string{right}, io.MultiReader(strings.NewReader(body), iotest.ErrReader(broken)), -1, 0, signing.ErrUnreadableBody, 400},
		{"capped by the server as well", []string{right}, http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(body)), 3), -1, 0, signing.ErrBodyTooLarge, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			r.Body, r.ContentLength = io.NopCloser(tc.body), tc.length
			r.Header["Sentry-Hook-Signature"] = tc.signature
			got, err := signing.VerifyRequest(r, signing.HookHeader, keysOf(t, "other", secret), tc.limit)
			if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if status := signing.StatusCode(err); status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			if tc.want != nil && got != nil {
				t.Errorf("a refused request returned a body of %d bytes", len(got))
			}
			if tc.want == nil && tc.name != "empty, signed" && string(got) != body {
				t.Errorf("body %q", got)
			}
			if tc.name == "breaks off" && !errors.Is(err, broken) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestVerifyRequestWithoutOne(t *testing.T) {
	if _, err := signing.VerifyRequest(nil, signing.Header, keysOf(t, "s"), 0); signing.StatusCode(err) != 500 {
		t.Errorf("a nil request gives %v", err)
	}
	signature, err := signing.Sign(signing.NewSecret("s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	bare := &http.Request{Header: http.Header{}}
	bare.Header.Set(signing.Header, signature)
	if _, err := signing.VerifyRequest(bare, signing.Header, keysOf(t, "s"), 0); err != nil {
		t.Errorf("a request without a body: %v", err)
	}
	if _, err := signing.VerifyRequest(bare, signing.Header, signing.Keys{}, 0); !errors.Is(err, signing.ErrEmptySecret) || signing.StatusCode(err) != 500 {
		t.Errorf("without keys: %v", err)
	}
}

func TestStatusCodeOfWrapped(t *testing.T) {
	if got := signing.StatusCode(fmt.Errorf("outer: %w", signing.ErrMismatch)); got != 401 {
		t.Errorf("status %d", got)
	}
}
