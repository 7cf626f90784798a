package killswitch

import (
	"context"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// storeCall bounds a call of the store.
	storeCall = 3 * time.Second
	// lastCall is what the store gets to hear of the last things when a relay
	// ends.
	lastCall = time.Second
	// linger is how long a change without an item waits for others.
	linger = 50 * time.Millisecond
	// maxUnwritten bounds what waits for a store that fails.
	maxUnwritten = 10_000
)

// journal is one toggler's queue in the store, and what this process knows of
// it. Only its writer writes to the flags' notes.
type journal struct {
	store   queue.Store
	queue   string
	owner   string // this process, as far as the store goes
	limits  limits
	hold    time.Duration
	failure func(error) // is told when the store fails, and nil when it works again

	mu        sync.Mutex
	flags     map[string]*known   // by the names of their notes
	stale     map[string]struct{} // notes that others may have swapped
	unwrit    []*change           // oldest first
	unsettled []*settlement       // oldest first
	ended     bool                // the writer takes no more of them
	seen      seen
	lastSeq   int64
	held      map[string]int64 // items of this process: their Seq, or 0 before that was looked up
	down      [2]bool          // by call

	wake  chan struct{} // the writer
	poked chan struct{} // the loop
}

// known is what this process knows of a flag.
type known struct {
	// base is the flag as it was last written or read, and is never written to;
	// view is the same with what is not written yet.
	base, view *flagState
	version    int64
}

// change is a change of what is known of a flag, with an item or without one.
type change struct {
	note string
	// apply makes the change. It is called again when somebody else has changed
	// the flag's note meanwhile, and for the view, from several goroutines: it only
	// says what came of it.
	apply func(f *flagState) applied
	id    string // of the item, if it has one
	held  bool   // this process holds the item
	// maybe says that it may be written already: the store did not tell.
	maybe bool

	// What came of it, once written is closed.
	written chan struct{}
	result  applied
	stored  kill // as the item has it

	// late is closed when the store has failed to take it once.
	late     chan struct{}
	lateOnce sync.Once
}

// applied is what became of a change.
type applied struct {
	kill   *kill  // the item to add, if any
	id     string // of the item
	reason Reason // why a kill was not admitted
	inPlay bool   // a switch of the flag the other way may be under way
	alone  bool   // no other decision about the flag is known

	disputed bool  // a newer decision says otherwise
	order    int64 // of the decision, if there is no item to add
}

func newJournal(store queue.Store, name, owner string, l limits, hold time.Duration, failure func(error)) *journal {
	return &journal{
		store: store, queue: name, owner: owner, limits: l, hold: hold, failure: failure,
		flags: map[string]*known{}, stale: map[string]struct{}{}, held: map[string]int64{},
		wake: make(chan struct{}, 1), poked: make(chan struct{}, 1),
	}
}

// flag returns what is known of a flag. With the lock held.
func (j *journal) flag(note string) *known {
	f := j.flags[note]
	if f == nil {
		empty := &flagState{Version: flagVersion}
		f = &known{base: empty, view: empty}
		j.flags[note] = f
	}
	return f
}

// change makes a change of what is known, before it is written.
func (f *known) change(c *change) {
	if f.view == f.base {
		f.view = f.base.clone()
	}
	c.apply(f.view)
}

// submit adds a change to what is to be written. With the lock held.
func (j *journal) submit(c *change) {
	c.written, c.late = make(chan struct{}), make(chan struct{})
	j.flag(c.note).change(c)
	j.unwrit = append(j.unwrit, c)
	if c.id == "" {
		time.AfterFunc(linger, j.wakeWriter) // nobody waits for it, so that others may join it
		return
	}
	j.wakeWriter()
}

func (j *journal) wakeWriter() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// do submits a change, waits until it is written or ctx ends, and returns what came
// of it.
func (j *journal) do(ctx context.Context, note string, apply func(f *flagState) applied) (applied, error) {
	c := &change{note: note, apply: apply}
	j.mu.Lock()
	j.submit(c)
	j.mu.Unlock()
	select {
	case <-c.written:
		return c.result, nil
	case <-ctx.Done():
		return applied{}, ctx.Err()
	}
}

// poke makes the loop look at once.
func (j *journal) poke() {
	select {
	case j.poked <- struct{}{}:
	default:
	}
}

// call is a kind of call of the store: one may work while the other does not.
type call int

const (
	reads call = iota
	writes
)

// fails reports once that the store fails, and once that it works again.
func (j *journal) fails(what call, err error) {
	j.mu.Lock()
	changed := j.down[what] != (err != nil)
	j.down[what] = err != nil
	j.mu.Unlock()
	if changed {
		j.failure(err)
	}
}

func (j *journal) unwritten() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, c := range j.unwrit {
		if c.id != "" {
			n++
		}
	}
	return n
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
