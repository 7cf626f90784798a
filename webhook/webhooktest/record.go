package webhooktest

import (
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Record is a row of Sentry's flag log.
type Record struct {
	// ID is the row's number, from 1. It is Sentry's own and has nothing to do
	// with the ChangeID.
	ID int64

	// Change is what was stored: trimmed, in UTC, to the microsecond. Its
	// ChangeID is what the request said, although Sentry forgets it; 0 stands
	// for a number that does not fit into 64 bits.
	Change webhook.Change

	// StoredAt is when, on the clock of [Config.Now].
	StoredAt time.Time

	// Request is the [Request.Number] of the request that brought it.
	Request int
}
