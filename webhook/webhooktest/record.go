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
