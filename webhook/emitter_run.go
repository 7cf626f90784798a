package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// turnGrace is how long a closing emitter waits for its turn, or goes on
	// under it, before it asks whether its work is done.
	turnGrace = time.Second
	// ageSlack is by how much an item's age may be off: databases round.
	ageSlack = time.Second
	// settleGrace is how long settling goes on when Close runs out of time.
	settleGrace = time.Second
	// The waits after a failure of the store.
	minStoreBackoff = 50 * time.Millisecond
	maxStoreBackoff = 5 * time.Second
)

// delivery is what the delivering goroutine knows. Nobody else touches it.
type delivery struct {
	*Emitter
	circuit circuit // of Sentry
	trouble circuit // of the store
	batcher *batcher
	// unsettled is what became of items, as far as the store does not know yet.
	unsettled []Outcome
	// guilty says that a change died alone of a refused request, and none was
	// delivered since.
	guilty bool
	// Kept for their memory.
	encoded [][]byte
}

// run delivers until the emitter is closed, or the store.
func (e *Emitter) run(ctx context.Context) {
	defer close(e.done)
	defer e.cancel(nil)
	d := &delivery{
		Emitter: e,
		circuit: circuit{first: e.config.MinBackoff, most: e.config.MaxBackoff},
		trouble: circuit{first: minStoreBackoff, most: maxStoreBackoff},
		batcher: newBatcher(e.config.BatchSize),
	}
	err := d.takeTurns(ctx)
	if errors.Is(err, ErrStoreClosed) {
		d.log.Error("webhook: the store was closed under the emitter; delivery has ended", "queue", e.config.Queue)
	}
	if err != nil {
		e.ended = fmt.Errorf("%w: %w", errStoredNotDelivered, err)
	}
}

// takeTurns returns nil when everything that waited is delivered.
func (d *delivery) takeTurns(ctx context.Context) error {
	for {
		turn, err := d.turn(ctx)
		if turn == nil && err == nil {
			var done bool
			if done, err = d.drained(ctx); err == nil && !done {
				continue
			}
		}
		if turn != nil {
			err = d.deliver(ctx, turn)
			if releaseErr := turn.Release(); releaseErr != nil {
				d.log.Warn("webhook: the turn was not released in order", "queue", d.config.Queue, "error", releaseErr)
			}
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrStoreClosed):
			return err
		}
		if err := d.storeFailed(ctx, err); err != nil {
			return err
		}
	}
}

// drained reports, when the emitter is closing, whether all that waited when
// that began has been settled, by whoever has the turn.
func (d *delivery) drained(ctx context.Context) (bool, error) {
	asked := time.Now()
	stats, err := d.store.Stats(ctx, d.config.Queue)
	if err != nil {
		return false, err
	}
	if stats.OldestWaiting.After(asked) {
		// No age at all: an item of this moment, or the store's clock was set
		// back and nobody knows.
		return stats.Waiting == 0, nil
	}
	// The store may have looked at its clock as early as it was asked.
	oldest := stats.OldestWaiting.Add(-time.Since(asked) - ageSlack)
	return stats.Waiting == 0 || oldest.After(d.drainedAt), nil
}

// turn waits for the turn. Without an error, and without a turn, the emitter is
// closing and has waited for a while.
func (d *delivery) turn(ctx context.Context) (Turn, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan struct{})
	gaveUp := make(chan struct{})
	go func() {
		defer close(gaveUp)
		select {
		case <-got:
			return
		case <-d.drain:
		}
		select {
		case <-got:
		case <-time.After(turnGrace):
			cancel()
		}
	}()
	turn, err := d.store.Turn(waiting, d.config.Queue)
	close(got)
	<-gaveUp
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return turn, err
}

// deliver delivers under a turn. It returns nil when the emitter is closing and
// the queue is empty, or holds only what others have put there since.
func (d *delivery) deliver(ctx context.Context, turn Turn) error {
	var asked time.Time
	for {
		wait, idle, err := d.step(ctx, turn)
		if err == nil && !idle && d.isClosing() && time.Since(asked) >= turnGrace {
			asked = time.Now()
			idle, err = d.drained(ctx)
		}
		switch {
		case err == nil && idle:
			if d.isClosing() {
				return nil
			}
			d.rest(ctx)
		case err == nil:
			sleep(ctx, wait)
		case ctx.Err() != nil, errors.Is(err, ErrTurnLost), errors.Is(err, ErrStoreClosed):
			return err
		default:
			if err := d.storeFailed(ctx, err); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// step settles what is left to settle and sends one request. It returns how
// long to wait before the next, and whether the queue is empty. Its error is
// the store's.
func (d *delivery) step(ctx context.Context, turn Turn) (wait time.Duration, idle bool, err error) {
	if err := d.settle(ctx, turn); err != nil {
		return 0, false, err
	}
	d.fresh.Store(0)
	items, err := turn.Take(ctx, d.config.BatchSize)
	if err != nil {
		return 0, false, err
	}
	d.storeWorks()
	if len(items) == 0 {
		d.progress.add(0)
		return 0, true, nil
	}
	wait = d.send(ctx, d.batcher.choose(items))
	return wait, false, d.settle(ctx, turn)
}

// settle tells the store what became of items. It goes on for a moment when ctx
// ends, so that what was delivered is not delivered again.
func (d *delivery) settle(ctx context.Context, turn Turn) error {
	if len(d.unsettled) == 0 {
		return nil
	}
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(settleGrace, cancel)
		context.AfterFunc(patient, func() { timer.Stop() })
	})
	defer stop()
	if err := turn.Settle(patient, d.unsettled...); err != nil {
		return err
	}
	d.progress.add(len(d.unsettled))
	d.unsettled = d.unsettled[:0]
	return nil
}

// rest waits until there is something to look for.
func (d *delivery) rest(ctx context.Context) {
	poll := time.NewTimer(d.config.PollInterval)
	defer poll.Stop()
	select {
	case <-d.wake:
	case <-d.hurry:
		return
	case <-poll.C:
		return
	case <-d.drain:
		return
	case <-ctx.Done():
		return
	}
	if d.config.Linger < 0 {
		return
	}
	linger := time.NewTimer(d.config.Linger)
	defer linger.Stop()
	select {
	case <-linger.C:
	case <-d.full:
	case <-d.hurry:
	case <-d.drain:
	case <-ctx.Done():
	}
}

// storeFailed reports a failure of the store and waits. Its error is the
// context's.
func (d *delivery) storeFailed(ctx context.Context, err error) error {
	if errors.Is(err, ErrTurnLost) {
		d.log.Warn("webhook: the turn on the queue was lost", "queue", d.config.Queue, "error", err)
	} else {
		d.log.Error("webhook: the store fails; what it has accepted stays there", "queue", d.config.Queue, "error", err)
	}
	wait := d.trouble.fail(err)
	d.health.set(d.trouble.failures, err)
	d.events.send(Event{Kind: EventPaused, Err: err, Wait: wait, Failures: d.trouble.failures})
	sleep(ctx, wait)
	return context.Cause(ctx)
}

// storeWorks notes that the store answers again.
func (d *delivery) storeWorks() {
	if d.trouble.succeed() && d.circuit.failures == 0 {
		d.resumed()
	}
}

func (d *delivery) resumed() {
	d.health.set(0, nil)
	d.log.Info("webhook: delivery works again", "queue", d.config.Queue)
	d.events.send(Event{Kind: EventResumed})
}

func (d *delivery) isClosing() bool {
	select {
	case <-d.drain:
		return true
	default:
		return false
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, wait time.Duration) {
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
