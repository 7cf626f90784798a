package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// loop is one [Run]. Its own goroutine alone touches it; the handler runs on
// another, so that the lease can be renewed meanwhile.
type loop struct {
	store   Store
	queue   string
	config  Config
	handler Handler
	owner   string

	// asked is when the lease was last asked for, before the call, and until is
	// when it ends for sure: nothing is begun after that without a new one.
	asked, until time.Time
	idleSince    time.Time // zero: not idle

	// unsettled is what became of entries as far as the store does not know yet,
	// and rest the rest to give back the lease with once it does.
	unsettled []Outcome
	rest      time.Duration

	// after is the Seq up to which everything that the loop has seen is settled.
	after    int64
	fullAt   time.Time // when the next look has to be a full one
	sweepAt  time.Time
	failures int
	// patience is how long a call of the store may take: longer after each that
	// took too long, or a database far away would have its connections cut for
	// ever before they are made.
	patience time.Duration
	// hangs says that the handler was left behind.
	hangs bool
}

// pause is a wait between two steps.
type pause struct {
	wait time.Duration
	// wakes says that Wake ends it: there was nothing to do.
	wakes bool
}

// step does the next thing that there is to do and returns how long to pause
// after it. Its error was reported.
func (l *loop) step(ctx context.Context) (pause, error) {
	next, err := l.advance(ctx)
	switch {
	case err == nil:
		l.works()
		return next, nil
	case ctx.Err() != nil, errors.Is(err, ErrClosed):
		return pause{}, err
	}
	return pause{wait: max(l.failed(err), next.wait)}, err
}

func (l *loop) advance(ctx context.Context) (pause, error) {
	if err := l.settle(ctx); err != nil {
		return pause{}, err
	}
	if l.rest > 0 {
		return l.goToRest(ctx)
	}
	l.sweep(ctx)
	limit := l.config.Batch
	if !l.holds() {
		limit = 1 // just to see whether there is something
	}
	entries, err := l.look(ctx, limit)
	if err != nil {
		return pause{}, err
	}
	l.config.Due(entries)
	if len(entries) == 0 {
		return l.idle(ctx)
	}
	l.idleSince = time.Time{}
	switch held, wait, err := l.lease(ctx); {
	case err != nil:
		return pause{}, err
	case wait > 0:
		return pause{wait: min(wait, l.config.Poll)}, nil
	case !held:
		return pause{}, nil // who had it may have settled what was looked at: look again
	}
	outcomes, rest := l.handle(ctx, entries)
	l.unsettled, l.rest = outcomes, rest
	l.moveOn(entries)
	if len(outcomes) == 0 && rest <= 0 {
		return pause{wait: l.config.Poll, wakes: true}, nil // not to ask for the same over and over
	}
	return pause{}, nil
}

// holds reports whether the loop has the lease for sure, for a while longer.
func (l *loop) holds() bool { return time.Until(l.until) > l.config.Lease/3 }

// lease asks for the lease, or renews it when a third of it is over. Held says
// that the loop had it all the time.
func (l *loop) lease(ctx context.Context) (held bool, wait time.Duration, err error) {
	held = l.holds()
	if held && time.Since(l.asked) < l.config.Lease/3 {
		return true, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.call())
	defer cancel()
	asked := time.Now()
	wait, err = l.store.Lease(ctx, l.queue, l.owner, l.config.Lease)
	if err != nil {
		return held, 0, err
	}
	if wait > 0 {
		l.until = time.Time{}
		return false, wait, nil
	}
	l.asked, l.until = asked, asked.Add(l.config.Lease)
	return held, 0, nil
}

// idle gives the lease back when there has been nothing to do for a while, so
// that an idle queue is not written to.
func (l *loop) idle(ctx context.Context) (pause, error) {
	if l.idleSince.IsZero() {
		l.idleSince = time.Now()
	}
	if l.until.IsZero() {
		return pause{wait: l.config.Poll, wakes: true}, nil
	}
	left := l.config.Lease/3 - time.Since(l.idleSince)
	if left > 0 {
		return pause{wait: min(left, l.config.Poll), wakes: true}, nil
	}
	return pause{wait: l.config.Poll, wakes: true}, l.release(ctx, 0)
}

// goToRest gives the lease back, so that nobody goes on before the rest is over:
// the store has it then, and may be told to end it.
func (l *loop) goToRest(ctx context.Context) (pause, error) {
	rest := l.rest
	l.rest = 0
	if err := l.release(ctx, rest); err != nil {
		return pause{wait: rest}, err
	}
	return pause{wait: min(rest, l.config.Poll)}, nil
}

func (l *loop) release(ctx context.Context, rest time.Duration) error {
	l.until = time.Time{}
	ctx, cancel := context.WithTimeout(ctx, l.call())
	defer cancel()
	return l.store.Release(ctx, l.queue, l.owner, rest)
}

// look reads what is due behind what is settled, and now and then from the
// start, for databases commit out of order and delays end.
func (l *loop) look(ctx context.Context, limit int) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, l.call())
	defer cancel()
	began := time.Now()
	full := l.after == 0 || !began.Before(l.fullAt)
	after := l.after
	if full {
		after = 0
	}
	entries, err := l.store.Due(ctx, l.queue, after, limit)
	if err != nil {
		return nil, err
	}
	if full {
		took := time.Since(began)
		l.fullAt = began.Add(max(fullLook, fullShare*took))
	}
	if len(entries) > 0 {
		l.after = min(l.after, entries[0].Seq-1)
	}
	return entries, nil
}

// moveOn moves the cursor to the last entry before the first one that has no
// outcome.
func (l *loop) moveOn(entries []Entry) {
	settled := make(map[int64]struct{}, len(l.unsettled))
	for _, outcome := range l.unsettled {
		settled[outcome.Seq] = struct{}{}
	}
	for _, entry := range entries {
		if _, ok := settled[entry.Seq]; !ok {
			return
		}
		l.after = entry.Seq
	}
}

// settle tells the store what became of entries. When ctx ends it goes on for a
// moment, so that what was done is not done again.
func (l *loop) settle(ctx context.Context) error {
	if len(l.unsettled) == 0 {
		return nil
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.call())
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(endGrace, cancel)
		context.AfterFunc(patient, func() { timer.Stop() })
	})
	defer stop()
	if err := l.store.Settle(patient, l.queue, l.owner, l.unsettled...); err != nil {
		return err
	}
	l.config.Settled(l.unsettled)
	l.unsettled = nil
	return nil
}

// sweep removes what was settled long ago, if it is time. Its failure is
// reported and holds up nothing.
func (l *loop) sweep(ctx context.Context) {
	if time.Now().Before(l.sweepAt) {
		return
	}
	call, cancel := context.WithTimeout(ctx, l.call())
	defer cancel()
	n, err := l.store.Sweep(call, sweepLimit)
	if n == sweepLimit {
		return // there may be more: again after the next batch
	}
	l.sweepAt = time.Now().Add(sweepEvery*3/4 + rand.N(sweepEvery/2))
	if err != nil && ctx.Err() == nil {
		l.config.Report(Report{Err: fmt.Errorf("queue: remove old entries: %w", err)})
	}
}

// call is how long a call of the store may take now.
func (l *loop) call() time.Duration { return max(l.patience, l.config.call()) }

// failed reports a failure of the store and returns how long to wait.
func (l *loop) failed(err error) time.Duration {
	l.failures++
	if errors.Is(err, context.DeadlineExceeded) {
		l.patience = min(2*l.call(), l.config.Lease*4/5)
	}
	bound := min(minPause<<min(l.failures-1, 20), maxPause)
	wait := bound/2 + rand.N(bound/2)
	l.config.Report(Report{Err: err, Failures: l.failures, Wait: wait})
	return wait
}

// works notes that the store does what it is asked.
func (l *loop) works() {
	if l.failures > 0 {
		l.failures = 0
		l.config.Report(Report{})
	}
}

func (l *loop) pause(ctx context.Context, p pause) {
	if p.wait <= 0 {
		return
	}
	var wake <-chan struct{}
	if p.wakes {
		wake = l.config.Wake
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// end settles what is left and gives the lease back. Only empty hands do: if it
// cannot be settled the lease runs out, and another one repeats it.
func (l *loop) end(ctx context.Context) error {
	if err := l.settle(ctx); err != nil {
		return fmt.Errorf("queue: %d entries were handled and could not be settled; they will be handled again: %w", len(l.unsettled), err)
	}
	if l.hangs {
		return errHandlerHangs
	}
	if l.until.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(endGrace, l.call()))
	defer cancel()
	if err := l.release(ctx, l.rest); err != nil {
		l.config.Report(Report{Err: fmt.Errorf("queue: the lease was not given back and runs out: %w", err)})
	}
	return nil
}

// handled is what a handler has returned.
type handled struct {
	outcomes []Outcome
	rest     time.Duration
	err      error // a panic
}

// handle runs the handler and renews the lease meanwhile, up to the deadline.
func (l *loop) handle(ctx context.Context, entries []Entry) ([]Outcome, time.Duration) {
	work, cancel := context.WithTimeout(ctx, l.config.Deadline)
	defer cancel()
	done := make(chan handled, 1)
	go func() { done <- l.safely(work, entries) }()

	renewal := time.NewTimer(time.Until(l.asked.Add(l.config.Lease / 3)))
	defer renewal.Stop()
	var late, tooLate <-chan time.Time
	over, ended := work.Done(), ctx.Done()
	for {
		select {
		case result := <-done:
			return l.result(result)
		case <-renewal.C:
			if l.renew(work, cancel) {
				renewal.Reset(l.nextRenewal())
			}
		case <-over:
			over, late = nil, time.After(endGrace)
		case <-late:
			l.config.Report(Report{Err: errHandlerHangs, Failures: l.failures + 1})
		case <-ended:
			ended, tooLate = nil, time.After(2*endGrace)
		case <-tooLate:
			l.hangs = true
			return nil, 0
		}
	}
}

func (l *loop) safely(ctx context.Context, entries []Entry) (result handled) {
	defer func() {
		if cause := recover(); cause != nil {
			result = handled{rest: maxPause, err: fmt.Errorf("%w: it panicked with a %T; the queue rests", ErrHandler, cause)}
		}
	}()
	outcomes, rest := l.handler(ctx, entries)
	return handled{outcomes: slices.Clone(outcomes), rest: rest}
}

func (l *loop) result(result handled) ([]Outcome, time.Duration) {
	if result.err != nil {
		l.config.Report(Report{Err: result.err, Failures: 1, Wait: result.rest})
	}
	return result.outcomes, max(0, result.rest)
}

// renew renews the lease, and ends the work when that has failed for too long or
// another has it. It reports whether to go on renewing.
func (l *loop) renew(ctx context.Context, cancel context.CancelFunc) bool {
	// In time for the work to end before the lease does.
	call, stop := context.WithTimeout(ctx, min(l.call(), time.Until(l.until)-l.config.Lease/6))
	defer stop()
	asked := time.Now()
	wait, err := l.store.Lease(call, l.queue, l.owner, l.config.Lease)
	switch {
	case ctx.Err() != nil:
		return false
	case err == nil && wait == 0:
		l.asked, l.until = asked, asked.Add(l.config.Lease)
		l.works()
		return true
	case err == nil:
		l.until = time.Time{}
		cancel()
		return false
	}
	l.failed(err)
	if time.Until(l.until) <= l.config.Lease/6 {
		cancel()
		return false
	}
	return true
}

// nextRenewal is a third of the lease after the last success, or soon after a
// failure.
func (l *loop) nextRenewal() time.Duration {
	return max(time.Until(l.asked.Add(l.config.Lease/3)), l.config.Lease/20)
}
