package webhook

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

// MemoryStoreConfig configures a [MemoryStore]. Its zero value is ready to use.
type MemoryStoreConfig struct {
	// Capacity is how many items, waiting and dead, all queues may hold
	// together. Defaults to 10,000.
	Capacity int
	// DedupeWindow is how long the ID of an item that was settled as done stays
	// known. It is measured on the monotonic clock. However long it is, no more
	// than ten times Capacity such IDs are kept per queue; the oldest are
	// forgotten first. Defaults to 24 hours.
	DedupeWindow time.Duration
}

func (c MemoryStoreConfig) withDefaults() MemoryStoreConfig {
	c.Capacity = cmp.Or(c.Capacity, 10_000)
	c.DedupeWindow = cmp.Or(c.DedupeWindow, 24*time.Hour)
	return c
}

func (c MemoryStoreConfig) validate() error {
	if c.Capacity < 0 {
		return invalidConfig("Capacity must not be negative")
	}
	if c.DedupeWindow < 0 {
		return invalidConfig("DedupeWindow must not be negative")
	}
	return nil
}

// MemoryStore is a [Store] in the memory of this process. A crash, a kill or a
// restart loses every item in it, whatever Enqueue returned: it suits tests and
// programs that report changes on a best-effort basis. Use sqlstore for an
// audit trail.
//
// It is bounded: when it is full Enqueue fails with [ErrStoreFull].
type MemoryStore struct {
	config MemoryStoreConfig
	closed chan struct{}

	mu     sync.Mutex
	queues map[string]*memoryQueue
	kept   int // waiting and dead items of all queues
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore makes an empty store. It fails with [ErrInvalidConfig] if a
// field of config is negative.
func NewMemoryStore(config MemoryStoreConfig) (*MemoryStore, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &MemoryStore{
		config: config,
		closed: make(chan struct{}),
		queues: make(map[string]*memoryQueue),
	}, nil
}

// Enqueue implements [Store].
func (s *MemoryStore) Enqueue(ctx context.Context, queue string, items ...Item) (int, error) {
	for i, item := range items {
		if err := item.Validate(); err != nil {
			return 0, fmt.Errorf("item %d: %w", i, err)
		}
	}
	q, err := s.enter(ctx, queue)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()

	q.forget(time.Now(), s.config)
	fresh := q.unknown(items)
	if room := s.config.Capacity - s.kept; len(fresh) > room {
		return 0, fmt.Errorf("%w: %d items for the %d places left of %d", ErrStoreFull, len(fresh), room, s.config.Capacity)
	}
	for _, item := range fresh {
		q.add(item)
	}
	s.kept += len(fresh)
	return len(fresh), nil
}

// Turn implements [Store].
func (s *MemoryStore) Turn(ctx context.Context, queue string) (Turn, error) {
	q, err := s.enter(ctx, queue)
	if err != nil {
		return nil, err
	}
	s.mu.Unlock()

	select {
	case q.turn <- struct{}{}:
	case <-s.closed:
		return nil, ErrStoreClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	turn := &memoryTurn{store: s, queue: queue}
	turn.release = sync.OnceFunc(func() { <-q.turn })
	return turn, nil
}

// Dead implements [Store].
func (s *MemoryStore) Dead(ctx context.Context, queue, after string, limit int) ([]DeadItem, error) {
	q, err := s.enter(ctx, queue)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return q.listDead(after, limit), nil
}

// Replay implements [Store].
func (s *MemoryStore) Replay(ctx context.Context, queue string, ids ...string) (int, error) {
	q, err := s.enter(ctx, queue)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return q.replay(ids), nil
}

// Stats implements [Store].
func (s *MemoryStore) Stats(ctx context.Context, queue string) (StoreStats, error) {
	q, err := s.enter(ctx, queue)
	if err != nil {
		return StoreStats{}, err
	}
	defer s.mu.Unlock()
	return q.stats(), nil
}

// Close ends the store: what it holds is gone, who waits for a turn gets
// [ErrStoreClosed], as does every later call. It may be called again.
func (s *MemoryStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isClosed() {
		close(s.closed)
		clear(s.queues)
	}
	return nil
}

// enter checks the call and returns the queue with the store locked.
func (s *MemoryStore) enter(ctx context.Context, queue string) (*memoryQueue, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := ValidateQueue(queue); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.isClosed() {
		s.mu.Unlock()
		return nil, ErrStoreClosed
	}
	q, ok := s.queues[queue]
	if !ok {
		q = newMemoryQueue()
		s.queues[queue] = q
	}
	return q, nil
}

func (s *MemoryStore) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
