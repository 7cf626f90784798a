package vwo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// Relay takes Sentry's alert webhooks and switches flags, as an [http.Handler]
// that is put behind the webhook URL of an internal integration. In Sentry the
// integration needs "Alert Rule Action" and nothing else: no boxes under
// webhooks.
//
// An alert acts only if it is
//
//   - signed: by one of the client secrets, over the raw body; with the second
//     header and from the installation, if these are configured;
//   - expected: an issue alert that triggered or a metric alert that became
//     critical (or what the rule lists), and no test notification;
//   - new: its body was not seen before, and the same alert has not switched the
//     flag within the cool-down;
//   - recent: its signed time is not older than MaxAge. Issue alerts carry the
//     event's time (received, else datetime, else timestamp); metric alerts when
//     the incident was started, detected or created, whichever is last, and a
//     resolved one when it was closed. One without a usable time never acts. An
//     incident that was a warning for longer than MaxAge before it became
//     critical is therefore too old: let its rule act on warnings too, or alert
//     on critical only;
//   - allowed: by a [Rule]. Whoever can make a rule's alert fire can switch its
//     flag, so read there which fields anybody can forge.
//
// Requests are answered so that Sentry, which waits about a second and never
// asks again, has its answer in time: 405 for anything but POST, 413 for a body
// over [MaxAlert], 401 for what is unsigned, forged, empty, or contradicted by
// its Sentry-Hook-Resource header, 400 for a body that broke off, 200 for an
// authentic alert that does not act or whose flag was switched in time, 202 when
// the switch goes on in the background, and 503 when too many requests arrive at
// once, the relay is closing, or it could not keep the alert at all.
//
// A switch that fails is tried again, with growing pauses, until it works, the
// flag system says that it never will, or MaxAge has passed; the latter two are
// reported. With a durable store that goes on after a crash; it may then set a
// state that was set already.
//
// What it is not for: it does not watch anything by itself, and it forgets its
// cool-downs and its cap when it restarts.
type Relay struct {
	config RelayConfig
	keys   signing.Keys
	memory *memory
	claims *claims
	bodies chan struct{} // a place for each body that is being read
	stores chan struct{} // a place for each call of the store that is on its way
	own    own

	lanes    []*lane
	fallback *lane // in memory; the only lane if there is no store
	cancel   context.CancelFunc
	running  sync.WaitGroup

	closing   chan struct{}
	closeOnce sync.Once
	closed    chan struct{} // everything has ended
	accepting sync.WaitGroup
	gate      sync.RWMutex // held for reading to join accepting
	lost      int
}

// NewRelay checks the configuration and starts a relay; close it with
// [Relay.Close]. Its errors wrap [ErrInvalidConfig].
func NewRelay(config RelayConfig) (*Relay, error) {
	keys, err := signing.NewKeys(config.Secrets...)
	if err != nil {
		return nil, fmt.Errorf("%w: Secrets: %w", ErrInvalidConfig, err)
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	fallback, err := webhook.NewMemoryStore(webhook.MemoryStoreConfig{DedupeWindow: 2*config.MaxAge + 2*maxAhead})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Relay{
		config:  config,
		keys:    keys,
		memory:  newMemory(config),
		claims:  newClaims(),
		bodies:  make(chan struct{}, maxBodies),
		stores:  make(chan struct{}, maxBodies),
		cancel:  cancel,
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
	}
	r.fallback = newLane(r, fallback, config.Queue)
	r.lanes = []*lane{r.fallback}
	// What waits in the store of a relay that was no dry run is not touched by
	// one that is.
	if config.Store != nil && !config.DryRun {
		durable := newLane(r, config.Store, config.Queue)
		durable.durable = true
		r.lanes = append(r.lanes, durable)
	}
	for _, l := range r.lanes {
		r.running.Go(func() { l.run(ctx) })
	}
	return r, nil
}

// enter admits a request unless the relay is closing; leave must follow.
func (r *Relay) enter() bool {
	r.gate.RLock()
	defer r.gate.RUnlock()
	select {
	case <-r.closing:
		return false
	default:
		r.accepting.Add(1)
		return true
	}
}

// Close stops taking alerts, which are then answered 503, and waits until those
// taken are dealt with: each is tried at least once. What a store of the
// caller's holds after that is left there for the next process; what is held in
// memory only is tried until it works or ctx ends, and is then reported. When
// ctx ends everything is broken off.
//
// It returns an error when something was lost from memory, or when a toggler, a
// store or an emitter goes on although its context has ended. It may be called
// again, and then waits for the same end.
func (r *Relay) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	r.closeOnce.Do(func() {
		r.gate.Lock()
		close(r.closing)
		r.gate.Unlock()
		go r.end(context.WithoutCancel(ctx))
	})
	select {
	case <-r.closed:
	case <-ctx.Done():
		r.cancel()
		timer := time.NewTimer(3 * lastSettle)
		defer timer.Stop()
		select {
		case <-r.closed:
		case <-timer.C:
			return fmt.Errorf("vwo: closing the relay: something does not honour its context: %w", context.Cause(ctx))
		}
	}
	if r.lost > 0 {
		return fmt.Errorf("vwo: %d switches were only in memory and are lost; they were reported: %w", r.lost, ErrNotSwitched)
	}
	return nil
}

// end waits for everything that runs, and reports what is left in memory.
func (r *Relay) end(ctx context.Context) {
	r.accepting.Wait()
	for _, l := range r.lanes {
		l.drain()
	}
	r.running.Wait()
	r.cancel()
	r.lost = r.fallback.abandon(ctx)
	close(r.closed)
}

// Stats are the numbers of a relay's queues.
type Stats struct {
	// Waiting is how many switches wait, in the store and in memory.
	Waiting int
	// OldestWaiting is when the oldest of them was accepted; zero if none waits.
	OldestWaiting time.Time
	// Dead is how many switches in the store have failed for good.
	Dead int
}

// Stats counts what waits. It fails when the store cannot be asked: use it for a
// health check.
func (r *Relay) Stats(ctx context.Context) (Stats, error) {
	if ctx == nil {
		return Stats{}, errNilContext
	}
	var total Stats
	for _, l := range r.lanes {
		stats, err := l.store.Stats(ctx, l.queue)
		if err != nil {
			return total, fmt.Errorf("%w: %w", ErrStore, err)
		}
		total.Waiting += stats.Waiting
		if stats.Waiting > 0 && (total.OldestWaiting.IsZero() || stats.OldestWaiting.Before(total.OldestWaiting)) {
			total.OldestWaiting = stats.OldestWaiting
		}
		total.Dead += stats.Dead
	}
	return total, nil
}
