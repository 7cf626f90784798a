package webhooktest

import (
	"net/http"
	"strings"
	"time"
)

// Fault is something that goes wrong with one request. Script it with
// [Handler.Fail] or [Handler.FailAlways].
//
// A fault strikes before the request is judged, so that nothing is stored,
// unless [Fault.AfterStoring] says otherwise. The zero value is no fault: the
// request is judged as usual, which is of use in the middle of a queue.
type Fault struct {
	kind         faultKind
	answer       answer
	release      <-chan struct{}
	afterStoring bool
}

type faultKind int

const (
	noFault faultKind = iota
	faultAnswer
	faultHold
	faultDisconnect
	faultTruncate
	faultEndless
)

// AfterStoring returns the fault as it strikes after Sentry has judged the
// request and stored what it accepts: the sender cannot know.
func (f Fault) AfterStoring() Fault {
	f.afterStoring = true
	return f
}

// IsZero reports whether it is no fault.
func (f Fault) IsZero() bool { return f.kind == noFault }

// Answer gives an answer of your own.
func Answer(status int, contentType, body string) Fault {
	return Fault{kind: faultAnswer, answer: answer{status: status, contentType: contentType, body: []byte(body)}}
}

// Status gives the answer that Sentry, or the gateway before it, gives with
// that status; of a status for which none is known the body is empty.
func Status(status int) Fault {
	a := answer{status: status}
	switch status {
	case http.StatusUnauthorized:
		a = notAuthorized
	case http.StatusForbidden:
		a = forbidden
	case http.StatusNotFound:
		a = noResource
	case http.StatusInternalServerError:
		a = internalError
	case http.StatusTooManyRequests:
		return RateLimited(time.Now().Add(time.Minute))
	}
	return Fault{kind: faultAnswer, answer: a}
}

// RateLimited is Sentry's 429: JSON text under an HTML type, and the time until
// which to wait, cut to the second, in X-Sentry-Rate-Limit-Reset. There is no
// Retry-After; [Fault.WithHeader] adds one.
func RateLimited(reset time.Time) Fault {
	return Fault{kind: faultAnswer, answer: rateLimited(reset)}
}

// Redirect sends the request elsewhere, with 301, 302, 303, 307 or 308.
func Redirect(status int, location string) Fault {
	return Fault{kind: faultAnswer, answer: answer{status: status}}.WithHeader("Location", location)
}

// ProxyPage is a 200 with the page of a proxy that never asked Sentry.
func ProxyPage() Fault {
	return Answer(http.StatusOK, "text/html; charset=utf-8", "<!DOCTYPE html>\n<html><body><h1>Sign in to continue</h1></body></html>\n")
}

// WithHeader returns the fault with a header field in its answer.
func (f Fault) WithHeader(name, value string) Fault {
	f.answer = f.answer.with(name, value)
	return f
}

// Hold keeps the sender waiting until release is closed, and then judges the
// request as usual. It ends earlier, without an answer, when the sender gives
// up or the server closes. A nil channel is never closed: a server that never
// answers.
func Hold(release <-chan struct{}) Fault {
	return Fault{kind: faultHold, release: release}
}

// Disconnect breaks the connection instead of answering.
func Disconnect() Fault { return Fault{kind: faultDisconnect} }

// Truncate breaks the connection in the middle of the answer's body: the first
// half of what Sentry says, or of a filler where it says nothing.
func Truncate() Fault { return Fault{kind: faultTruncate} }

// Endless answers 200 and then never stops, until the sender gives up or the
// server closes.
func Endless() Fault { return Fault{kind: faultEndless} }

// String names the fault.
func (f Fault) String() string {
	name := [...]string{"none", "answer", "hold", "disconnect", "truncate", "endless"}[f.kind]
	if f.kind == faultAnswer {
		name = strings.ToLower(http.StatusText(f.answer.status))
	}
	if f.afterStoring {
		name += " after storing"
	}
	return name
}

// Fail queues faults, one for each of the next requests. They go before a fault
// of [Handler.FailAlways].
func (h *Handler) Fail(faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, faults...)
}

// FailAlways plays a fault for every request that no queued one is meant for,
// until [Handler.Recover].
func (h *Handler) FailAlways(fault Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.persistent = fault
}

// Recover takes back all faults that were not played yet.
func (h *Handler) Recover() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue, h.persistent = nil, Fault{}
}
