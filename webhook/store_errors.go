package webhook

import "errors"

// What a [Store] refuses with.
var (
	// ErrInvalidItem means that an item, or the name of a queue, is outside the
	// limits of [Item]; none was added.
	ErrInvalidItem = errors.New("webhook: this cannot be kept in a store")
	// ErrStoreClosed means that the store was closed before or during the call.
	ErrStoreClosed = errors.New("webhook: the store is closed")
	// ErrStoreFull means that a bounded store has no room for the items; none
	// was added. Enqueue them again when some have been delivered.
	ErrStoreFull = errors.New("webhook: the store is full; nothing was added")
	// ErrTurnLost means that the turn was released or has passed to another
	// taker: take no more under it. What was taken and has since been finished
	// may be settled under the next turn, where what another taker settled in
	// the meantime is passed over.
	ErrTurnLost = errors.New("webhook: the turn on the queue was lost to another taker")
)

// checkContext refuses a context that is missing or has ended.
func checkContext(ctx interface{ Err() error }) error {
	if ctx == nil {
		return errNilContext
	}
	return ctx.Err()
}
