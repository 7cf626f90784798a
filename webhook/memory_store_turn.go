package webhook

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// memoryTurn is the [Turn] of a [MemoryStore].
type memoryTurn struct {
	store    *MemoryStore
	queue    string
	released atomic.Bool
	release  func()
}

func (t *memoryTurn) Take(ctx context.Context, limit int) ([]Item, error) {
	q, err := t.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer t.store.mu.Unlock()
	return q.take(limit), nil
}

func (t *memoryTurn) Settle(ctx context.Context, outcomes ...Outcome) error {
	q, err := t.enter(ctx)
	if err != nil {
		return err
	}
	defer t.store.mu.Unlock()
	for _, outcome := range outcomes {
		if outcome.State < StateWaiting || outcome.State > StateDead {
			return fmt.Errorf("webhook: unknown ItemState %d, nothing was settled", outcome.State)
		}
	}
	now := time.Now()
	for _, outcome := range outcomes {
		if q.settle(outcome, now) {
			t.store.kept--
		}
	}
	return nil
}

func (t *memoryTurn) Release() error {
	t.released.Store(true)
	t.release()
	return nil
}

func (t *memoryTurn) enter(ctx context.Context) (*memoryQueue, error) {
	q, err := t.store.enter(ctx, t.queue)
	if err != nil {
		return nil, err
	}
	if t.released.Load() {
		t.store.mu.Unlock()
		return nil, ErrTurnLost
	}
	return q, nil
}
