package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errStoredNotDelivered is what Flush and Close say of changes that they leave.
var errStoredNotDelivered = errors.New("webhook: not everything was delivered; what waits stays in the store")

// Flush waits until what was waiting when it was called has been delivered or
// has gone to the dead letters, by this emitter or, when the queue is found
// empty, by any. During an outage it waits for as long as ctx lets it; then
// what waits stays in the store and delivery goes on.
func (e *Emitter) Flush(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	waiting, err := e.waiting(ctx)
	if err != nil || waiting == 0 {
		return err
	}
	// The count is read after the store's, so that nothing is missed.
	before, _ := e.progress.look()
	target := before + waiting
	for {
		signal(e.hurry)
		settled, changed := e.progress.look()
		if settled >= target {
			return nil
		}
		if waiting, err = e.waiting(ctx); err != nil || waiting == 0 {
			return err
		}
		select {
		case <-changed:
		case <-time.After(e.config.PollInterval): // another process may deliver
		case <-e.done:
			return errStoredNotDelivered
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errStoredNotDelivered, ctx.Err())
		}
	}
}

func (e *Emitter) waiting(ctx context.Context) (int, error) {
	stats, err := e.store.Stats(ctx, e.config.Queue)
	if err != nil {
		return 0, fmt.Errorf("webhook: flush: %w", err)
	}
	return stats.Waiting, nil
}

// Close lets no more changes in, delivers what waits, and ends the emitter's
// goroutines. It leaves the store open.
//
// During an outage it waits for as long as ctx lets it, so give it a deadline.
// When ctx ends first, Close breaks off the request under way, whose changes
// may then reach Sentry twice, and returns an error within two seconds: what
// waits stays in the store, for the next emitter on it. (A store may need longer:
// SQLite waits for another writer whatever the context says.)
//
// Where several emitters share a queue, Close returns when what waited at the
// call has been delivered, by whichever of them has the turn. What the others
// accept meanwhile is theirs.
//
// It may be called again, and then returns what the first call did.
func (e *Emitter) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	select {
	case <-e.gate.close():
	case <-ctx.Done():
	}
	e.draining.Do(func() {
		e.drainedAt = time.Now()
		close(e.drain)
	})
	select {
	case <-e.done:
	case <-ctx.Done():
		e.cancel(ctx.Err())
		<-e.done
	}
	if err := e.events.close(ctx); err != nil {
		return errors.Join(e.ended, err)
	}
	return e.ended
}
