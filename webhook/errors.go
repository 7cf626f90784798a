package webhook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The causes of a failure, for errors.Is. What to do is in each comment; an
// [AnswerError] or a [RejectionError] wraps them with the details.
var (
	// ErrInvalidConfig means that a Config cannot work. The error names the
	// field and the rule.
	ErrInvalidConfig = errors.New("webhook: the configuration is not usable")

	// ErrInvalidChange means that Sentry would refuse a change, found before
	// anything was sent; a [*ChangeError] says which and why. Correct it:
	// trying again is of no use.
	ErrInvalidChange = errors.New("webhook: invalid change")

	// ErrRejected means that Sentry answered 200 and stored nothing, because it
	// found a change invalid; a [*RejectionError] says which. Send the others
	// again without it.
	ErrRejected = errors.New("webhook: Sentry rejected the request and stored none of its changes")

	// ErrUnexpectedAnswer means an answer that Sentry's endpoint does not give:
	// a page of a proxy under status 200, say. It proves neither that the
	// changes were stored nor that they were not. Try again, and look at what
	// stands between here and Sentry.
	ErrUnexpectedAnswer = errors.New("webhook: unexpected answer; check what stands between here and Sentry")

	// ErrUnauthorized means status 401 or 403: the secret is wrong, none is
	// saved in Sentry, or the organisation is unknown; Sentry does not say
	// which. (It never answers 403: that is a proxy's.) Nothing was stored.
	// Correct the configuration and try again.
	ErrUnauthorized = errors.New("webhook: not authorized; check the signing secret and the organisation")

	// ErrNotFound means status 404: the URL's organisation or provider is
	// unknown, or the server is too old for change tracking. Nothing was
	// stored. Correct the URL and try again.
	ErrNotFound = errors.New("webhook: not found; check the URL's organisation and that the server has change tracking")

	// ErrMisdirected means status 405 or 415, or plain HTTP sent to a port that
	// speaks TLS: what answered does not take signed JSON, so it is not Sentry's
	// endpoint. Correct the URL, or the proxy that changes the request, and try
	// again.
	ErrMisdirected = errors.New("webhook: the URL does not take signed JSON; check that it is Sentry's endpoint and that no proxy changes the request")

	// ErrRedirected means a status of 3xx. It was not followed: a redirected
	// POST loses its body. Correct the URL and try again.
	ErrRedirected = errors.New("webhook: redirected, and not followed; set the URL that answers itself")

	// ErrRefused means status 400, 413 or 422: the request as a whole was
	// refused for its syntax or its size. Nothing was stored. Send fewer
	// changes at a time.
	ErrRefused = errors.New("webhook: the request was refused for its size or syntax; send fewer changes at a time")

	// ErrRateLimited means status 429. Nothing was stored. Try again after
	// [AnswerError.RetryAfter].
	ErrRateLimited = errors.New("webhook: rate limited; wait before the next try")

	// ErrUnreachable means that nothing was sent, for want of a connection: the
	// name does not resolve, nothing listens, what listens does not speak TLS,
	// either side refused the TLS handshake, or a proxy refused to connect. (A
	// server that refuses the client's certificate under TLS 1.3 says so when
	// the request is under way, and does not read it.) The error says which.
	// Try again, and correct the URL, the certificates or the network.
	ErrUnreachable = errors.New("webhook: no connection to Sentry, nothing was sent; check the URL and the network, and try again")

	// ErrAmbiguous means that nobody knows whether the changes were stored:
	// status 408 or 5xx, a time-out, a connection that broke when the request
	// was under way. Try again; in the worst case Sentry's log shows a change
	// twice. A Transport that reads the body before it connects, to log it, makes
	// this of an ErrUnreachable.
	ErrAmbiguous = errors.New("webhook: no clear answer, what was sent may or may not have been stored; try again")

	errNilContext = errors.New("webhook: the context is nil; pass context.Background() if there is none")
)

// ChangeError is a change that Sentry would refuse. It wraps [ErrInvalidChange].
type ChangeError struct {
	// Index is the change's position among those passed to the call.
	Index int
	// Field is the name of the [Change] field, as "Flag" or "CreatedBy.ID".
	Field string
	// Reason is the rule that it breaks.
	Reason string
}

// Error names the change by its position, the field and the rule, not the
// value.
func (e *ChangeError) Error() string {
	return fmt.Sprintf("%v %d: %s %s", ErrInvalidChange, e.Index, e.Field, e.Reason)
}

// Unwrap returns [ErrInvalidChange].
func (e *ChangeError) Unwrap() error { return ErrInvalidChange }

// AnswerError is an answer that is neither success nor a rejection, or the lack
// of one. It wraps one of the sentinels, and what kept an answer away.
//
// It quotes nothing that the other side sent but sentences that Sentry is known
// to give and the numbers in them, for an answer may echo the request: its
// author, its signature. To see an answer itself, look at it in the Transport of
// [Config.HTTPClient].
type AnswerError struct {
	// Status is the HTTP status, 0 when no answer came.
	Status int
	// RetryAfter is how long the server asks to wait before the next try, at
	// most an hour; 0 when it does not say. It comes from
	// X-Sentry-Rate-Limit-Reset or Retry-After.
	RetryAfter time.Duration
	// Detail is what the answer says, if Sentry is known to say it, and else
	// what kind of answer it is; empty when there is nothing to say.
	Detail string

	kind   error  // one of the sentinels
	advice string // instead of the sentinel's text
	cause  error  // of a missing answer
}

// Error says what happened and what to do.
func (e *AnswerError) Error() string {
	var b strings.Builder
	switch {
	case e.advice != "":
		b.WriteString(e.advice)
	case e.kind != nil:
		b.WriteString(e.kind.Error())
	default: // made by hand
		b.WriteString("webhook: an answer")
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; try again in %v", e.RetryAfter)
	}
	if e.cause != nil {
		b.WriteString(": " + clean(e.cause.Error(), shownText))
	}
	return b.String()
}

// Unwrap returns the sentinel and, when no answer came, what kept it away.
func (e *AnswerError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}
