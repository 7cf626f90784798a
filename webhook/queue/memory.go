package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// MemoryConfig configures a [Memory]. Its zero value is ready to use.
type MemoryConfig struct {
	// Capacity is how many entries may wait, in all queues together. Defaults to
	// 10,000.
	Capacity int
	// MaxDead is how many dead entries each queue keeps. Beyond it the oldest
	// are dropped, and counted in [Stats]: they must not keep new items out.
	// Defaults to 1,000.
	MaxDead int
	// Window is for how long a settled entry is kept, and its ID known. However
	// long it is, each queue keeps no more than ten times Capacity of them, the
	// newest. Defaults to 24 hours.
	Window time.Duration
}

func (c MemoryConfig) withDefaults() MemoryConfig {
	c.Capacity = cmp.Or(c.Capacity, 10_000)
	c.MaxDead = cmp.Or(c.MaxDead, 1_000)
	c.Window = cmp.Or(c.Window, 24*time.Hour)
	return c
}

func (c MemoryConfig) validate() error {
	switch {
	case c.Capacity < 0:
		return fmt.Errorf("%w: MemoryConfig.Capacity must not be negative", ErrInvalid)
	case c.MaxDead < 0:
		return fmt.Errorf("%w: MemoryConfig.MaxDead must not be negative", ErrInvalid)
	case c.Window < 0:
		return fmt.Errorf("%w: MemoryConfig.Window must not be negative", ErrInvalid)
	}
	return nil
}

// maxSettled is how many settled entries each queue keeps.
func (c MemoryConfig) maxSettled() int {
	if c.Capacity > math.MaxInt/10 {
		return math.MaxInt
	}
	return 10 * c.Capacity
}

// Memory is a [Store] in the memory of this process. A crash, a kill or a
// restart loses everything in it, whatever Add returned: it suits tests and
// programs that report changes on a best-effort basis. Use package sqlstore for
// an audit trail.
type Memory struct {
	config MemoryConfig

	mu      sync.Mutex
	closed  bool
	queues  map[string]*memoryQueue
	leases  map[string]memoryLease
	seq     int64
	waiting int // of all queues
}

// memoryLease is who has a lease until when, or how long it rests.
type memoryLease struct {
	owner string
	until time.Time
	rest  time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store. It fails with [ErrInvalid] if a field of
// config is negative.
func NewMemory(config MemoryConfig) (*Memory, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Memory{
		config: config,
		queues: make(map[string]*memoryQueue),
		leases: make(map[string]memoryLease),
	}, nil
}

// Close ends the store: what it holds is gone, and every later call is
// [ErrClosed]. It may be called again.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	clear(m.queues)
	clear(m.leases)
	return nil
}

// Add implements [Store].
func (m *Memory) Add(ctx context.Context, queue string, a Addition) (int, error) {
	if err := a.Validate(); err != nil {
		return 0, err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return 0, err
	}
	defer m.mu.Unlock()

	now := time.Now()
	fresh := q.unknown(a.Items, now.Add(-m.config.Window))
	if room := m.config.Capacity - m.waiting; len(fresh) > room {
		return 0, fmt.Errorf("%w: %d items for the %d places left of %d", ErrFull, len(fresh), room, m.config.Capacity)
	}
	if err := q.swap(a.Notes); err != nil {
		return 0, err
	}
	for _, item := range fresh {
		entry := q.add(item, m.next(), now)
		entry.Owner, entry.Due = a.Owner, now.Add(a.Hold)
	}
	m.waiting += len(fresh)
	return len(fresh), nil
}

// next returns a Seq that was never used.
func (m *Memory) next() int64 {
	m.seq++
	return m.seq
}

// Lease implements [Store].
func (m *Memory) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if err := m.enterLease(ctx, name, owner, ttl); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	now, lease := time.Now(), m.leases[name]
	switch {
	case lease.owner != owner && now.Before(lease.until):
		return lease.until.Sub(now), nil
	case now.Before(lease.rest):
		return lease.rest.Sub(now), nil
	}
	m.leases[name] = memoryLease{owner: owner, until: now.Add(ttl)}
	return 0, nil
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	if err := m.enterLease(ctx, name, owner, 1); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.leases[name].owner == owner {
		m.leases[name] = memoryLease{rest: time.Now().Add(rest)}
	}
	return nil
}

// Resume implements [Store].
func (m *Memory) Resume(ctx context.Context, name string) error {
	if err := m.enterLease(ctx, name, name, 1); err != nil {
		return err
	}
	defer m.mu.Unlock()
	lease := m.leases[name]
	lease.rest = time.Time{}
	m.leases[name] = lease
	return nil
}

// enterLease checks a call about a lease and locks the store.
func (m *Memory) enterLease(ctx context.Context, name, owner string, ttl time.Duration) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if err := ValidateLease(name, owner, ttl); err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// Due implements [Store].
func (m *Memory) Due(ctx context.Context, queue string, after int64, limit int) ([]Entry, error) {
	q, err := m.enter(ctx, queue)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return q.due(after, limit, time.Now()), nil
}

// Settle implements [Store].
func (m *Memory) Settle(ctx context.Context, queue, owner string, outcomes ...Outcome) error {
	if err := ValidateSettle(owner, outcomes); err != nil {
		return err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	now := time.Now()
	for _, outcome := range outcomes {
		entry, ok := q.known[outcome.ID]
		if !ok || entry.Seq != outcome.Seq {
			continue
		}
		owns := m.leases[queue].owner == owner || entry.Owner == owner
		switch {
		case outcome.State == Done:
			m.become(q, entry, Done, now)
		case entry.State != Waiting || !owns:
		case outcome.State == Dead:
			entry.Reason = CutReason(outcome.Reason)
			m.become(q, entry, Dead, now)
		default:
			entry.putOff(owner, outcome, now)
		}
	}
	q.forget(m.config.maxSettled())
	q.dropDead(m.config.MaxDead)
	return nil
}

// become changes an entry's state.
func (m *Memory) become(q *memoryQueue, entry *memoryEntry, state State, now time.Time) {
	if entry.State == state {
		return
	}
	if entry.State == Waiting {
		m.waiting--
	}
	entry.Owner = ""
	q.move(entry, state, now)
}

// List implements [Store].
func (m *Memory) List(ctx context.Context, queue string, filter Filter) ([]Entry, error) {
	filter, err := filter.WithDefaults()
	if err != nil {
		return nil, err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return q.list(filter), nil
}

// Revise implements [Store].
func (m *Memory) Revise(ctx context.Context, queue string, e Entry, with *Item) error {
	if err := ValidateRevision(e, with); err != nil {
		return err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	entry, ok := q.known[e.ID]
	if !ok || entry.Seq != e.Seq || entry.State != Dead {
		return ErrNotDead
	}
	if m.waiting >= m.config.Capacity {
		return ErrFull
	}
	item := entry.Item
	if with != nil {
		item = *with
	}
	q.remove(entry)
	q.add(item, m.next(), time.Now())
	m.waiting++
	return nil
}

// Discard implements [Store].
func (m *Memory) Discard(ctx context.Context, queue string, entries ...Entry) (int, error) {
	q, err := m.enter(ctx, queue)
	if err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	now, found := time.Now(), 0
	for _, e := range entries {
		entry, ok := q.known[e.ID]
		if ok && entry.Seq == e.Seq && (entry.State == Waiting || entry.State == Dead) {
			m.become(q, entry, Discarded, now)
			found++
		}
	}
	return found, nil
}

// Note implements [Store].
func (m *Memory) Note(ctx context.Context, queue, name string) (Note, error) {
	if err := ValidateName("note", name); err != nil {
		return Note{}, err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return Note{}, err
	}
	defer m.mu.Unlock()
	return q.note(name), nil
}

// Notes implements [Store].
func (m *Memory) Notes(ctx context.Context, queue string, names ...string) ([]Note, error) {
	if err := ValidateNotes(names); err != nil {
		return nil, err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(q.notes))
	}
	var notes []Note
	for _, name := range names {
		if note := q.note(name); note.Version > 0 {
			notes = append(notes, note)
		}
	}
	return notes, nil
}

// Stats implements [Store].
func (m *Memory) Stats(ctx context.Context, queue string, most int) (Stats, error) {
	if err := ValidateMost(most); err != nil {
		return Stats{}, err
	}
	q, err := m.enter(ctx, queue)
	if err != nil {
		return Stats{}, err
	}
	defer m.mu.Unlock()
	stats, now, lease := q.stats(), time.Now(), m.leases[queue]
	if most > 0 {
		stats.Waiting, stats.Dead = min(stats.Waiting, most), min(stats.Dead, most)
	}
	stats.Held = lease.owner != "" && now.Before(lease.until)
	stats.Rest = max(0, lease.rest.Sub(now))
	return stats, nil
}

// Noted lists the queues that have a note of this name.
func (m *Memory) Noted(ctx context.Context, name string) ([]string, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := ValidateName("note", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	var names []string
	for _, queue := range slices.Sorted(maps.Keys(m.queues)) {
		if m.queues[queue].notes[name].Version > 0 {
			names = append(names, queue)
		}
	}
	return names, nil
}

// Queues implements [Store].
func (m *Memory) Queues(ctx context.Context) ([]string, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	return busyQueues(m.queues), nil
}

// Sweep implements [Store].
func (m *Memory) Sweep(ctx context.Context, limit int) (int, error) {
	if err := checkContext(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	return sweep(m.queues, time.Now().Add(-m.config.Window), limit), nil
}

// enter checks a call and returns the queue with the store locked.
func (m *Memory) enter(ctx context.Context, queue string) (*memoryQueue, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := ValidateName("queue", queue); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	q, ok := m.queues[queue]
	if !ok {
		q = newMemoryQueue()
		m.queues[queue] = q
	}
	return q, nil
}
