package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer: room for the errors of some
// thousand changes.
const maxAnswer = 1 << 20

// interpret says what an answer means. Nil is the only success: status 200 or
// 201 with an empty body. (Sentry answers 200, its API page says 201.)
//
// The request carried n changes; ctx is the request's.
func interpret(ctx context.Context, response *http.Response, n int) error {
	status := response.StatusCode
	if status < 200 {
		// 101: the body is the bare connection, which ends with no deadline.
		return &AnswerError{Status: status, kind: ErrUnexpectedAnswer}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if status/100 == 2 {
		if err != nil {
			return noAnswer(ctx, status, true, err)
		}
		return interpretSuccess(response, body, n)
	}
	answer := &AnswerError{Status: status, kind: kindOf(status), Detail: detailOf(response, body)}
	if status == http.StatusBadRequest && wantsTLS(body) {
		answer.kind, answer.Detail = ErrMisdirected, "the server speaks TLS on this port; set an https URL"
	}
	if status == http.StatusTooManyRequests || status >= 500 {
		answer.RetryAfter = retryAfter(response.Header, time.Now())
	}
	return answer
}

func interpretSuccess(response *http.Response, body []byte, n int) error {
	stored := response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated
	if stored && len(bytes.TrimSpace(body)) == 0 && len(body) <= maxAnswer {
		return nil
	}
	if len(body) <= maxAnswer {
		if rejection := parseRejection(body, n); rejection != nil {
			return rejection
		}
	}
	return &AnswerError{Status: response.StatusCode, kind: ErrUnexpectedAnswer, Detail: detailOf(response, body)}
}

// wantsTLS reports whether a server says that it was sent plain HTTP where it
// speaks TLS, as net/http, nginx and Apache do. It is no fault of the changes.
func wantsTLS(body []byte) bool {
	for _, text := range []string{
		"Client sent an HTTP request to an HTTPS server",
		"plain HTTP request was sent to HTTPS port",
		"speaking plain HTTP to an SSL-enabled server port",
	} {
		if bytes.Contains(body, []byte(text)) {
			return true
		}
	}
	return false
}

func kindOf(status int) error {
	switch {
	case status/100 == 3:
		return ErrRedirected
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrUnauthorized
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusMethodNotAllowed, status == http.StatusUnsupportedMediaType:
		return ErrMisdirected
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return ErrRefused
	case status == http.StatusTooManyRequests:
		return ErrRateLimited
	case status == http.StatusRequestTimeout, status >= 500:
		return ErrAmbiguous
	default:
		return ErrUnexpectedAnswer
	}
}

// detailOf returns what an answer says, if it is a sentence that Sentry is known
// to give; of anything else only its kind and size.
func detailOf(response *http.Response, body []byte) string {
	if response.StatusCode/100 == 3 {
		return redirectTarget(response)
	}
	if len(body) == 0 {
		return ""
	}
	if len(body) > maxAnswer {
		return fmt.Sprintf("a body of more than %d bytes", maxAnswer)
	}
	var object struct {
		Detail string `json:"detail"`
	}
	var text string
	if json.Unmarshal(body, &object) == nil || json.Unmarshal(body, &text) == nil {
		if shown, ok := known(cmp.Or(object.Detail, text)); ok {
			return shown
		}
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	return fmt.Sprintf("the answer is %s of %d bytes", mediaType(kind), len(body))
}

// redirectTarget names the host only if it is one of Sentry's own: a login
// page's URL carries tokens, and any URL could carry the request.
func redirectTarget(response *http.Response) string {
	location, err := url.Parse(response.Header.Get("Location"))
	switch {
	case err != nil || response.Header.Get("Location") == "":
		return ""
	case location.Host == "":
		return "to another path of the same host"
	}
	for _, host := range []string{"sentry.io", "us.sentry.io", "de.sentry.io"} {
		if strings.EqualFold(location.Host, host) {
			return "to " + host
		}
	}
	if request := response.Request; request != nil && request.URL != nil && strings.EqualFold(location.Hostname(), request.URL.Hostname()) {
		if location.Scheme != request.URL.Scheme && location.Scheme == "https" {
			return "to https on the same host"
		}
		return "to the same host"
	}
	return "to another host"
}

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
