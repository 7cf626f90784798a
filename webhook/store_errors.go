package webhook

import "errors"

// What a [Store] refuses with.
var (
	// ErrStoreClosed means that the store was closed before or during the call.
	ErrStoreClosed = errors.New("webhook: the store is closed")
	// ErrStoreFull means that a bounded store has no room for the items; none
	// was added. Enqueue them again when some have been delivered.
	ErrStoreFull = errors.New("webhook: the store is full; nothing was added")
	// ErrTurnLost means that the turn has passed to another taker, so that what
	// was taken under it must not be settled.
	ErrTurnLost = errors.New("webhook: the turn on the queue was lost to another taker")
)
