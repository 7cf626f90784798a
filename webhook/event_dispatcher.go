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

// eventBuffer is how many events wait for a slow callback.
const eventBuffer = 1024

// eventGrace is how long the last events have when Close runs out of time.
const eventGrace = 100 * time.Millisecond

// dispatcher hands events to the caller's function on a goroutine of its own,
// so that whatever the function does delivery goes on.
type dispatcher struct {
	call    func(Event)
	log     *slog.Logger
	events  chan Event
	done    chan struct{}
	dropped atomic.Int64
	closing sync.Once
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

// send hands an event over or, when too many wait, drops it. Only the delivery
// goroutine calls it.
func (d *dispatcher) send(event Event) {
	if d.call == nil {
		return
	}
	select {
	case d.events <- event:
	default:
		d.dropped.Add(1)
	}
}

var errOnEventHangs = errors.New("webhook: EmitterConfig.OnEvent has not returned")

// close waits for the function to be told of everything. Nothing is sent any
// more.
func (d *dispatcher) close(ctx context.Context) error {
	d.closing.Do(func() { close(d.events) })
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
