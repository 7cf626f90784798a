package webhooktest

import (
	"net/http"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Request is one request that the stand-in received on any path but the log's.
type Request struct {
	// Number counts the requests from 1 in the order in which they were
	// received.
	Number int

	// ReceivedAt is when its body was there, on the clock of [Config.Now].
	ReceivedAt time.Time

	// Method and URI are those of the request line.
	Method, URI string

	// Header is as received.
	Header http.Header

	// Body is as received, cut at [Config.MaxBody].
	Body []byte

	// Answered says that the request is over: answered in full or in part, or
	// its connection broken.
	Answered bool

	// Status is what was answered, 0 while it is not or if the connection was
	// broken instead.
	Status int

	// Answer is the body that was answered; empty for [Endless].
	Answer []byte

	// Stored is how many changes the request wrote, whatever was answered.
	Stored int

	// Fault is the fault that was played; [Fault.IsZero] for none.
	Fault Fault
}

func (r *Request) clone() Request {
	c := *r
	c.Header = r.Header.Clone()
	c.Body = slices.Clone(r.Body)
	c.Answer = slices.Clone(r.Answer)
	return c
}

// Record is a row of Sentry's flag log.
type Record struct {
	// ID is the row's number, from 1. It is Sentry's own and has nothing to do
	// with the ChangeID.
	ID int64

	// Change is what was stored: trimmed, in UTC, to the microsecond. Sentry
	// itself forgets the ChangeID; here it is kept, 0 if it does not fit.
	Change webhook.Change

	// ChangeID is the change_id in full: Sentry takes integers of any length.
	ChangeID string

	// StoredAt is when, on the clock of [Config.Now].
	StoredAt time.Time

	// Request is the [Request.Number] of the request that brought it.
	Request int
}
