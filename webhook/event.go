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

// EventKind says what happened.
type EventKind int

// The kinds of an [Event].
const (
	// EventDelivered means that Sentry has stored Changes changes.
	EventDelivered EventKind = iota + 1
	// EventRejected means that one change went to the dead letters: Err says
	// why, ItemID and Flag which. Correct the cause and replay it.
	EventRejected
	// EventPaused means that a request failed, or the store, so that delivery
	// waits for Wait: Err says why, Failures how often in a row. It comes with
	// each failure.
	EventPaused
	// EventResumed means that delivery works again after a pause, or that what it
	// waited with is settled: another process has delivered it, say.
	EventResumed
	// EventUnattended means that in Queue, which is not this emitter's, something
	// waits and nobody works on it: after its name or the organisation was
	// changed, say. See [EmitterConfig.FormerQueues].
	EventUnattended
)

// String returns the name of the kind.
func (k EventKind) String() string {
	switch k {
	case EventDelivered:
		return "delivered"
	case EventRejected:
		return "rejected"
	case EventPaused:
		return "paused"
	case EventResumed:
		return "resumed"
	case EventUnattended:
		return "unattended"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// Event is something that happened to changes on their way to Sentry, for
// metrics and alarms.
type Event struct {
	Kind EventKind
	// Queue is the queue that it is about.
	Queue string
	// Changes is how many changes it is about.
	Changes int
	// Waited is how long the oldest of the changes that were delivered or
	// rejected had been waiting.
	Waited time.Duration
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int
	// ItemID is the ID in the store of the change that was rejected.
	ItemID string
	// Flag is the flag of the change that was rejected.
	Flag string
	// Err is why changes were rejected or delivery is paused.
	Err error
	// Wait is how long delivery is paused.
	Wait time.Duration
	// Failures is how many failures in a row led to this pause.
	Failures int
}

// eventBuffer is how many events wait for a slow callback.
const eventBuffer = 1024

// eventGrace is how long the last events have when Close runs out of time.
const eventGrace = 100 * time.Millisecond

// dispatcher hands events to the caller's function on a goroutine of its own,
// so that whatever the function does delivery goes on.
type dispatcher struct {
	call    func(Event)
	log     *slog.Logger
	done    chan struct{}
	dropped atomic.Int64

	mu     sync.Mutex
	closed bool
	events chan Event
}

func newDispatcher(call func(Event), log *slog.Logger) *dispatcher {
	d := &dispatcher{call: call, log: log, events: make(chan Event, eventBuffer), done: make(chan struct{})}
	if call == nil {
		close(d.done)
		return d
	}
	go d.run()
	return d
}

func (d *dispatcher) run() {
	defer close(d.done)
	for event := range d.events {
		d.safely(event)
	}
}

func (d *dispatcher) safely(event Event) {
	defer func() {
		if cause := recover(); cause != nil {
			d.log.Error("webhook: OnEvent panicked", "event", event.Kind.String(), "panic", fmt.Sprint(cause))
		}
	}()
	d.call(event)
}

// send hands an event over or, when too many wait, drops it. After close it does
// nothing.
func (d *dispatcher) send(event Event) {
	if d.call == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	select {
	case d.events <- event:
	default:
		d.dropped.Add(1)
	}
}

var errOnEventHangs = errors.New("webhook: EmitterConfig.OnEvent has not returned")

// close waits for the function to be told of everything.
func (d *dispatcher) close(ctx context.Context) error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.events)
	}
	d.mu.Unlock()
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
	}
	grace := time.NewTimer(eventGrace)
	defer grace.Stop()
	select {
	case <-d.done:
		return nil
	case <-grace.C:
		return fmt.Errorf("%w: %w", errOnEventHangs, ctx.Err())
	}
}
