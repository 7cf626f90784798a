package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// ErrEmitterClosed means that Emit was called after Close; nothing was
// enqueued.
var ErrEmitterClosed = errors.New("webhook: the emitter is closed; nothing was enqueued")

// Emitter accepts changes, keeps them in a [Store] and delivers them to Sentry
// in the background: in batches, in order per flag, again and again until
// Sentry has given its answer. Close it when done.
//
// What an answer does to a batch:
//
//	200, empty                        delivered
//	200 with Sentry's errors          what it names goes to the dead letters, the others are sent again
//	200 with anything else            sent again after a wait; reported
//	400, 413, 422                     halved; a single change that fails goes to the dead letters
//	3xx, 401, 403, 404, 405, 415      sent again after the longest wait; reported as an error
//	408, 429, 5xx, no answer          sent again after a wait, however often it takes
//
// Delivery is at least once. Sentry recognises no repeat, so that a change whose
// answer was lost, on the way or in a crash, may appear twice in its log.
type Emitter struct {
	client *Client
	store  Store
	config EmitterConfig
	log    *slog.Logger

	gate     gate
	wake     chan struct{} // something was enqueued here
	full     chan struct{} // a whole batch was enqueued here
	fresh    atomic.Int64  // enqueued here since the last look
	hurry    chan struct{} // somebody waits in Flush
	drain    chan struct{} // closed by Close
	done     chan struct{} // closed when delivery has ended
	cancel   context.CancelCauseFunc
	draining sync.Once
	// drainedAt is when drain was closed; read after that.
	drainedAt time.Time
	events    *dispatcher
	progress  progress
	health    health
	ended     error // why delivery ended early; read after done
}

// NewEmitter starts an emitter, whose goroutines end with [Emitter.Close]. The
// client and the store stay the caller's; close the store after the emitter.
// Its errors wrap [ErrInvalidConfig] and name the field.
func NewEmitter(client *Client, store Store, config EmitterConfig) (*Emitter, error) {
	if err := client.usable(); err != nil {
		return nil, err
	}
	if store == nil {
		return nil, invalidConfig("the store is nil")
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	e := &Emitter{
		client: client,
		store:  store,
		config: config,
		log:    config.Logger,
		wake:   make(chan struct{}, 1),
		full:   make(chan struct{}, 1),
		hurry:  make(chan struct{}, 1),
		drain:  make(chan struct{}),
		done:   make(chan struct{}),
		cancel: cancel,
		events: newDispatcher(config.OnEvent, config.Logger),
	}
	e.progress.init()
	go e.run(ctx)
	return e, nil
}

// Emit accepts changes for delivery, all of them or, on an error, none. It
// returns nil only when the store has them; from then on they reach Sentry, or
// the dead letters with Sentry's reason, as surely as the store keeps them.
//
// A change that Sentry would refuse is refused here, with a [*ChangeError] that
// names it. The store's own errors come back wrapped: [ErrStoreFull] and
// [ErrStoreClosed] among them. After [Emitter.Close] it is [ErrEmitterClosed].
// After any error the same changes may be emitted again. The store may have taken
// them nonetheless (the context ended during the commit), so set ChangeID and
// CreatedAt before: made up anew by the second call, they would make other
// changes of them, and Sentry would get both.
//
// A change that several replicas report, equal in every field, with its
// ChangeID and CreatedAt set by the caller, is delivered once.
func (e *Emitter) Emit(ctx context.Context, changes ...Change) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	items, err := e.Items(changes...)
	if err != nil || len(items) == 0 {
		return err
	}
	if !e.gate.enter() {
		return ErrEmitterClosed
	}
	defer e.gate.leave()
	if _, err := e.store.Enqueue(ctx, e.config.Queue, items...); err != nil {
		return fmt.Errorf("webhook: emit: %w", err)
	}
	if e.fresh.Add(int64(len(items))) >= int64(e.config.BatchSize) {
		signal(e.full)
	}
	signal(e.wake)
	return nil
}

// Items checks changes as Emit does and returns them as items, for the caller
// to enqueue into the emitter's queue (see [Emitter.Queue]) within a
// transaction of their own:
//
//	items, err := emitter.Items(change)
//	…
//	_, err = store.EnqueueTx(ctx, tx, emitter.Queue(), items...)
func (e *Emitter) Items(changes ...Change) ([]Item, error) {
	return e.client.items(changes, time.Now())
}

// Queue is the name of the emitter's queue in its store.
func (e *Emitter) Queue() string { return e.config.Queue }

// signal leaves a note in a channel with room for one.
func signal(note chan struct{}) {
	select {
	case note <- struct{}{}:
	default:
	}
}
