package webhook

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// send makes one request of items and notes what became of them. It returns how
// long to wait before the next request.
func (d *delivery) send(ctx context.Context, items []Item) time.Duration {
	err := d.post(ctx, items)
	rejection, rejected := errors.AsType[*RejectionError](err)
	switch {
	case err == nil:
		d.delivered(items)
		return 0
	case rejected && len(rejection.Changes) > 0 && len(rejection.Request) == 0:
		d.named(items, rejection)
		return 0
	case rejected, errors.Is(err, ErrRefused):
		return d.refused(items, err)
	case ctx.Err() != nil:
		return 0 // broken off by Close
	default:
		return d.pause(items, err)
	}
}

// post sends the items, which were encoded when they were emitted.
func (d *delivery) post(ctx context.Context, items []Item) error {
	d.encoded = d.encoded[:0]
	for _, item := range items {
		d.encoded = append(d.encoded, item.Body)
	}
	return d.client.post(ctx, joinBody(nil, d.encoded...), len(items))
}

func (d *delivery) delivered(items []Item) {
	for _, item := range items {
		d.unsettled = append(d.unsettled, Outcome{ID: item.ID, State: StateDone})
	}
	d.batcher.passed(len(items))
	d.guilty = false
	if d.circuit.succeed() {
		d.resumed()
	}
	d.log.Debug("webhook: delivered", "queue", d.config.Queue, "changes", len(items))
	d.events.send(Event{Kind: EventDelivered, Changes: len(items)})
}

// named sends the changes that a rejection names to the dead letters. The
// others are at the head of the queue and go next.
func (d *delivery) named(items []Item, rejection *RejectionError) {
	for i, item := range items {
		if fields, bad := rejection.Changes[i]; bad {
			d.die(item, fields.String(), &RejectionError{Changes: map[int]Fields{0: fields}})
		}
	}
	d.batcher.found()
	if d.circuit.succeed() { // Sentry itself has answered
		d.resumed()
	}
}

// refused narrows down which change is at fault. It stops at single ones, and
// from the second in a row on waits between them: if it is not the changes that
// are at fault but all requests, the queue must not rush to the dead letters.
func (d *delivery) refused(items []Item, err error) time.Duration {
	if len(items) > 1 {
		if answer, ok := errors.AsType[*AnswerError](err); ok && answer.Status == http.StatusRequestEntityTooLarge {
			d.batcher.tooLarge(len(items))
		} else {
			d.batcher.refused(len(items))
		}
		return 0
	}
	d.die(items[0], err.Error(), err)
	d.batcher.found()
	if !d.guilty {
		d.guilty = true
		return 0
	}
	return d.pause(items, err)
}

func (d *delivery) die(item Item, reason string, err error) {
	d.unsettled = append(d.unsettled, Outcome{ID: item.ID, State: StateDead, Reason: reason})
	d.log.Error("webhook: a change was rejected and is in the dead letters",
		"queue", d.config.Queue, "item", item.ID, "flag", item.Key, "error", err)
	d.events.send(Event{Kind: EventRejected, Changes: 1, ItemID: item.ID, Flag: item.Key, Err: err})
}

// pause leaves items where they are, if they still are, and reports why.
func (d *delivery) pause(items []Item, err error) time.Duration {
	wait := d.circuit.fail(err)
	d.health.set(d.circuit.failures, err)
	report := d.log.Warn
	if needsPerson(err) || errors.Is(err, ErrUnexpectedAnswer) || errors.Is(err, ErrRefused) {
		report = d.log.Error
	}
	report("webhook: delivery waits; nothing is lost", "queue", d.config.Queue, "changes", len(items),
		"wait", wait, "failures", d.circuit.failures, "error", err)
	d.events.send(Event{Kind: EventPaused, Changes: len(items), Err: err, Wait: wait, Failures: d.circuit.failures})
	return wait
}
