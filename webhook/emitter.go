package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// ErrEmitterClosed means that Emit was called after Close; nothing was
// enqueued.
var ErrEmitterClosed = errors.New("webhook: the emitter is closed; nothing was enqueued")

// Emitter accepts changes, keeps them in a [queue.Store] and delivers them to
// Sentry in the background: in batches, in order per flag, again and again until
// Sentry has given its answer. Close it when done.
//
// What an answer does to a batch:
//
//	200, empty                        delivered
//	200 with Sentry's errors          what it names goes to the dead letters, the others are sent again
//	200 with anything else            sent again after the longest wait; reported as an error
//	400, 413, 422                     halved; a single change that fails goes to the dead letters
//	3xx, 401, 403, 404, 405, 415      sent again after the longest wait; reported as an error
//	408, 429, 5xx, no answer          sent again after a wait, however often it takes
//
// Delivery is at least once. Sentry recognises no repeat, so that a change whose
// answer was lost, on the way or in a crash, may appear twice in its log.
type Emitter struct {
	client *Client
	store  queue.Store
	config EmitterConfig
	log    *slog.Logger
	events *dispatcher
	state  emitterState

	cancel context.CancelFunc // ends delivery
	done   chan struct{}      // closed when delivery has ended
	ended  error              // why it ended early; read after done
	closed sync.Once
	result error // of the first Close
}

// NewEmitter starts an emitter, whose goroutines end with [Emitter.Close]. The
// client and the store stay the caller's; close the store after the emitter.
// Its errors wrap [ErrInvalidConfig] and name the field.
func NewEmitter(client *Client, store queue.Store, config EmitterConfig) (*Emitter, error) {
	if err := client.usable(); err != nil {
		return nil, err
	}
	if store == nil {
		return nil, invalidConfig("the store is nil")
	}
	config = config.withDefaults(client.destination())
	if err := config.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Emitter{
		client: client,
		store:  store,
		config: config,
		log:    config.Logger,
		events: newDispatcher(config.OnEvent, config.Logger),
		cancel: cancel,
		done:   make(chan struct{}),
	}
	e.state.init(config)
	go e.run(ctx)
	return e, nil
}

// Emit accepts changes for delivery, all of them or, on an error, none. It
// returns nil only when the store has them; from then on they reach Sentry, or
// the dead letters with Sentry's reason, as surely as the store keeps them.
//
// A change that Sentry would refuse is refused here, with a [*ChangeError] that
// names it. The store's own errors come back wrapped: [queue.ErrFull] and
// [queue.ErrClosed] among them. After [Emitter.Close] it is [ErrEmitterClosed].
// After any error the same changes may be emitted again. The store may have taken
// them nonetheless (the context ended during the commit), so set ItemID, or
// ChangeID and CreatedAt, before: made up anew by the second call, they would
// make other changes of them, and Sentry would get both.
//
// A change that several replicas report is delivered once if they give it the
// same [Change.ItemID], or if it is equal in every field, with its ChangeID and
// CreatedAt set by the caller.
func (e *Emitter) Emit(ctx context.Context, changes ...Change) error {
	if ctx == nil {
		return errNilContext
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	items, err := e.Items(changes...)
	if err != nil || len(items) == 0 {
		return err
	}
	if !e.state.enter() {
		return ErrEmitterClosed
	}
	_, err = e.store.Add(ctx, e.config.Queue, queue.Addition{Items: items})
	if err != nil {
		e.state.leave(0)
		return fmt.Errorf("webhook: emit: %w", err)
	}
	e.state.leave(len(items))
	return nil
}

// Items checks changes as Emit does and returns them as items, for the caller
// to enqueue into the emitter's queue (see [Emitter.Queue]) within a
// transaction of their own:
//
//	items, err := emitter.Items(change)
//	…
//	_, err = store.EnqueueTx(ctx, tx, emitter.Queue(), items...)
//	…
//	err = tx.Commit()
//	emitter.Wake()
func (e *Emitter) Items(changes ...Change) ([]queue.Item, error) {
	return e.client.items(changes, time.Now())
}

// Queue is the name of the emitter's queue in its store.
func (e *Emitter) Queue() string { return e.config.Queue }

// Wake makes the emitter look for changes at once instead of within
// [EmitterConfig.PollInterval]: after the commit of a transaction that has put
// some into its queue. It does not wait.
func (e *Emitter) Wake() { e.state.wake() }

// run delivers until the emitter is closed, or the store.
func (e *Emitter) run(ctx context.Context) {
	defer close(e.done)
	defer e.cancel()
	var workers sync.WaitGroup
	var mu sync.Mutex
	for _, name := range append([]string{e.config.Queue}, e.config.FormerQueues...) {
		workers.Go(func() {
			if err := e.deliver(ctx, name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				e.ended = cmp.Or(e.ended, fmt.Errorf("%w: %w", errStoredNotDelivered, err))
				e.cancel()
			}
		})
	}
	workers.Go(func() { e.lookAround(ctx) })
	workers.Wait()
}

// deliver works on one queue.
func (e *Emitter) deliver(ctx context.Context, name string) error {
	d := &delivery{Emitter: e, queue: name, size: e.config.BatchSize, most: e.config.BatchSize}
	err := queue.Run(ctx, e.store, name, queue.Config{
		Batch:    e.config.BatchSize,
		Lease:    e.config.Lease,
		Deadline: e.client.longest() + time.Second,
		Poll:     e.config.PollInterval,
		Wake:     e.state.wakes[name],
		Settled:  func([]queue.Outcome) { e.state.changed() },
		Report:   d.report,
	}, d.handle)
	if errors.Is(err, queue.ErrClosed) {
		e.log.Error("webhook: the store was closed under the emitter; delivery has ended", "queue", name)
	}
	return err
}

const (
	// aroundEvery is how often to look whether other queues are worked on, and
	// aroundGrace how long they may have waited.
	aroundEvery = time.Minute
	aroundGrace = time.Minute
	// storeCall bounds a call of the store that no caller waits for.
	storeCall = 3 * time.Second
)

// lookAround reports queues in which something waits and which nobody works on,
// and at the start whether this one rests.
func (e *Emitter) lookAround(ctx context.Context) {
	e.sayRest(ctx)
	reported := make(map[string]bool)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		e.reportUnattended(ctx, reported)
		timer.Reset(aroundEvery)
	}
}

// sayRest says that the queue rests, after a failure in another process or
// before a restart: else a corrected configuration would seem not to work.
func (e *Emitter) sayRest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	stats, err := e.store.Stats(ctx, e.config.Queue)
	if err == nil && stats.Rest > 0 && stats.Waiting > 0 {
		e.log.Warn("webhook: delivery waits for the end of a pause that began earlier or in another process",
			"queue", e.config.Queue, "changes", stats.Waiting, "wait", stats.Rest)
	}
}

func (e *Emitter) reportUnattended(ctx context.Context, reported map[string]bool) {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	names, err := queue.Unattended(ctx, e.store, aroundGrace)
	if err != nil {
		return // the loop reports a failing store
	}
	others := 0
	for _, name := range names {
		if _, own := e.state.wakes[name]; own {
			continue
		}
		others++
		if reported[name] {
			continue
		}
		reported[name] = true
		e.log.Error("webhook: in another queue of the store something waits and nobody works on it; start what it belongs to, or name it in EmitterConfig.FormerQueues if it was this one's name",
			"queue", name)
		e.events.send(Event{Kind: EventUnattended, Queue: name})
	}
	e.state.setUnattended(others)
}

// destination names the queue of the client's Sentry and organisation. The
// regions of sentry.io are one: an organisation's name is unique among them.
func (c *Client) destination() string {
	_, after, _ := strings.Cut(c.endpoint.Path, "/organizations/")
	organization, _, _ := strings.Cut(after, "/")
	host := strings.ToLower(c.endpoint.Host)
	if strings.HasSuffix(host, ".sentry.io") {
		host = "sentry.io"
	}
	name := "flag-changes:" + host + "/" + organization
	if len(name) > queue.MaxName {
		sum := sha256.Sum256([]byte(name))
		name = "flag-changes:sha256-" + hex.EncodeToString(sum[:])
	}
	return name
}

// longest is how long a post may take: each secret may be tried.
func (c *Client) longest() time.Duration {
	return c.timeout * time.Duration(len(c.secrets))
}
