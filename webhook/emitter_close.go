package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// errStoredNotDelivered is what Flush and Close say of changes that they leave.
var errStoredNotDelivered = errors.New("webhook: not everything was delivered; what waits stays in the store")

// Flush waits until what was waiting when it was called has been delivered or
// has gone to the dead letters, by any process. During an outage, of Sentry or
// of the store, it waits for as long as ctx lets it; then what waits stays in
// the store and delivery goes on.
func (e *Emitter) Flush(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	for name := range e.state.wakes {
		if err := e.drain(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// drain waits until what waits in the queue now waits no more. Sequence numbers
// say so: whatever is accepted meanwhile has a higher one.
func (e *Emitter) drain(ctx context.Context, name string) error {
	var last int64
	known := false
	for {
		changed, _ := e.state.watch()
		e.state.wake()
		var err error
		if !known {
			last, err = e.waiting(ctx, name, true)
			known = err == nil
		}
		if known {
			var first int64
			if first, err = e.waiting(ctx, name, false); err == nil && (first == 0 || first > last) {
				return nil
			}
		}
		if errors.Is(err, queue.ErrClosed) {
			return fmt.Errorf("%w: %w", errStoredNotDelivered, err)
		}
		select {
		case <-changed:
		case <-time.After(e.config.PollInterval): // another process may deliver
		case <-e.done:
			return cmp.Or(e.ended, errStoredNotDelivered)
		case <-ctx.Done():
			if err == nil || errors.Is(err, ctx.Err()) {
				return fmt.Errorf("%w: %w", errStoredNotDelivered, ctx.Err())
			}
			return fmt.Errorf("%w: %w: %w", errStoredNotDelivered, ctx.Err(), err)
		}
	}
}

// waiting returns the Seq of the oldest waiting change, or of the newest; 0 if
// none waits.
func (e *Emitter) waiting(ctx context.Context, name string, newest bool) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	entries, err := e.store.List(ctx, name, queue.Filter{States: []queue.State{queue.Waiting}, Newest: newest, Limit: 1})
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	return entries[0].Seq, nil
}

// Close lets no more changes in, delivers what waits, and ends the emitter's
// goroutines. It leaves the store open.
//
// During an outage it waits for as long as ctx lets it, so give it a deadline.
// When ctx ends first, Close breaks off the request under way, whose changes
// may then reach Sentry twice, and returns an error within five seconds: what
// waits stays in the store, for the next emitter on it.
//
// Where several emitters share a queue, Close returns when what waited at the
// call has been delivered, by whichever of them. What the others accept
// meanwhile is theirs.
//
// It may be called again, and then returns what the first call did.
func (e *Emitter) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	e.state.close()
	err := e.waitForEmits(ctx)
	if err == nil {
		err = e.Flush(ctx)
	}
	e.cancel()
	if ended := e.waitForEnd(ctx); ended != nil {
		return ended
	}
	hangs := e.events.close(ctx)
	e.closed.Do(func() {
		if err == nil {
			err = e.ended
		}
		e.result = err
	})
	switch {
	case hangs == nil:
		return e.result
	case e.result == nil:
		return hangs
	}
	return fmt.Errorf("%w; %w", e.result, hangs)
}

var errDeliveryHangs = errors.New("webhook: delivery has not ended: a Logger, or the Transport of Config.HTTPClient, does not return")

// endGrace is how long delivery may take to end once Close has run out of time.
const endGrace = 4 * time.Second

// waitForEnd waits for the goroutines that deliver.
func (e *Emitter) waitForEnd(ctx context.Context) error {
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case <-e.done:
		return nil
	case <-grace.C:
		return fmt.Errorf("%w: %w: %w", errStoredNotDelivered, errDeliveryHangs, ctx.Err())
	}
}

// waitForEmits waits for the calls of Emit that are under way: what they add
// shall be delivered too.
func (e *Emitter) waitForEmits(ctx context.Context) error {
	for {
		changed, inside := e.state.watch()
		if inside == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-e.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: a call of Emit has not returned: %w", errStoredNotDelivered, ctx.Err())
		}
	}
}
