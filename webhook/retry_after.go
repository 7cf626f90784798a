package webhook

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds how long an answer can make us wait, so that one absurd
// header does not stop delivery for good.
const maxRetryAfter = time.Hour

// retryAfter returns how long a server asks to wait: Sentry names the end of
// its rate-limit window (epoch seconds), gateways send Retry-After. Times are
// held against the server's own clock if the answer shows it.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	wait := time.Duration(0)
	if reset, ok := number(header.Get("X-Sentry-Rate-Limit-Reset")); ok {
		wait = time.Unix(reset, 0).Sub(now)
	}
	if seconds, ok := number(header.Get("Retry-After")); ok {
		wait = max(wait, time.Duration(min(seconds, int64(maxRetryAfter/time.Second)))*time.Second)
	} else if at, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		wait = max(wait, at.Sub(now))
	}
	return min(max(wait, 0), maxRetryAfter)
}

// number reads whole, non-negative seconds; a fraction is rounded up.
func number(s string) (int64, bool) {
	whole, fraction, _ := strings.Cut(strings.TrimSpace(s), ".")
	n, err := strconv.ParseInt(whole, 10, 64) // a number too large comes back as the largest
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < 0 {
		return 0, false
	}
	const latest = 1 << 40 // far beyond any date, and safe to calculate with
	n = min(n, latest)
	if strings.Trim(fraction, "0") != "" {
		n++
	}
	return n, true
}
