package webhooktest

import (
	"net/http"
	"strconv"
	"time"
)

// rateLimited is the 429 of Sentry's rate limiter, which is JSON in all but its
// type.
func rateLimited(reset time.Time) answer {
	return answer{
		status:      http.StatusTooManyRequests,
		contentType: "text/html; charset=utf-8",
		body:        []byte(`{"detail": "You are attempting to use this endpoint too frequently. Limit is 40 requests in 1 seconds"}`),
		header: http.Header{
			"X-Sentry-Rate-Limit-Remaining": {"0"},
			"X-Sentry-Rate-Limit-Limit":     {"40"},
			"X-Sentry-Rate-Limit-Reset":     {strconv.FormatInt(reset.Unix(), 10)},
		},
	}
}
