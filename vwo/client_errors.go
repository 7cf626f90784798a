package vwo

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What an answer of VWO's means, for errors.Is. Each comes in an [*AnswerError].
var (
	// ErrUnauthorized means 401 or 403: the token is missing, revoked, or has
	// no access. Set another one.
	ErrUnauthorized = errors.New("vwo: the token is not accepted; set a valid one that has access")
	// ErrNotFound means 404: the account, environment or feature does not
	// exist, or the token has no permission for it.
	ErrNotFound = errors.New("vwo: no such account, environment or feature, or no permission for it; check the rule against VWO")
	// ErrRateLimited means 429, or that the request was not sent because
	// waiting for its turn would have taken longer than its context allows.
	// RetryAfter says how long to wait.
	ErrRateLimited = errors.New("vwo: too many requests with this token; try again later")
	// ErrRefused means another 4xx: VWO did not understand the request. Sending
	// it again changes nothing.
	ErrRefused = errors.New("vwo: the request is refused")
	// ErrRedirected means 3xx. Redirects are not followed, because the token
	// would travel with them: check the base URL.
	ErrRedirected = errors.New("vwo: redirected, which is not followed; check the base URL")
	// ErrUnavailable means 408, 5xx, a broken connection or a time-out: it may
	// have been done or not. Setting a state is safe to repeat.
	ErrUnavailable = errors.New("vwo: no usable answer; try again")
	// ErrUnexpectedAnswer means a success whose body does not confirm what was
	// asked: the page of a proxy, say, or another feature's state.
	ErrUnexpectedAnswer = errors.New("vwo: the answer does not confirm the request")
)

// AnswerError is an answer of VWO's that is not a success, or the lack of one.
// It unwraps to one of the sentinels and, when there was no answer, to the
// cause.
type AnswerError struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Code is the code in VWO's error body; 0 when it has none.
	Code int
	// Detail is what VWO said, quoted and cut, or what went wrong.
	Detail string
	// RetryAfter is how long to wait before the next request: at least a minute
	// after 429 and 503, else usually 0.
	RetryAfter time.Duration

	cause error // one of the sentinels
	inner error // of the transport; never a *url.Error, which prints the URL
}

// Error says what happened and what to do about it.
func (e *AnswerError) Error() string {
	var b strings.Builder
	b.WriteString(e.cause.Error())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, " (wait %s)", e.RetryAfter.Round(time.Millisecond))
	}
	return b.String()
}

// Unwrap returns the sentinel and the cause, if any.
func (e *AnswerError) Unwrap() []error {
	if e.inner == nil {
		return []error{e.cause}
	}
	return []error{e.cause, e.inner}
}
