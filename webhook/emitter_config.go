package webhook

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

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
	return c
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
