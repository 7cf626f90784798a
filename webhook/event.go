package webhook

import (
	"fmt"
	"time"
)

// EventKind says what happened.
type EventKind int

// The kinds of an [Event].
const (
	// EventDelivered means that Sentry has stored Changes changes.
	EventDelivered EventKind = iota + 1
	// EventRejected means that one change went to the dead letters: Err says
	// why, ItemID and Flag which. Correct the cause and replay it.
	EventRejected
	// EventPaused means that a request failed, or the store, so that delivery
	// waits for Wait: Err says why, Failures how often in a row. It comes with
	// each failure.
	EventPaused
	// EventResumed means that delivery works again after a pause.
	EventResumed
)

// String returns the name of the kind.
func (k EventKind) String() string {
	switch k {
	case EventDelivered:
		return "delivered"
	case EventRejected:
		return "rejected"
	case EventPaused:
		return "paused"
	case EventResumed:
		return "resumed"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// Event is something that happened to changes on their way to Sentry, for
// metrics and alarms.
type Event struct {
	Kind EventKind
	// Changes is how many changes it is about.
	Changes int
	// ItemID is the ID in the store of the change that was rejected.
	ItemID string
	// Flag is the flag of the change that was rejected.
	Flag string
	// Err is why changes were rejected or delivery is paused.
	Err error
	// Wait is how long delivery is paused.
	Wait time.Duration
	// Failures is how many failures in a row led to this pause.
	Failures int
}
