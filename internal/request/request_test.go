package request_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/request"
)

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "LOCALHOST": false, "localhost.example.com": false, "10.0.0.1": false, "::ffff:10.0.0.1": false, "0.0.0.0": false,
	} {
		if got := request.IsLoopback(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0, "1.5": 0, "91": 90 * time.Second, "99999999999": 90 * time.Second,
		"Thu, 26 Nov 2026 12:00:40 GMT": 40 * time.Second, "Thu, 26 Nov 2026 13:00:00 GMT": 90 * time.Second, "Mon, 01 Jan 2001 00:00:00 GMT": 0,
	} {
		if got := request.RetryAfter(http.Header{"Retry-After": {value}}, now, 90*time.Second); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
