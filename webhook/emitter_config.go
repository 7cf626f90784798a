package webhook

import (
	"cmp"
	"log/slog"
	"time"
)

// DefaultQueue is the name of the queue that an [Emitter] keeps changes in
// unless [EmitterConfig.Queue] says otherwise.
const DefaultQueue = "flag-changes"

// MaxBatch is the most that [EmitterConfig.BatchSize] can be.
const MaxBatch = 1000

// EmitterConfig configures an [Emitter]. Its zero value is ready to use.
type EmitterConfig struct {
	// Queue is the name of the queue in the store. Emitters with the same store
	// and queue share the work by taking turns, in one process or in many.
	// Defaults to [DefaultQueue].
	Queue string

	// BatchSize is the most changes in one request, 1 to [MaxBatch]. Defaults
	// to 100.
	BatchSize int

	// Linger is how long the first change after a quiet time waits for others
	// to share its request. Defaults to 50 ms; -1 means not at all.
	Linger time.Duration

	// PollInterval is how often the emitter looks for changes that others have
	// put into the store: another process, or EnqueueTx. Its own it sees at
	// once. Defaults to 1 s.
	PollInterval time.Duration

	// MinBackoff bounds the wait after the first failed request; each failure
	// in a row doubles the bound. The wait is random between zero and the
	// bound (full jitter). Defaults to 250 ms.
	MinBackoff time.Duration

	// MaxBackoff is where that bound stops growing, and the wait after an
	// answer that a person has to do something about: 401, 403, 404, 405, 415
	// and redirects. A time to wait that the answer names goes before either
	// bound. Defaults to 1 minute.
	MaxBackoff time.Duration

	// OnEvent is called for what happens to the changes, one event at a time on
	// a goroutine of its own. It may take its time: delivery goes on, and
	// beyond 1,024 events that wait for it further ones are dropped and counted
	// in [EmitterStats]. A panic in it is caught and logged. It must not call
	// [Emitter.Close], which waits for it to return. Defaults to nil, which
	// ignores events.
	OnEvent func(Event)

	// Logger is told of failures and recoveries, without secrets and without
	// the authors of changes. Defaults to nil, which is silent.
	Logger *slog.Logger
}

func (c EmitterConfig) withDefaults() EmitterConfig {
	c.Queue = cmp.Or(c.Queue, DefaultQueue)
	c.BatchSize = cmp.Or(c.BatchSize, 100)
	c.Linger = cmp.Or(c.Linger, 50*time.Millisecond)
	c.PollInterval = cmp.Or(c.PollInterval, time.Second)
	c.MinBackoff = cmp.Or(c.MinBackoff, 250*time.Millisecond)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, time.Minute)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c EmitterConfig) validate() error {
	if err := ValidateQueue(c.Queue); err != nil {
		return invalidConfig("Queue: %v", err)
	}
	switch {
	case c.BatchSize < 1 || c.BatchSize > MaxBatch:
		return invalidConfig("BatchSize must be 1 to %d", MaxBatch)
	case c.Linger < 0 && c.Linger != -1:
		return invalidConfig("Linger must not be negative, except -1 for none")
	case c.PollInterval < 0:
		return invalidConfig("PollInterval must not be negative")
	case c.MinBackoff < 0:
		return invalidConfig("MinBackoff must not be negative")
	case c.MaxBackoff < c.MinBackoff:
		return invalidConfig("MaxBackoff must not be less than MinBackoff")
	}
	return nil
}
