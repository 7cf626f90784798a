package killswitch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	// The pauses after the store has failed.
	minStorePause = 50 * time.Millisecond
	maxStorePause = 2 * time.Second
	// linger is how long a change without an item waits for others.
	linger = 50 * time.Millisecond
	// maxUnwritten bounds what waits for a store that fails.
	maxUnwritten = 10_000
	// maxGroup is how many changes are written at once: a transaction costs much
	// the same for one and for a thousand, and alerts wait for it.
	maxGroup = 1000
	// maxSettled is how many items are settled at once; changes wait meanwhile.
	maxSettled = 200
	// maxSeen bounds how many items are remembered here; the oldest are forgotten
	// first.
	maxSeen = 100_000
)

// journal is one toggler's queue in the store, and what this process knows of
// it. Only its writer writes to the state.
type journal struct {
	store   queue.Store
	queue   string
	owner   string // this process, as far as the store goes
	limits  limits
	hold    time.Duration
	failure func(error) // is told when the store fails, and nil when it works again
	turn    *turn       // nil if nobody else writes to the store

	mu sync.Mutex
	// base is the state as it was last written or read, and view the same with
	// what is not written yet.
	base, view *state
	version    int64
	unwrit     []*change            // oldest first
	unsettled  []*settlement        // oldest first
	ended      bool                 // the writer takes no more of them
	wake       chan struct{}        // the writer
	poked      chan struct{}        // the loop
	seen       map[string]time.Time // bodies, by the first part of an item's ID
	order      []seenBody           // oldest first
	lastSeq    int64
	held       map[string]int64 // items of this process: their Seq
	down       [2]bool          // by call

	reading   chan struct{} // one reads at a time
	readBegan time.Time     // of the last reading that worked
}

// call is a kind of call of the store: one may work while the other does not.
type call int

const (
	reads call = iota
	writes
)

type seenBody struct {
	body string
	at   time.Time
}

// change is a change of the state, with an item or without one.
type change struct {
	// apply makes the change. It is called again when somebody else has changed
	// the state meanwhile, and so only says what came of it.
	apply func(s *state) applied
	id    string // of the item, if it has one
	held  bool   // this process holds the item
	// maybe says that it may be written already: the store did not tell.
	maybe bool

	// What came of it, once written is closed.
	written chan struct{}
	result  applied
	entry   queue.Entry
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
}

func newJournal(store queue.Store, name, owner string, l limits, hold time.Duration, failure func(error)) *journal {
	empty, _ := decodeState(nil, nil)
	return &journal{
		store: store, queue: name, owner: owner, limits: l, hold: hold, failure: failure,
		base: empty, view: empty.clone(), wake: make(chan struct{}, 1), poked: make(chan struct{}, 1), reading: make(chan struct{}, 1), seen: map[string]time.Time{}, held: map[string]int64{},
	}
}

// settlement is what became of an item, on its way to the store.
type settlement struct {
	outcome queue.Outcome
	done    chan error
}

// submit adds a change to what is to be written. With the lock held.
func (j *journal) submit(c *change) {
	c.written, c.late = make(chan struct{}), make(chan struct{})
	c.apply(j.view)
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

// do submits a change and waits until it is written or ctx ends.
func (j *journal) do(ctx context.Context, apply func(s *state)) error {
	c := &change{apply: func(s *state) applied { apply(s); return applied{} }}
	j.mu.Lock()
	j.submit(c)
	j.mu.Unlock()
	select {
	case <-c.written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writer writes changes, as many at once as there are, until ctx ends; then what
// is left has one more chance.
func (j *journal) writer(ctx context.Context) {
	for failures := 0; ; {
		err := j.writeAll(ctx)
		wait := time.Hour
		if err != nil {
			wait = min(minStorePause<<min(failures, 10), maxStorePause)
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-j.wakes(err):
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCall)
			defer cancel()
			j.mu.Lock()
			j.ended = true
			j.mu.Unlock()
			_ = j.writeAll(last)
			return
		}
		timer.Stop()
	}
}

// wakes is nil while the store fails: it is not asked more often for having more
// to write.
func (j *journal) wakes(err error) <-chan struct{} {
	if err != nil {
		return nil
	}
	return j.wake
}

// writeAll writes what there is: the changes first, because alerts wait for them.
// Everything else is done in between, many at once, by the same goroutine: a
// disk that is busy with the end of a hundred switches has no time for the
// beginning of the next.
func (j *journal) writeAll(ctx context.Context) error {
	for losses := 0; ; {
		group := j.next()
		if len(group) == 0 {
			if more, err := j.settleSome(ctx); !more || err != nil {
				return err
			}
			continue
		}
		waited, err := j.turn.await(ctx, losses)
		if err == nil && (waited || losses > 0) {
			err = j.read(ctx)
		}
		if err == nil {
			err = j.write(ctx, group)
		}
		if errors.Is(err, queue.ErrNoteChanged) {
			losses++ // somebody else was faster
			continue
		}
		losses = 0
		if err != nil {
			for _, c := range group {
				c.maybe = true
				c.lateOnce.Do(func() { close(c.late) })
			}
			j.fails(writes, err)
			return err
		}
		j.turn.end(ctx)
		j.fails(writes, nil)
	}
}

// next returns what can be written at once: changes whose items are held alike.
func (j *journal) next() []*change {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	var first *change
	for n < len(j.unwrit) && n < maxGroup {
		if c := j.unwrit[n]; c.id != "" {
			if first == nil {
				first = c
			}
			if c.held != first.held {
				break
			}
		}
		n++
	}
	return slices.Clone(j.unwrit[:n])
}

// areHeld reports whether the items of a group are held.
func areHeld(group []*change) bool {
	return slices.ContainsFunc(group, func(c *change) bool { return c.held })
}

// write writes a group of changes in one transaction, and learns what became of
// their items.
func (j *journal) write(ctx context.Context, group []*change) error {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	j.mu.Lock()
	next, version, lastSeq := j.base.clone(), j.version, j.lastSeq
	j.mu.Unlock()
	addition := queue.Addition{}
	results := make([]applied, len(group))
	for i, c := range group {
		if c.maybe && c.id != "" {
			listed, err := j.store.List(ctx, j.queue, queue.Filter{ID: c.id, Limit: 1})
			if err != nil {
				return err
			}
			if len(listed) > 0 {
				results[i] = applied{inPlay: true}
				continue
			}
		}
		results[i] = c.apply(next)
		if results[i].kill != nil {
			addition.Items = append(addition.Items, j.item(results[i].kill, results[i].id))
		}
	}
	if areHeld(group) && len(addition.Items) > 0 {
		addition.Owner, addition.Hold = j.owner, j.hold
	}
	addition.Note = &queue.Note{Name: stateNote, Version: version, Body: next.encode()}
	if _, err := j.store.Add(ctx, j.queue, addition); err != nil {
		return err
	}
	j.mu.Lock()
	j.base, j.version = next, version+1
	j.mu.Unlock()
	entries, err := j.find(ctx, group, results, lastSeq)
	if err != nil {
		return err // they are found when this is repeated
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, c := range group {
		c.result = results[i]
		if c.id == "" || c.result.reason != "" {
			continue
		}
		c.entry = entries[c.id]
		if !c.own(j, addition.Items) {
			c.result.reason = ReasonRepeat // somebody else had the alert first
		} else if c.held {
			j.held[c.id] = c.entry.Seq
		}
	}
	j.unwrit = j.unwrit[len(group):]
	j.rebase(j.base, j.version)
	for _, c := range group {
		close(c.written)
	}
	if !areHeld(group) && len(addition.Items) > 0 {
		j.poke()
	}
	return nil
}

// poke makes the loop look at once.
func (j *journal) poke() {
	select {
	case j.poked <- struct{}{}:
	default:
	}
}

// take holds the item of a work.
func (j *journal) take(w *work) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held[w.id] = w.seq
}

// own reports whether the entry is this process's, and takes the kill from it.
func (c *change) own(j *journal, added []queue.Item) bool {
	same := func(item queue.Item) bool { return item.ID == c.id && bytes.Equal(item.Body, c.entry.Body) }
	if c.result.kill != nil && slices.ContainsFunc(added, same) {
		c.stored = *c.result.kill
		return true
	}
	k, err := decodeKill(c.entry.Body)
	c.stored = k.kill
	return err == nil && k.owner == j.owner
}

// find returns the entries of what was admitted, by their IDs.
func (j *journal) find(ctx context.Context, group []*change, results []applied, lastSeq int64) (map[string]queue.Entry, error) {
	entries := make(map[string]queue.Entry, len(group))
	looked := false
	for i, c := range group {
		if c.id == "" || results[i].reason != "" {
			continue
		}
		if !looked {
			if err := j.look(ctx, lastSeq, entries); err != nil {
				return nil, err
			}
			looked = true
		}
		if _, found := entries[c.id]; found {
			continue
		}
		listed, err := j.store.List(ctx, j.queue, queue.Filter{ID: c.id, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(listed) == 1 {
			entries[c.id] = listed[0]
		}
	}
	return entries, nil
}

// look lists what is behind a Seq, and keeps in mind that it was seen.
func (j *journal) look(ctx context.Context, after int64, entries map[string]queue.Entry) error {
	for {
		listed, err := j.store.List(ctx, j.queue, queue.Filter{After: after, Limit: queue.MaxList})
		if err != nil {
			return err
		}
		j.mu.Lock()
		for _, entry := range listed {
			after = max(after, entry.Seq)
			j.see(entry.ID, entry.Added)
			if entries != nil {
				entries[entry.ID] = entry
			}
		}
		j.lastSeq = max(j.lastSeq, after)
		j.mu.Unlock()
		if len(listed) < queue.MaxList {
			return nil
		}
	}
}

// rebase makes s the base. With the lock held.
func (j *journal) rebase(s *state, version int64) {
	j.base, j.version = s, version
	j.view = s.clone()
	for _, c := range j.unwrit {
		c.apply(j.view)
	}
}

// read reads the state, if somebody else has changed it.
func (j *journal) read(ctx context.Context) error {
	arrived := time.Now()
	select {
	case j.reading <- struct{}{}:
		defer func() { <-j.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if j.readBegan.After(arrived) {
		return nil // somebody has read it since this was called
	}
	began := time.Now()
	note, err := j.store.Note(ctx, j.queue, stateNote)
	if err != nil {
		return err
	}
	j.mu.Lock()
	known, base, lastSeq := note.Version <= j.version, j.base, j.lastSeq
	j.mu.Unlock()
	if !known {
		s, err := decodeState(note.Body, base)
		if err != nil {
			return err
		}
		j.mu.Lock()
		if note.Version > j.version {
			j.rebase(s, note.Version)
		}
		j.mu.Unlock()
		// Databases commit out of order: a little further back.
		if err := j.look(ctx, max(0, lastSeq-50), nil); err != nil {
			return err
		}
	}
	j.readBegan = began
	return nil
}

// fresh returns the state as it is in the store, to be read only.
func (j *journal) fresh(ctx context.Context) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	if err := j.read(ctx); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.base, nil // it is replaced, never written to
}

// load reads what earlier processes have left: the state, and which alerts were
// seen since.
func (j *journal) load(ctx context.Context, since time.Time) error {
	if err := j.read(ctx); err != nil {
		return err
	}
	for before := int64(0); ; {
		listed, err := j.store.List(ctx, j.queue, queue.Filter{Newest: true, Before: before, Limit: queue.MaxList})
		if err != nil {
			return err
		}
		j.mu.Lock()
		for _, entry := range listed {
			before = entry.Seq
			j.lastSeq = max(j.lastSeq, entry.Seq)
			j.see(entry.ID, entry.Added)
		}
		j.mu.Unlock()
		if len(listed) < queue.MaxList || listed[len(listed)-1].Added.Before(since) {
			return nil
		}
	}
}

// see keeps an item's body in mind. With the lock held.
func (j *journal) see(id string, at time.Time) {
	body := bodyOf(id)
	if _, known := j.seen[body]; known || body == "" {
		return
	}
	j.seen[body] = at
	j.order = append(j.order, seenBody{body, at})
	// A body is worth remembering until its signed time is too old, which may
	// have been ahead when it came.
	keep := j.limits.maxAge + 2*maxAhead
	n, now := 0, time.Now()
	for n < len(j.order) && (len(j.order)-n > maxSeen || now.Sub(j.order[n].at) > keep) {
		delete(j.seen, j.order[n].body)
		n++
	}
	j.order = j.order[n:]
}

// keep renews the holds of this process, and looks for what others have done,
// until ctx ends.
func (j *journal) keep(ctx context.Context, poll time.Duration) {
	renewal, look := time.NewTicker(j.hold/3), time.NewTicker(poll)
	defer renewal.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renewal.C:
			j.renew(ctx)
		case <-look.C:
			call, cancel := context.WithTimeout(ctx, storeCall)
			err := j.read(call)
			cancel()
			if ctx.Err() == nil {
				j.fails(reads, err)
			}
		}
	}
}

func (j *journal) renew(ctx context.Context) {
	j.mu.Lock()
	var outcomes []queue.Outcome
	for id, seq := range j.held {
		outcomes = append(outcomes, queue.Outcome{ID: id, Seq: seq, State: queue.Waiting, Hold: true, After: j.hold})
	}
	j.mu.Unlock()
	if len(outcomes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(storeCall, j.hold/3))
	defer cancel()
	// One that fails lets another process go on, which is what a hold is for.
	_ = j.store.Settle(ctx, j.queue, j.owner, outcomes...)
}

// settle says what became of an item, until the store has taken it or ctx ends;
// then it has one more chance. It does not hold it any longer.
func (j *journal) settle(ctx context.Context, outcome queue.Outcome) error {
	s := &settlement{outcome, make(chan error, 1)}
	j.mu.Lock()
	delete(j.held, outcome.ID)
	ended := j.ended
	if !ended {
		j.unsettled = append(j.unsettled, s)
	}
	j.mu.Unlock()
	if !ended {
		time.AfterFunc(linger, j.wakeWriter) // nobody waits for it, so that others may join it
		select {
		case err := <-s.done:
			return err
		case <-ctx.Done(): // to say it twice does no harm
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCall)
	defer cancel()
	return j.store.Settle(last, j.queue, j.owner, outcome)
}

// settleSome settles some of what there is, and reports whether there was any.
func (j *journal) settleSome(ctx context.Context) (more bool, err error) {
	j.mu.Lock()
	group := slices.Clone(j.unsettled[:min(len(j.unsettled), maxSettled)])
	j.mu.Unlock()
	if len(group) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	outcomes := make([]queue.Outcome, len(group))
	for i, s := range group {
		outcomes[i] = s.outcome
	}
	err = j.store.Settle(ctx, j.queue, j.owner, outcomes...)
	if errors.Is(err, queue.ErrInvalid) && len(group) > 1 {
		// One of them spoils the others: each for itself.
		for _, s := range group {
			if one := j.store.Settle(ctx, j.queue, j.owner, s.outcome); one == nil || errors.Is(one, queue.ErrInvalid) {
				j.isSettled(one, s)
			}
		}
		return true, ctx.Err()
	}
	j.fails(writes, err)
	if err != nil && !errors.Is(err, queue.ErrClosed) && !errors.Is(err, queue.ErrInvalid) {
		return true, err
	}
	j.isSettled(err, group...)
	return true, nil
}

// isSettled ends settlements.
func (j *journal) isSettled(err error, group ...*settlement) {
	j.mu.Lock()
	j.unsettled = slices.DeleteFunc(j.unsettled, func(s *settlement) bool { return slices.Contains(group, s) })
	j.mu.Unlock()
	for _, s := range group {
		s.done <- err
	}
}

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

// holds reports whether this process is working on an item.
func (j *journal) holds(entry queue.Entry) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	seq, held := j.held[entry.ID]
	return held && seq == entry.Seq
}

const killVersion = 1

// storedKill is a kill as it is kept, with the process that accepted it.
type storedKill struct {
	kill
	owner string
}

type ownedKill struct {
	kill
	Owner string `json:"owner"`
}

func (j *journal) item(k *kill, id string) queue.Item {
	body, err := json.Marshal(ownedKill{*k, j.owner})
	if err != nil {
		panic("killswitch: a kill cannot be encoded: " + err.Error()) // strings, numbers and times
	}
	return queue.Item{ID: id, Key: itemKey(k.Target), Body: body}
}

func decodeKill(body []byte) (storedKill, error) {
	var k ownedKill
	if err := json.Unmarshal(body, &k); err != nil {
		return storedKill{}, fmt.Errorf("killswitch: the item was not made by a relay: %w", err)
	}
	if k.Version != killVersion {
		return storedKill{}, fmt.Errorf("killswitch: the item has version %d; a newer relay made it", k.Version)
	}
	return storedKill{k.kill, k.Owner}, k.Target.Validate()
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
