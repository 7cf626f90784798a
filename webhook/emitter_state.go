package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// emitterState is what the callers of an emitter and its deliveries tell each
// other: one guarded state, and one notification of its changes.
type emitterState struct {
	batch  int
	linger time.Duration
	wakes  map[string]chan struct{} // by queue, each with room for one

	mu         sync.Mutex
	notify     chan struct{} // closed at each change, and made anew
	closed     bool
	inside     int // calls of Emit under way
	fresh      int // changes accepted since the last wake
	lingering  *time.Timer
	troubles   map[string]trouble
	unattended int

	delivered, rejected atomic.Int64 // changes, of all its queues
}

// trouble is why a queue's delivery waits, for each of the two causes.
type trouble struct {
	sentry, store failures
}

type failures struct {
	n         int // in a row
	err       error
	since, at time.Time // of the first and of the last
}

// another is the next failure in a row.
func (f failures) another(n int, err error) failures {
	now := time.Now()
	if f.n == 0 {
		f.since = now
	}
	return failures{n, err, f.since, now}
}

func (s *emitterState) init(config EmitterConfig) {
	s.batch, s.linger = config.BatchSize, config.Linger
	s.notify = make(chan struct{})
	s.troubles = make(map[string]trouble)
	s.wakes = map[string]chan struct{}{config.Queue: make(chan struct{}, 1)}
	for _, name := range config.FormerQueues {
		s.wakes[name] = make(chan struct{}, 1)
	}
}

// enter begins a call of Emit, unless the emitter is closed.
func (s *emitterState) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.inside++
	return true
}

// leave ends a call of Emit that has added so many changes. The first after a
// quiet time wait a little for others, unless they fill a request.
func (s *emitterState) leave(added int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside--
	s.fresh += added
	switch {
	case s.fresh == 0:
	case s.fresh >= s.batch, s.linger < 0:
		s.wakeLocked()
	case s.lingering == nil:
		s.lingering = time.AfterFunc(s.linger, s.wake)
	}
	if s.inside == 0 {
		s.changedLocked()
	}
}

// wake makes idle deliveries look.
func (s *emitterState) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeLocked()
}

func (s *emitterState) wakeLocked() {
	s.fresh = 0
	if s.lingering != nil {
		s.lingering.Stop()
		s.lingering = nil
	}
	for _, wake := range s.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// close lets no more calls of Emit in.
func (s *emitterState) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// changed tells who watches that something has changed.
func (s *emitterState) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changedLocked()
}

func (s *emitterState) changedLocked() {
	close(s.notify)
	s.notify = make(chan struct{})
}

// watch returns what is closed at the next change, and the calls of Emit under
// way.
func (s *emitterState) watch() (changed <-chan struct{}, inside int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notify, s.inside
}

// setTrouble notes why a queue's delivery waits, and reports whether it works
// again.
func (s *emitterState) setTrouble(name string, change func(*trouble)) (resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.troubles[name]
	paused := now.sentry.n+now.store.n > 0
	change(&now)
	s.troubles[name] = now
	return paused && now.sentry.n+now.store.n == 0
}

func (s *emitterState) setUnattended(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unattended = n
}

// EmitterStats are the numbers of an emitter's queue, former ones included.
type EmitterStats struct {
	// Waiting is how many changes wait for delivery, whichever process has
	// emitted them.
	Waiting int
	// Dead is how many changes are in the dead letters, and DroppedDead how many
	// a bounded store has dropped there.
	Dead        int
	DroppedDead int64
	// OldestAge is how long the oldest waiting change has been waiting: the
	// number to set an alarm on. It is zero if none waits.
	OldestAge time.Duration
	// Paused says that delivery waits after a failure, of this process or of
	// another one: set an alarm on it. Failures is how many there were in a row
	// here, PausedSince when the first was, and LastError the last one; they are
	// zero when another process has failed, and again when one has delivered what
	// this one failed with.
	Paused      bool
	PausedSince time.Time
	Failures    int
	LastError   error
	// Rest is how long it is until delivery is tried again.
	Rest time.Duration
	// Delivered and Rejected are how many changes this emitter has delivered, and
	// how many it has sent to the dead letters, since it began.
	Delivered, Rejected int64
	// Unattended is in how many other queues of the store something waits that
	// nobody works on.
	Unattended int
	// DroppedEvents is how many events EmitterConfig.OnEvent was too slow for.
	DroppedEvents int64
}

// Stats returns the numbers of the queue and of this emitter. If the store does
// not answer they are those of this emitter alone, with the error. All that waits
// is counted; [Inspector.Stats] counts no further than asked.
func (e *Emitter) Stats(ctx context.Context) (EmitterStats, error) {
	return e.stats(ctx, 0, slices.Collect(maps.Keys(e.state.wakes))...)
}

// stats are the numbers of some of the emitter's queues.
func (e *Emitter) stats(ctx context.Context, most int, queues ...string) (EmitterStats, error) {
	if ctx == nil {
		return EmitterStats{}, errNilContext
	}
	stats := e.state.stats(queues)
	stats.DroppedEvents = e.events.dropped.Load()
	for _, name := range queues {
		if err := stats.count(ctx, e.store, name, most); err != nil {
			return stats, err
		}
	}
	return stats, nil
}

// count adds the numbers of a queue.
func (s *EmitterStats) count(ctx context.Context, store queue.Store, name string, most int) error {
	q, err := store.Stats(ctx, name, most)
	if err != nil {
		return fmt.Errorf("webhook: stats: %w", err)
	}
	s.Waiting += q.Waiting
	s.Dead += q.Dead
	s.DroppedDead += q.Dropped
	if !q.Oldest.IsZero() {
		s.OldestAge = max(s.OldestAge, time.Since(q.Oldest))
	}
	if q.Rest > 0 && q.Waiting > 0 {
		s.Paused, s.Rest = true, max(s.Rest, q.Rest)
	}
	return nil
}

// stats are why the deliveries of these queues wait.
func (s *emitterState) stats(queues []string) EmitterStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := EmitterStats{Unattended: s.unattended, Delivered: s.delivered.Load(), Rejected: s.rejected.Load()}
	var at time.Time
	for _, name := range queues {
		trouble := s.troubles[name]
		for _, cause := range []failures{trouble.sentry, trouble.store} {
			if cause.n == 0 {
				continue
			}
			stats.Paused = true
			if !cause.at.Before(at) {
				stats.Failures, stats.LastError, at = cause.n, cause.err, cause.at
			}
			if stats.PausedSince.IsZero() || cause.since.Before(stats.PausedSince) {
				stats.PausedSince = cause.since
			}
		}
	}
	return stats
}
