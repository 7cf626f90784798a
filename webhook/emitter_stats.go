package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// EmitterStats are the numbers of an emitter's queue.
type EmitterStats struct {
	// Waiting is how many changes wait for delivery, whichever process has
	// emitted them.
	Waiting int
	// Dead is how many changes are in the dead letters.
	Dead int
	// OldestAge is how long the oldest waiting change has been waiting: the
	// number to set an alarm on. It is zero if none waits.
	OldestAge time.Duration
	// Paused says that this emitter waits after a failure, Failures how many
	// there were in a row, and LastError is the last one.
	Paused    bool
	Failures  int
	LastError error
	// DroppedEvents is how many events EmitterConfig.OnEvent was too slow for.
	DroppedEvents int64
}

// Stats returns the numbers of the queue and of this emitter.
func (e *Emitter) Stats(ctx context.Context) (EmitterStats, error) {
	if err := checkContext(ctx); err != nil {
		return EmitterStats{}, err
	}
	stats, err := e.store.Stats(ctx, e.config.Queue)
	if err != nil {
		return EmitterStats{}, fmt.Errorf("webhook: stats: %w", err)
	}
	now := EmitterStats{Waiting: stats.Waiting, Dead: stats.Dead, DroppedEvents: e.events.dropped.Load()}
	if !stats.OldestWaiting.IsZero() {
		now.OldestAge = max(0, time.Since(stats.OldestWaiting)) // a clock may have been set back
	}
	now.Failures, now.LastError = e.health.look()
	now.Paused = now.Failures > 0
	return now, nil
}

// health is what Stats says of the delivery.
type health struct {
	mu       sync.Mutex
	failures int
	err      error
}

func (h *health) set(failures int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures, h.err = failures, err
}

func (h *health) look() (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures, h.err
}
