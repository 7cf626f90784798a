package webhook

import (
	"context"
	"time"
)

// Item is what a [Store] keeps: bytes that mean nothing to it.
type Item struct {
	// ID is unique within a queue: 1 to 200 bytes of valid UTF-8 without
	// U+0000. An item whose ID the queue knows already is not added again.
	ID string
	// Key orders items: of two items with the same key, the one enqueued first
	// is taken first. Any valid UTF-8 without U+0000, at most 1,024 bytes,
	// empty included.
	Key string
	// Body is the content, at most 1 MiB.
	Body []byte
}

// Store is a durable queue of opaque items, several queues in one, each under
// its own name. The emitter keeps changes in it, an alert relay the alerts that
// it has accepted. [MemoryStore] is one that a crash empties; package sqlstore
// has one on SQLite and PostgreSQL; package storetest proves any other.
//
// All methods are safe for concurrent use. They honour their context: one that
// is nil or has ended before the call is an error and changes nothing. They
// fail with [ErrInvalidItem] on the name of a queue that [ValidateQueue]
// refuses, and with [ErrStoreClosed] once the store is closed.
type Store interface {
	// Enqueue adds items to the end of the queue, all of them or, on an error,
	// none. It returns how many were new: an item whose ID is waiting, dead or
	// settled within the store's dedupe window is known and skipped, which is
	// no error. When it returns nil the items are as durable as the store is.
	// An error may leave open whether they were added, when the store cannot
	// know (a database that went away during the commit); enqueuing them again
	// is always safe. An item that [Item.Validate] refuses is
	// [ErrInvalidItem]. A store that is full refuses with [ErrStoreFull]; it
	// never waits for room and never drops an item. The store keeps no
	// reference to the items' bodies.
	Enqueue(ctx context.Context, queue string, items ...Item) (added int, err error)

	// Turn waits until no other taker, in this process or another one, has the
	// queue's turn, and takes it. The caller releases it. The turn of a process
	// that dies passes on by itself.
	Turn(ctx context.Context, queue string) (Turn, error)

	// Dead lists up to limit dead items of the queue in the order in which they
	// died, after the dead item with the ID after; if there is none such, from
	// the first.
	Dead(ctx context.Context, queue, after string, limit int) ([]DeadItem, error)

	// Replay makes dead items wait again, at the end of the queue in the order
	// in which they died, as if they were enqueued now: those with the given
	// ids, or all if none is given. It returns how many it found.
	Replay(ctx context.Context, queue string, ids ...string) (int, error)

	// Stats counts the queue's items.
	Stats(ctx context.Context, queue string) (StoreStats, error)
}

// Turn is the sole right to take items from a queue. It is used by one
// goroutine at a time.
type Turn interface {
	// Take returns up to limit waiting items, oldest first, and leaves them in
	// the queue: until they are settled the next call returns them again. It
	// does not wait; an empty queue, or a limit below 1, gives none. It fails
	// with [ErrTurnLost] when the turn was released or has passed on.
	Take(ctx context.Context, limit int) ([]Item, error)

	// Settle says what became of items, all at once or, on an error, for none.
	// An item that is not waiting is passed over. An unknown State is an error.
	// It fails with [ErrTurnLost] when the turn was released or has passed on.
	Settle(ctx context.Context, outcomes ...Outcome) error

	// Release gives the turn up. It may be called more than once, and by any
	// goroutine.
	Release() error
}

// Outcome says what became of an item that was taken.
type Outcome struct {
	ID string
	// State is what the item becomes.
	State ItemState
	// Reason says why a dead item died. It is kept with it, as [CutReason]
	// leaves it.
	Reason string
}

// ItemState is what became of an item.
type ItemState int

// The states of an item.
const (
	// StateWaiting leaves the item in its place in the queue.
	StateWaiting ItemState = iota
	// StateDone removes it; its ID stays known for the store's dedupe window.
	StateDone
	// StateDead moves it to the dead letters, where it stays until replayed.
	StateDead
)

// DeadItem is an item in the dead letters.
type DeadItem struct {
	Item
	// Reason is why, in the words of whoever settled it.
	Reason string
	// DiedAt is when it was settled.
	DiedAt time.Time
}

// StoreStats are the numbers of one queue.
type StoreStats struct {
	// Waiting is how many items wait to be taken and settled.
	Waiting int
	// Dead is how many are in the dead letters.
	Dead int
	// OldestWaiting is when the oldest waiting item was enqueued or last
	// replayed, by this process's clock; zero if none waits.
	OldestWaiting time.Time
}
