package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/typednil"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// MaxBatch is the most that [EmitterConfig.BatchSize] can be.
const MaxBatch = 1000

// EmitterConfig configures an [Emitter]. Its zero value is ready to use.
type EmitterConfig struct {
	// Queue is the name of the queue in the store, 1 to [queue.MaxName] bytes.
	// Emitters with the same store and queue share the work, in one process or in
	// many: one at a time delivers. Defaults to a name that says which Sentry and
	// which organisation the changes are for, as
	// "flag-changes:sentry.io/acme", so that emitters of several organisations
	// can share a store.
	Queue string

	// FormerQueues are names that the queue had before, of which is delivered
	// what still waits there. A change that waits there may be delivered after a
	// newer one of its flag. Defaults to none.
	FormerQueues []string

	// BatchSize is the most changes in one request, 1 to [MaxBatch]. Defaults
	// to 100.
	BatchSize int

	// Linger is how long the first change after a quiet time waits for others
	// to share its request. Defaults to 50 ms; -1 means not at all.
	Linger time.Duration

	// PollInterval is how often the emitter looks for changes that others have
	// put into the store: another process, or EnqueueTx without
	// [Emitter.Wake]. Its own it sees at once. Defaults to 1 s.
	PollInterval time.Duration

	// Lease is how long it takes until another process goes on after the one
	// that delivers was killed or has frozen. Defaults to 10 s, at least 100 ms.
	Lease time.Duration

	// MinBackoff bounds the wait after the first failed request; each failure
	// in a row doubles the bound. The wait is random between zero and the
	// bound (full jitter). All processes that share the queue wait. Defaults to
	// 250 ms.
	MinBackoff time.Duration

	// MaxBackoff is where that bound stops growing, and the wait after an
	// answer that a person has to do something about: 401, 403, 404, 405, 415,
	// redirects, and what Sentry's endpoint never answers, such as a page under
	// status 200, behind which the changes may have been stored. A time to wait
	// that the answer names goes before either bound. Defaults to 1 minute.
	MaxBackoff time.Duration

	// OnEvent is called for what happens to the changes, one event at a time on
	// a goroutine of its own. It may take its time: delivery goes on, and
	// beyond 1,024 events that wait for it further ones are dropped and counted
	// in [EmitterStats]. A panic in it is caught and logged. It must not call
	// [Emitter.Close], which waits for it to return. Defaults to nil, which
	// ignores events.
	OnEvent func(Event)

	// Logger is told of failures and recoveries, without secrets and without
	// the authors of changes. Defaults to slog.Default(), for silence would cost
	// the audit trail; slog.New(slog.DiscardHandler) chooses it.
	Logger *slog.Logger
}

func (c EmitterConfig) withDefaults(destination string) EmitterConfig {
	c.Queue = cmp.Or(c.Queue, destination)
	c.FormerQueues = slices.Clone(c.FormerQueues)
	c.BatchSize = cmp.Or(c.BatchSize, 100)
	c.Linger = cmp.Or(c.Linger, 50*time.Millisecond)
	c.PollInterval = cmp.Or(c.PollInterval, time.Second)
	c.Lease = cmp.Or(c.Lease, 10*time.Second)
	c.MinBackoff = cmp.Or(c.MinBackoff, 250*time.Millisecond)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, time.Minute)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = slog.New(containing{c.Logger.Handler()})
	return c
}

// containing keeps the panic of a handler for logs from ending the program.
type containing struct{ slog.Handler }

func (h containing) Handle(ctx context.Context, record slog.Record) error {
	defer func() { _ = recover() }()
	return h.Handler.Handle(ctx, record)
}

func (h containing) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

func (c EmitterConfig) validate() error {
	for i, name := range append([]string{c.Queue}, c.FormerQueues...) {
		if err := queue.ValidateName("queue", name); err != nil {
			return invalidConfig("Queue or FormerQueues: %v", err)
		}
		if i > 0 && (name == c.Queue || slices.Contains(c.FormerQueues[:i-1], name)) {
			return invalidConfig("FormerQueues must not name the same queue twice, nor Queue")
		}
	}
	switch {
	case c.BatchSize < 1 || c.BatchSize > MaxBatch:
		return invalidConfig("BatchSize must be 1 to %d", MaxBatch)
	case c.Linger < 0 && c.Linger != -1:
		return invalidConfig("Linger must not be negative, except -1 for none")
	case c.PollInterval < 0:
		return invalidConfig("PollInterval must not be negative")
	case c.Lease < 100*time.Millisecond:
		return invalidConfig("Lease must be at least 100 ms")
	case c.MinBackoff < 0:
		return invalidConfig("MinBackoff must not be negative")
	case c.MaxBackoff < c.MinBackoff:
		return invalidConfig("MaxBackoff must not be less than MinBackoff")
	}
	return nil
}

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
	if store == nil || typednil.In(store) {
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

// FormerQueues are the names that the queue had before, a copy of
// [EmitterConfig.FormerQueues].
func (e *Emitter) FormerQueues() []string { return slices.Clone(e.config.FormerQueues) }

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
		Due:      d.look,
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
// and at the start ends a rest of this one if it can.
func (e *Emitter) lookAround(ctx context.Context) {
	e.endRest(ctx)
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

// endRest looks at the start whether the queue rests, after a failure in another
// process or before a restart. If Sentry takes a request without changes now, the
// cause was mended and the rest is ended; else it says what delivery waits for,
// or a corrected configuration would seem not to work.
func (e *Emitter) endRest(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	stats, err := e.store.Stats(call, e.config.Queue, metricsMost)
	if err != nil || stats.Rest == 0 || stats.Waiting == 0 || e.state.stats([]string{e.config.Queue}).Paused {
		return // or this process itself has said why
	}
	if err = e.client.Check(ctx); err == nil {
		call, cancel := context.WithTimeout(ctx, storeCall)
		defer cancel()
		err = e.store.Resume(call, e.config.Queue)
	}
	if err != nil && ctx.Err() == nil {
		e.log.Warn("webhook: delivery waits for the end of a pause that began earlier or in another process",
			"queue", e.config.Queue, "changes", stats.Waiting, "wait", stats.Rest, "error", err)
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

// Queue is what the queue of an emitter with this client is called, unless
// [EmitterConfig.Queue] says otherwise: for a process that looks into the store
// without an emitter.
func (c *Client) Queue() string { return c.destination() }

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
