package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store keeps queues of items, each queue under its own name. What it promises
// is proved by package queuetest, for any implementation: [Memory] is one that
// a crash empties, package sqlstore has one on SQLite and PostgreSQL.
//
// All methods are safe for concurrent use, by any number of processes. They
// honour their context: one that is nil or has ended before the call is an
// error and changes nothing. They fail with [ErrInvalid] on what is outside the
// limits, and with [ErrClosed] once the store is closed. After any other error
// it is open whether the call took effect; every call may be repeated.
//
// Time is the store's: where several processes share a store, it is the clock
// of the database. Times that it returns are converted to the clock of this
// process. A lease, a rest, a hold or a delay ends when its time has come, and
// also when the clock was set back so far that it would last longer than it was
// asked for.
type Store interface {
	// Add adds items to the end of the queue and swaps notes: all of it or, on an
	// error, nothing. It returns how many items were new.
	// One whose ID is waiting, dead, or was settled within the store's window is
	// known and skipped, which is no error. When Add returns nil the items are
	// as durable as the store is. A note that is not at the version given is
	// [ErrNoteChanged], whatever the others are. A store without room refuses with [ErrFull]; it never
	// waits for room. The store keeps no reference to the bodies.
	Add(ctx context.Context, queue string, a Addition) (added int, err error)

	// Lease asks for the lease called name, for ttl from now, and renews it for
	// who has it. A wait of 0 means that owner has it; otherwise it is how long
	// another has it, or how long it rests, unless that ends earlier. It looks
	// before it writes: asking for what another has changes nothing.
	Lease(ctx context.Context, name, owner string, ttl time.Duration) (wait time.Duration, err error)

	// Release gives the lease back, if owner has it, even one that has run out,
	// and lets nobody have it before rest is over.
	Release(ctx context.Context, name, owner string, rest time.Duration) error

	// Resume ends the rest of a lease: a person has mended what the rest was for.
	// Whoever has the lease keeps it.
	Resume(ctx context.Context, name string) error

	// Due reads up to limit entries that are waiting and whose delay or hold is
	// over, in the order of their Seq. It changes nothing: until they are settled
	// they stay due.
	//
	// After says that everything up to this Seq was seen, so that a store need not
	// look there. It may return what waits there nonetheless, and has to return
	// what was committed late, for databases commit out of order: of two entries
	// with one key, of which one was there when the other was added, the newer one
	// is never returned first. What becomes due again, when a delay or a hold
	// ends, need not be returned: who goes on from a Seq looks from 0 now and
	// then.
	Due(ctx context.Context, queue string, after int64, limit int) ([]Entry, error)

	// Settle says what became of entries. Each outcome counts for itself, and
	// only for the entry with its ID and its Seq.
	//
	// [Done] counts whoever says it, and whatever the entry has become
	// meanwhile: it was done. [Dead] and [Waiting] count for waiting entries
	// only, and only from the owner of the lease that is called as the queue, or
	// from the owner of the entry's hold; that either has run out is no matter as
	// long as nobody else has it. What does not count is passed over without an
	// error.
	Settle(ctx context.Context, queue, owner string, outcomes ...Outcome) error

	// List reads entries for people, and to see what else there is of a key.
	List(ctx context.Context, queue string, filter Filter) ([]Entry, error)

	// Revise makes the dead entry with e's ID and Seq wait again, at the end of
	// the queue, with a new Seq and without tries: as it is or, if with is not
	// nil, with the key and the body of with, whose ID has to be e's. If there is
	// no such dead entry (any more) it is [ErrNotDead].
	Revise(ctx context.Context, queue string, e Entry, with *Item) error

	// Discard makes entries that wait or are dead [Discarded], by ID and Seq, and
	// returns how many there were. Who is working on one may do it nonetheless.
	Discard(ctx context.Context, queue string, entries ...Entry) (int, error)

	// Note reads a note of the queue. One that was never written has the version
	// 0 and no body, which is no error.
	Note(ctx context.Context, queue, name string) (Note, error)

	// Notes reads the notes of the queue with these names, or all of them if no
	// name is given, in any order. It leaves out what was never written.
	Notes(ctx context.Context, queue string, names ...string) ([]Note, error)

	// Stats counts what the queue holds, and stops at most of each: a count that
	// is most stands for so many or more. Databases count by reading, so that
	// this is what it costs. 0 counts all.
	Stats(ctx context.Context, queue string, most int) (Stats, error)

	// Queues lists the queues in which something waits or is dead, by name.
	Queues(ctx context.Context) ([]string, error)

	// Sweep removes up to limit of the entries, of all queues, that were settled
	// (done or discarded) longer ago than the store's window, oldest first, and
	// returns how many. Where there is nothing to remove it only looks.
	Sweep(ctx context.Context, limit int) (int, error)
}

// State is what an entry is.
type State int

// The states of an entry.
const (
	// Waiting entries are to be worked on.
	Waiting State = iota
	// Done entries are settled for good. They are kept until swept.
	Done
	// Dead entries could not be done and stay until a person revises or discards
	// them.
	Dead
	// Discarded entries were given up by a person. They are kept until swept.
	Discarded
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Done:
		return "done"
	case Dead:
		return "dead"
	case Discarded:
		return "discarded"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Entry is an item in a queue.
type Entry struct {
	Item
	// Seq is its place in the queue. It is new when the item is added and when
	// it is revised, and is never used twice.
	Seq   int64
	State State
	// Added is when the item was added or last revised.
	Added time.Time
	// Since is when it got into its state.
	Since time.Time
	// Due is when a waiting entry may be worked on: now or earlier, unless it
	// was put off or is held.
	Due time.Time
	// Owner is who holds a waiting entry, or held it: empty for none.
	Owner string
	// Tries is how often it was put off.
	Tries int
	// Reason says why it is dead, or was put off last.
	Reason string
}

// Outcome says what became of an entry.
type Outcome struct {
	// ID and Seq name the entry.
	ID  string
	Seq int64
	// State is what it becomes: [Done], [Dead] or [Waiting].
	State State
	// Reason says why it is dead or waits. It is kept as [CutReason] leaves it.
	Reason string
	// After puts a waiting entry off for so long: it is not due before. It counts
	// as a try.
	After time.Duration
	// Hold, of a waiting entry, means that owner holds it for After: it stays
	// with who works on it outside of [Run]. It does not count as a try.
	// Without Hold a hold is over.
	Hold bool
}

// Addition is what [Store.Add] adds.
type Addition struct {
	Items []Item
	// Owner holds the items for Hold from now: they are not due before, and the
	// owner may settle them without the queue's lease. Somebody who works on an
	// item from the moment on that it is added, and may die, holds it. Both or
	// neither are given.
	Owner string
	Hold  time.Duration
	// Notes are swapped in the same transaction, each name once: Version is the one
	// that was read.
	Notes []Note
}

// Validate checks the addition against the limits that its fields name. Its
// error is [ErrInvalid]. Every [Store] calls it.
func (a Addition) Validate() error {
	for i, item := range a.Items {
		if err := item.Validate(); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	if (a.Owner == "") != (a.Hold == 0) || a.Hold < 0 {
		return fmt.Errorf("%w: an addition has an Owner and a positive Hold, or neither", ErrInvalid)
	}
	if err := validateText("owner", a.Owner, MaxName); err != nil {
		return err
	}
	names := make(map[string]struct{}, len(a.Notes))
	for _, note := range a.Notes {
		if err := ValidateName("note", note.Name); err != nil {
			return err
		}
		if _, repeated := names[note.Name]; repeated {
			return fmt.Errorf("%w: a note is to be swapped twice at once", ErrInvalid)
		}
		names[note.Name] = struct{}{}
		if len(note.Body) > MaxNote {
			return fmt.Errorf("%w: the note has %d bytes, the most is %d", ErrInvalid, len(note.Body), MaxNote)
		}
	}
	return nil
}

// ValidateNotes checks the arguments of [Store.Notes]. Its error is [ErrInvalid].
// Every [Store] calls it.
func ValidateNotes(names []string) error {
	for _, name := range names {
		if err := ValidateName("note", name); err != nil {
			return err
		}
	}
	return nil
}

// Note is a value with a name, kept beside a queue, of which each version can be
// followed by one only.
type Note struct {
	Name string
	// Version counts the swaps: 0 before the first.
	Version int64
	// Body is the content, at most [MaxNote] bytes.
	Body []byte
}

// Filter chooses what [Store.List] returns. Its zero value is the oldest 100
// entries.
type Filter struct {
	// States are those wanted. Defaults to all.
	States []State
	// ID and Key are those wanted. Empty means all.
	ID, Key string
	// After and Before bound the Seq, exclusively. Zero means no bound. They are
	// also how to page: go on from the last Seq returned.
	After, Before int64
	// Newest returns the highest Seq first instead of the lowest.
	Newest bool
	// Limit is the most entries, at most [MaxList]. Defaults to 100.
	Limit int
}

// MaxList is the most that [Filter.Limit] can be.
const MaxList = 1000

// WithDefaults returns the filter with its defaults filled in, or [ErrInvalid].
// Every [Store] calls it.
func (f Filter) WithDefaults() (Filter, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	if f.Limit < 0 || f.Limit > MaxList {
		return f, fmt.Errorf("%w: Limit has to be 1 to %d", ErrInvalid, MaxList)
	}
	if err := validateText("ID", f.ID, MaxID); err != nil {
		return f, err
	}
	return f, validateText("Key", f.Key, MaxKey)
}

// ValidateLease checks the arguments of [Store.Lease] and, with any positive
// ttl, of [Store.Release]. Its error is [ErrInvalid]. Every [Store] calls it.
func ValidateLease(name, owner string, ttl time.Duration) error {
	if err := ValidateName("lease", name); err != nil {
		return err
	}
	if err := ValidateName("owner", owner); err != nil {
		return err
	}
	if ttl <= 0 {
		return fmt.Errorf("%w: a lease has to last for some time", ErrInvalid)
	}
	return nil
}

// ValidateSettle checks the arguments of [Store.Settle]. Its error is
// [ErrInvalid]. Every [Store] calls it.
func ValidateSettle(owner string, outcomes []Outcome) error {
	if err := ValidateName("owner", owner); err != nil {
		return err
	}
	for _, outcome := range outcomes {
		switch {
		case outcome.State != Waiting && outcome.State != Done && outcome.State != Dead:
			return fmt.Errorf("%w: an entry cannot be settled as %v", ErrInvalid, outcome.State)
		case outcome.After < 0 || outcome.Hold && outcome.After == 0:
			return fmt.Errorf("%w: After is negative, or zero for a hold", ErrInvalid)
		case outcome.State != Waiting && (outcome.Hold || outcome.After != 0):
			return fmt.Errorf("%w: only a waiting entry has After and Hold", ErrInvalid)
		}
	}
	return nil
}

// ValidateMost checks the argument of [Store.Stats]. Its error is [ErrInvalid].
// Every [Store] calls it.
func ValidateMost(most int) error {
	if most < 0 {
		return fmt.Errorf("%w: the most to count must not be negative", ErrInvalid)
	}
	return nil
}

// ValidateRevision checks the arguments of [Store.Revise]. Its error is
// [ErrInvalid]. Every [Store] calls it.
func ValidateRevision(e Entry, with *Item) error {
	if with == nil {
		return nil
	}
	if with.ID != e.ID {
		return fmt.Errorf("%w: a revision keeps the ID, so that the item stays known by it", ErrInvalid)
	}
	return with.Validate()
}

// Stats are the numbers of one queue.
type Stats struct {
	// Waiting is how many entries wait, due or not, counted up to the most that
	// was asked for.
	Waiting int
	// Dead is how many are dead, counted likewise.
	Dead int
	// Oldest is when the oldest waiting entry was added or last revised. Zero if
	// none waits.
	Oldest time.Time
	// Held says that somebody has the queue's lease, so works on it.
	Held bool
	// Rest is how long the queue rests, after a failure that concerns all that
	// wait in it. Zero if it does not.
	Rest time.Duration
	// Dropped is how many dead entries a bounded store has dropped.
	Dropped int64
}

// What a [Store] refuses with.
var (
	// ErrInvalid means that an item, a name or an argument is outside the limits.
	// Nothing was changed.
	ErrInvalid = errors.New("queue: this cannot be kept")
	// ErrClosed means that the store was closed before or during the call.
	ErrClosed = errors.New("queue: the store is closed")
	// ErrFull means that the store has no room for the items. None was added. Add
	// them again when some are done.
	ErrFull = errors.New("queue: the store is full; nothing was added")
	// ErrNoteChanged means that the note is not at the version given: somebody
	// else has swapped it. Nothing was changed. Read it again.
	ErrNoteChanged = errors.New("queue: the note was changed by somebody else; nothing was added")
	// ErrHandler means that a handler of [Run] has panicked, or does not return
	// though its context has ended. The store is not to blame.
	ErrHandler = errors.New("queue: the handler failed")
	// ErrNotDead means that there is no dead entry with this ID and Seq: it was
	// revised, discarded, swept, or done after all. List it again.
	ErrNotDead = errors.New("queue: the entry is not dead (any more)")
)

var errNilContext = errors.New("queue: the context is nil; pass context.Background() if there is none")

// checkContext refuses a context that is missing or has ended.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	return ctx.Err()
}
