package webhooktest

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
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

// Answer gives an answer of your own. It panics if the status is none that ends
// a request: 200 to 999.
func Answer(status int, contentType, body string) Fault {
	return answering(answer{status: status, contentType: contentType, body: []byte(body)})
}

func answering(a answer) Fault {
	if a.status < 200 || a.status > 999 {
		panic(fmt.Sprintf("webhooktest: %d is no status that ends a request", a.status))
	}
	return Fault{kind: faultAnswer, answer: a}
}

// Status gives the answer that Sentry, or the gateway before it, gives with
// that status; where that depends on the request the body is empty. It panics as
// [Answer] does.
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
	return answering(a)
}

// RateLimited is Sentry's 429: JSON text under an HTML type, and the time until
// which to wait, cut to the second, in X-Sentry-Rate-Limit-Reset. There is no
// Retry-After; [Fault.WithHeader] adds one.
func RateLimited(reset time.Time) Fault {
	return answering(rateLimited(reset))
}

// Redirect sends the request elsewhere, with 301, 302, 303, 307 or 308.
func Redirect(status int, location string) Fault {
	return Answer(status, "", "").WithHeader("Location", location)
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
		name = strings.ToLower(strings.TrimSpace(fmt.Sprint(f.answer.status, " ", http.StatusText(f.answer.status))))
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

// play answers a request: as Sentry judges it, or as the fault has it.
func (h *Handler) play(w http.ResponseWriter, r *http.Request, request *Request, fault Fault, judge func() answer) {
	said := answer{status: http.StatusOK}
	judged := fault.afterStoring || fault.IsZero()
	if judged {
		said = judge()
	}
	switch fault.kind {
	case noFault:
		h.reply(w, request, said)
	case faultHold:
		h.hold(r, request, fault.release)
		if !judged {
			said = judge()
		}
		h.reply(w, request, said)
	case faultAnswer:
		h.reply(w, request, fault.answer)
	case faultDisconnect:
		h.abort(request, 0, nil)
	case faultTruncate:
		h.truncate(w, request, said)
	case faultEndless:
		h.endless(w, r, request)
	}
}

func (h *Handler) reply(w http.ResponseWriter, request *Request, a answer) {
	// Noted first: whoever has the answer finds it noted.
	h.finish(request, a.status, a.body)
	a.write(w)
}

// abort breaks the connection.
func (h *Handler) abort(request *Request, status int, sent []byte) {
	h.finish(request, status, sent)
	panic(http.ErrAbortHandler)
}

// hold waits for release, and breaks the connection if the sender or the server
// ends first.
func (h *Handler) hold(r *http.Request, request *Request, release <-chan struct{}) {
	select {
	case <-release:
		return
	default:
	}
	select {
	case <-release:
	case <-r.Context().Done():
		h.abort(request, 0, nil)
	}
}

func (h *Handler) truncate(w http.ResponseWriter, request *Request, a answer) {
	body := a.body
	if len(body) == 0 {
		body = []byte(`{"detail":"never said in full"}`)
	}
	half := body[:len(body)/2]
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(half)
	_ = http.NewResponseController(w).Flush()
	h.abort(request, a.status, half)
}

func (h *Handler) endless(w http.ResponseWriter, r *http.Request, request *Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	chunk := bytes.Repeat([]byte(" "), 4096)
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			break
		}
	}
	h.abort(request, http.StatusOK, nil)
}
