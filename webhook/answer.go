package webhook

import (
	"bytes"
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

const (
	// maxAnswer bounds what is read of an answer: room for the errors of some
	// thousand changes.
	maxAnswer = 1 << 20
	// maxDetail bounds, in code points, what an error shows of an answer.
	maxDetail = 200
)

// judge says what an answer means. Nil is the only success: status 200 or 201
// with an empty body. (Sentry answers 200, its API page says 201.)
//
// The request carried n changes; ctx is the request's.
func judge(ctx context.Context, response *http.Response, n int) error {
	status := response.StatusCode
	if status < 200 {
		// 101: the body is the bare connection, which ends with no deadline.
		return &AnswerError{Status: status, kind: ErrUnexpectedAnswer}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if status/100 == 2 {
		if err != nil {
			return noAnswer(ctx, status, err)
		}
		return judgeSuccess(response, body, n)
	}
	answer := &AnswerError{Status: status, kind: kindOf(status), Detail: detailOf(response, body)}
	if status == http.StatusTooManyRequests || status >= 500 {
		answer.RetryAfter = retryAfter(response.Header, time.Now())
	}
	return answer
}

func judgeSuccess(response *http.Response, body []byte, n int) error {
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

// detailOf returns what an answer says, if it says it as Sentry does; of
// anything else only its kind and size, since a proxy may echo the request.
func detailOf(response *http.Response, body []byte) string {
	if response.StatusCode/100 == 3 {
		return redirectTarget(response)
	}
	if len(body) == 0 {
		return ""
	}
	var object struct {
		Detail string `json:"detail"`
	}
	var text string
	switch {
	case len(body) > maxAnswer:
		return fmt.Sprintf("a body of more than %d bytes", maxAnswer)
	case json.Unmarshal(body, &object) == nil && object.Detail != "":
		return clean(object.Detail, maxDetail)
	case json.Unmarshal(body, &text) == nil && text != "":
		return clean(text, maxDetail)
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		kind = "unnamed content"
	}
	return fmt.Sprintf("the answer is %s of %d bytes", clean(kind, 40), len(body))
}

// redirectTarget names only the host: a login page's URL carries tokens.
func redirectTarget(response *http.Response) string {
	location, err := url.Parse(response.Header.Get("Location"))
	if err != nil || location.Host == "" {
		return ""
	}
	return "to " + clean(location.Scheme+"://"+location.Host, maxDetail)
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
