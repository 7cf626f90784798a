package webhook

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// delivery sends the changes of one queue. Its handle is called by one
// goroutine at a time.
type delivery struct {
	*Emitter
	queue string

	size int // the most changes in a request
	most int // the most for now, after an answer of 413
	// suspect narrows down a change that Sentry refuses: it is one of those up
	// to this Seq. 0 means that none is looked for.
	suspect int64
	// guilty says that a change died alone of a refused request, and none was
	// delivered since.
	guilty bool
	// failures is how many requests have failed in a row, and failed the Seq of
	// the change at the head of the last one.
	failures int
	failed   int64

	// Kept for their memory.
	seen    map[string]struct{}
	encoded [][]byte
}

// handle implements [queue.Handler]: it makes one request, and when that is
// refused as a whole smaller ones, until something has come of it.
func (d *delivery) handle(ctx context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
	if foreign := d.foreign(entries); len(foreign) > 0 {
		return foreign, 0
	}
	for {
		batch := d.choose(entries)
		err := d.post(ctx, batch)
		rejection, rejected := errors.AsType[*RejectionError](err)
		switch {
		case err == nil:
			return d.delivered(batch), 0
		case rejected && len(rejection.Changes) > 0 && len(rejection.Request) == 0:
			return d.named(batch, rejection), 0
		case (rejected || errors.Is(err, ErrRefused)) && len(batch) == 1:
			return d.refused(batch[0], err)
		case rejected, errors.Is(err, ErrRefused):
			d.narrow(batch, err)
		case ctx.Err() != nil:
			return nil, 0 // broken off by Close, or the lease has ended
		default:
			d.failed = batch[0].Seq
			return nil, d.pause(len(batch), err)
		}
	}
}

// foreign sends to the dead letters what is no change: somebody else has put it
// into the queue, and no request could carry it.
func (d *delivery) foreign(entries []queue.Entry) []queue.Outcome {
	var outcomes []queue.Outcome
	for _, entry := range entries {
		if len(changeIDOf(entry.Body)) > 0 { // one of ours, as a rule
			continue
		}
		if _, err := DecodeItem(entry.Item); err != nil {
			outcomes = append(outcomes, d.die(entry, err.Error(), err))
		}
	}
	return outcomes
}

// choose returns the entries for the next request: the longest run from the
// head, so that no change overtakes another, within the limits and in which no
// ChangeID repeats, for Sentry would silently drop the second of two.
func (d *delivery) choose(entries []queue.Entry) []queue.Entry {
	limit := min(d.most, len(entries))
	if suspects := d.suspects(entries); suspects > 0 {
		limit = max(1, min(limit, suspects/2))
	}
	entries = entries[:limit]
	if len(entries) < 2 {
		return entries
	}
	if d.seen == nil {
		d.seen = make(map[string]struct{})
	}
	clear(d.seen)
	for i, entry := range entries {
		id := changeIDOf(entry.Body)
		if _, repeated := d.seen[string(id)]; repeated && id != nil {
			return entries[:i]
		}
		d.seen[string(id)] = struct{}{}
	}
	return entries
}

// suspects counts the entries among which the change is that Sentry refuses.
func (d *delivery) suspects(entries []queue.Entry) int {
	n := 0
	for n < len(entries) && entries[n].Seq <= d.suspect {
		n++
	}
	if n == 0 {
		d.suspect = 0 // they are settled: by another process, say
	}
	return n
}

// post sends the changes, which were encoded when they were emitted.
func (d *delivery) post(ctx context.Context, entries []queue.Entry) error {
	d.encoded = d.encoded[:0]
	for _, entry := range entries {
		d.encoded = append(d.encoded, entry.Body)
	}
	return d.client.post(ctx, joinBody(nil, d.encoded...), len(entries))
}

func (d *delivery) delivered(entries []queue.Entry) []queue.Outcome {
	outcomes := make([]queue.Outcome, len(entries))
	for i, entry := range entries {
		outcomes[i] = queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Done}
	}
	d.state.delivered.Add(int64(len(entries)))
	d.most = min(d.size, d.most+1)
	d.guilty = false
	d.answered()
	d.log.Debug("webhook: delivered", "queue", d.queue, "changes", len(entries))
	d.events.send(Event{Kind: EventDelivered, Queue: d.queue, Changes: len(entries), Waited: waited(entries), Status: http.StatusOK})
	return outcomes
}

// named sends the changes that a rejection names to the dead letters. The
// others are at the head of the queue and go next.
func (d *delivery) named(entries []queue.Entry, rejection *RejectionError) []queue.Outcome {
	var outcomes []queue.Outcome
	for i, entry := range entries {
		if fields, bad := rejection.Changes[i]; bad {
			outcomes = append(outcomes, d.die(entry, fields.String(), &RejectionError{Changes: map[int]Fields{0: fields}}))
		}
	}
	d.suspect = 0
	d.answered()
	return outcomes
}

// narrow makes the next request smaller, to find out which change is at fault.
func (d *delivery) narrow(batch []queue.Entry, err error) {
	n := len(batch)
	if statusOf(err) == http.StatusRequestEntityTooLarge {
		d.most = n / 2
		return
	}
	d.suspect = batch[n-1].Seq
}

// refused gives up a change that was refused alone. From the second in a row on
// it waits between them: if it is not the changes that are at fault but all
// requests, the queue must not rush to the dead letters.
func (d *delivery) refused(entry queue.Entry, err error) ([]queue.Outcome, time.Duration) {
	d.suspect = 0
	outcomes := []queue.Outcome{d.die(entry, err.Error(), err)}
	if !d.guilty {
		d.guilty = true
		return outcomes, 0
	}
	d.failed = math.MaxInt64 // it is not this change, so that the next one proves nothing
	return outcomes, d.pause(1, err)
}

func (d *delivery) die(entry queue.Entry, reason string, err error) queue.Outcome {
	d.state.rejected.Add(1)
	d.log.Error("webhook: a change was rejected and is in the dead letters",
		"queue", d.queue, "item", entry.ID, "flag", entry.Key, "error", err)
	d.events.send(Event{
		Kind: EventRejected, Queue: d.queue, Changes: 1, Waited: waited([]queue.Entry{entry}), Status: statusOf(err),
		ItemID: entry.ID, Flag: entry.Key, Err: err,
	})
	return queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Dead, Reason: reason}
}

// pause reports why nothing was delivered, and returns how long to wait.
func (d *delivery) pause(n int, err error) time.Duration {
	d.failures++
	wait := d.backoff(err)
	d.state.setTrouble(d.queue, func(t *trouble) { t.sentry = t.sentry.another(d.failures, err) })
	report := d.log.Warn
	if needsPerson(err) || errors.Is(err, ErrRefused) || errors.Is(err, ErrRejected) {
		report = d.log.Error
	}
	report("webhook: delivery waits; nothing is lost", "queue", d.queue, "changes", n,
		"wait", wait, "failures", d.failures, "error", err)
	d.events.send(Event{
		Kind: EventPaused, Queue: d.queue, Changes: n, Status: statusOf(err),
		Err: err, Wait: wait, Failures: d.failures,
	})
	return wait
}

// backoff is how long to wait after a failed request. It is one for the whole
// queue: an outage costs a few requests, however many changes wait.
func (d *delivery) backoff(err error) time.Duration {
	if answer, ok := errors.AsType[*AnswerError](err); ok && answer.RetryAfter > 0 {
		return answer.RetryAfter
	}
	if needsPerson(err) {
		return d.config.MaxBackoff
	}
	bound := d.config.MinBackoff
	for range d.failures - 1 {
		if bound >= d.config.MaxBackoff/2 {
			bound = d.config.MaxBackoff
			break
		}
		bound *= 2
	}
	return rand.N(max(bound, 1)) + 1
}

// needsPerson reports whether a failure lasts until somebody corrects something.
func needsPerson(err error) bool {
	for _, kind := range []error{ErrRedirected, ErrUnauthorized, ErrNotFound, ErrMisdirected, ErrUnexpectedAnswer} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// answered notes that Sentry itself has answered.
func (d *delivery) answered() {
	d.failures = 0
	d.works(func(t *trouble) { t.sentry = failures{} })
}

// report tells of the loop's store, as [queue.Config.Report].
func (d *delivery) report(r queue.Report) {
	if r.Err == nil {
		d.works(func(t *trouble) { t.store = failures{} })
		return
	}
	if r.Failures == 0 {
		d.log.Warn("webhook: the store fails at something that delivery does not wait for", "queue", d.queue, "error", r.Err)
		return
	}
	d.state.setTrouble(d.queue, func(t *trouble) { t.store = t.store.another(r.Failures, r.Err) })
	what := "webhook: the store fails, delivery waits; what it has accepted stays there"
	if errors.Is(r.Err, queue.ErrHandler) {
		what = "webhook: a request has not ended in time or has panicked: look at Config.HTTPClient's Transport and at the Logger; delivery waits"
	}
	d.log.Error(what,
		"queue", d.queue, "wait", r.Wait, "failures", r.Failures, "error", r.Err)
	d.events.send(Event{Kind: EventPaused, Queue: d.queue, Err: r.Err, Wait: r.Wait, Failures: r.Failures})
}

// look ends a pause whose changes are settled, as [queue.Config.Due]: by another
// process, which found Sentry mended, or by a person. This one may have nothing to
// send for days, and would say for as long that it is paused.
func (d *delivery) look(due []queue.Entry) {
	if d.failures == 0 || len(due) > 0 && due[0].Seq <= d.failed {
		return
	}
	if !d.guilty {
		d.failures = 0
	}
	d.works(func(t *trouble) { t.sentry = failures{} })
}

func (d *delivery) works(change func(*trouble)) {
	if d.state.setTrouble(d.queue, change) {
		d.log.Info("webhook: delivery works again", "queue", d.queue)
		d.events.send(Event{Kind: EventResumed, Queue: d.queue})
	}
}

// waited is how long the first of the entries has been waiting.
func waited(entries []queue.Entry) time.Duration {
	return max(0, time.Since(entries[0].Added)) // a clock may have been set back
}

// statusOf returns the HTTP status that an error is about, 0 if there was no
// answer.
func statusOf(err error) int {
	if errors.Is(err, ErrRejected) {
		return http.StatusOK
	}
	if answer, ok := errors.AsType[*AnswerError](err); ok {
		return answer.Status
	}
	return 0
}
