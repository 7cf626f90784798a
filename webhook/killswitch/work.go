package killswitch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// The pauses between two attempts at one flag.
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	// longestAsked is the longest pause that a flag system may ask for.
	longestAsked = time.Minute
	// saysLater is how long a switch may take before a person is told.
	saysLater = 10 * time.Second
	// maxWorks is how many switches a process makes at a time, of those that it
	// takes from the queue.
	maxWorks = 64
)

// work is a switch that this process is making.
type work struct {
	relay    *Relay
	journal  *journal
	toggler  Toggler
	id       string
	kill     kill
	seq      int64 // of the item in the queue; 0 if the journal knows it
	tries    int   // before this process had it
	attempts int   // in this process
	alone    bool  // nothing else can have switched the flag meanwhile
	sawOn    bool  // an attempt has found the flag on
	ended    *ended
}

// direct switches a flag off at once, while the journal is written, and goes on
// until the flag is off or the journal has it: then its turn comes there.
func (w *work) direct(ctx context.Context, c *change) {
	for {
		was, err := w.attempt(ctx, &w.kill, w.id)
		if err == nil {
			w.end(true)
			w.afterDirect(ctx, c, was)
			return
		}
		wait, over := w.judge(err)
		if over {
			w.end(false)
		}
		if !over && !w.waitUnwritten(ctx, c, wait) {
			continue
		}
		if !w.written(ctx, c) {
			// Neither switched nor kept.
			w.relay.lose(&w.kill, fmt.Errorf("%w: %w", ErrNotSwitched, err))
			return
		}
		if c.result.reason != "" {
			return // somebody else has the alert, or has decided later
		}
		if over {
			w.giveUp(ctx, err)
			return
		}
		w.putOff(ctx, wait, err)
		return
	}
}

// waitUnwritten waits for the next attempt, and reports whether there is no need
// for one here: the journal has the switch, or the relay ends.
func (w *work) waitUnwritten(ctx context.Context, c *change, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.written:
		return true
	case <-ctx.Done():
		return true
	case <-w.relay.hurry:
		return true
	case <-timer.C:
		return false
	}
}

// written waits until the journal has the switch, and reports whether it does.
func (w *work) written(ctx context.Context, c *change) bool {
	select {
	case <-c.written:
	case <-ctx.Done():
		// The writer has one more chance.
		timer := time.NewTimer(lastCall + lastCall/2)
		defer timer.Stop()
		select {
		case <-c.written:
		case <-timer.C:
			return false
		}
	}
	w.alone = c.result.alone
	if c.result.reason == "" {
		w.kill = c.stored
	}
	return true
}

// afterDirect ends a switch that was made before the journal had it.
func (w *work) afterDirect(ctx context.Context, c *change, was State) {
	if !w.written(ctx, c) {
		w.relay.lose(&w.kill, ErrNotRecorded)
		return
	}
	if c.result.reason != "" {
		return // somebody else has the alert and its record, or has decided later
	}
	if c.result.inPlay {
		// A switch-on may have landed behind it, before the journal could tell.
		if _, err := w.attempt(ctx, &w.kill, w.id); err != nil {
			wait, _ := w.judge(err)
			w.putOff(ctx, wait, err)
			return
		}
	}
	w.conclude(ctx, was)
}

// fromQueue makes a switch that the queue has: one that failed, that a dead
// process has left, or one that switches on.
func (w *work) fromQueue(ctx context.Context) {
	f, err := w.journal.fresh(ctx, w.kill.note())
	if err != nil {
		w.putOff(ctx, firstPause, fmt.Errorf("%w: %w", ErrStore, err))
		return
	}
	if f.applied(w.id) {
		w.record(ctx)
		return
	}
	if newer := f.newer(&w.kill); newer != nil {
		w.giveWay(ctx, newer)
		return
	}
	was, err := w.attempt(ctx, &w.kill, w.id)
	if err != nil {
		wait, over := w.judge(err)
		if over {
			w.giveUp(ctx, err)
			return
		}
		w.putOff(ctx, wait, err)
		return
	}
	if newer, err := w.dispute(ctx); err != nil {
		wait, _ := w.judge(err)
		w.putOff(ctx, wait, err)
		return
	} else if newer != nil && newer.Kill.On != w.kill.On {
		w.overtaken(ctx)
		return
	}
	w.end(true)
	w.conclude(ctx, was)
}

// giveWay leaves the flag to a newer decision. One that switches on may have been
// tried before, and have come through late: what is newer is made sure of.
func (w *work) giveWay(ctx context.Context, newer *decided) {
	if newer.Kill.On == w.kill.On {
		w.relay.config.Logger.Info("killswitch: a newer alert switches the flag", "flag", w.kill.key(), "alert", visible.Quote(w.kill.Alert))
		w.done(ctx)
		return
	}
	if w.kill.On {
		if _, err := w.attempt(ctx, &newer.Kill, newer.ID); err != nil {
			wait, over := w.judge(err)
			if !over {
				w.putOff(ctx, wait, err)
				return
			}
		}
	}
	w.overtaken(ctx)
}

// dispute looks, after a switch, whether a newer decision about the flag was made
// meanwhile, and sees to it that it gets its way. It returns the newest, if it is
// newer than this.
func (w *work) dispute(ctx context.Context) (*decided, error) {
	current, newest := &w.kill, (*decided)(nil)
	for {
		f, err := w.journal.fresh(ctx, w.kill.note())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStore, err)
		}
		newer := f.newer(current)
		if newer == nil {
			return newest, nil
		}
		newest = newer
		if newer.Kill.On != current.On {
			if _, err := w.attempt(ctx, &newer.Kill, newer.ID); err != nil {
				return nil, err
			}
		}
		current = &newer.Kill
	}
}

func (w *work) overtaken(ctx context.Context) {
	w.relay.report(reportOf(&w.kill, ErrOvertaken, w.attempts))
	w.done(ctx)
}

// attempt calls the toggler once, within bounds. A switch that is taken and not
// confirmed is told of, and is none of its errors.
func (w *work) attempt(ctx context.Context, k *kill, id string) (State, error) {
	w.attempts++
	until := time.Now().Add(attemptTimeout)
	if expiry := k.At.Add(w.relay.config.MaxAge); k == &w.kill && expiry.Before(until) {
		until = expiry
	}
	age := time.Since(k.At)
	if k == &w.kill && (age > w.relay.config.MaxAge || age < -maxAhead) {
		return StateUnknown, fmt.Errorf("%w, %v after the alert was accepted", ErrExpired, age.Round(time.Second))
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	// One that does not heed its context keeps the switch from being tried again.
	attempts := w.attempts
	stuck := time.AfterFunc(time.Until(until)+lastCall, func() {
		w.relay.reportOnce("stuck\x00"+w.id, reportOf(k, fmt.Errorf("%w: the toggler does not return, though its time is over", ErrDelayed), attempts))
	})
	defer stuck.Stop()
	was, err := toggle(ctx, w.toggler, k.switchOf(id))
	w.sawOn = w.sawOn || was == StateOn && !k.On // also one that failed
	steer := steering(err)
	if err != nil && steer.Unconfirmed {
		w.relay.reportOnce("unconfirmed\x00"+w.id, reportOf(k, fmt.Errorf("%w: %w", ErrUnconfirmed, err), w.attempts))
		err = nil
	}
	if err == nil {
		w.relay.config.Logger.Info("killswitch: switched",
			"flag", k.key(), "on", k.On, "was", was.String(), "alert", visible.Quote(k.Alert), "by", visible.Quote(k.By), "attempts", w.attempts)
	}
	return was, err
}

// judge says how long to wait after an error, or that it is over.
func (w *work) judge(err error) (wait time.Duration, over bool) {
	if errors.Is(err, ErrExpired) {
		return 0, true
	}
	steer := steering(err)
	if steer.Final {
		return 0, true
	}
	wait = max(pauseAfter(w.tries+w.attempts-1), min(steer.RetryAfter, longestAsked))
	// The end of MaxAge is to be reported when it comes.
	wait = min(wait, max(time.Until(w.kill.At.Add(w.relay.config.MaxAge))+time.Millisecond, 0))
	if w.relay.ctx.Err() == nil {
		w.relay.config.Logger.Warn("killswitch: not switched yet", "flag", w.kill.key(), "again_in", wait.Round(time.Millisecond).String(), "err", errorText(err))
		if time.Since(w.kill.At)+wait > saysLater {
			w.relay.reportOnce("delayed\x00"+w.id, reportOf(&w.kill, fmt.Errorf("%w: %w", ErrDelayed, err), w.attempts))
		}
	}
	return wait, false
}

// ended tells whoever waits for a switch that it was made, or never will be.
type ended struct {
	done chan struct{}
	once sync.Once
	made bool
}

func newEnded() *ended { return &ended{done: make(chan struct{})} }

// switched reports whether the switch was made.
func (e *ended) switched() bool {
	select {
	case <-e.done:
		return e.made
	default:
		return false
	}
}

// end says that the flag is switched, or never will be.
func (w *work) end(made bool) {
	e := w.ended
	if e == nil {
		waiting, found := w.relay.watched.LoadAndDelete(w.id)
		if !found {
			return
		}
		e = waiting.(*ended)
	}
	e.once.Do(func() { e.made = made; close(e.done) })
}

// conclude writes down that the switch was made, and records it.
func (w *work) conclude(ctx context.Context, was State) {
	// "Off" may be our own doing, if this is not the first attempt or not the only
	// switch.
	switch {
	case w.sawOn:
		was = StateOn
	case was == StateOff && (w.tries+w.attempts > 1 || !w.alone):
		was = StateUnknown
	}
	for {
		disputed, err := w.applied(ctx, was)
		if err != nil {
			w.putOff(ctx, 0, err)
			return
		}
		if !disputed {
			w.record(ctx)
			return
		}
		newer, err := w.dispute(ctx)
		switch {
		case err != nil:
			wait, _ := w.judge(err)
			w.putOff(ctx, wait, err)
			return
		case newer == nil || newer.Kill.On == w.kill.On: // decided once more since
		case w.kill.On:
			w.overtaken(ctx)
			return
		default:
			w.record(ctx) // it was switched, and on again since
			return
		}
	}
}

// applied writes down that the switch was made, unless a newer decision says
// otherwise: then the switch may have landed behind that one's. To write it down
// is also to look: it is only written to the newest note there is.
func (w *work) applied(ctx context.Context, was State) (disputed bool, err error) {
	k, id := w.kill, w.id
	result, err := w.journal.do(ctx, k.note(), func(f *flagState) applied {
		if newer := f.newer(&k); newer != nil && newer.Kill.On != k.On {
			return applied{disputed: true}
		}
		f.apply(&k, id, was, time.Now(), w.relay.isRecorded)
		return applied{}
	})
	return result.disputed, err
}

// record gives the emitter the change, however long that takes, and ends the
// work.
func (w *work) record(ctx context.Context) {
	if !w.relay.record(ctx, &w.kill, w.id) {
		w.putOff(ctx, 0, ErrNotRecorded)
		return
	}
	w.done(ctx)
}

func (w *work) done(ctx context.Context) {
	if w.settle(ctx, queue.Outcome{State: queue.Done}) == nil {
		w.relay.recorded(w.id)
	}
}

// putOff gives the item back to the queue.
func (w *work) putOff(ctx context.Context, wait time.Duration, err error) {
	if ctx.Err() != nil {
		wait = 0 // the next process need not wait for what this one has broken off
	}
	_ = w.settle(ctx, queue.Outcome{State: queue.Waiting, After: wait, Reason: errorText(err)})
	w.journal.poke()
}

// giveUp reports a switch that will not be tried again, and leaves it to people.
func (w *work) giveUp(ctx context.Context, err error) {
	w.end(false)
	err = fmt.Errorf("%w: %w", ErrNotSwitched, err)
	w.relay.report(reportOf(&w.kill, err, w.attempts))
	_, _ = w.journal.do(ctx, w.kill.note(), func(f *flagState) applied { f.Cooling = nil; return applied{} }) // the next alert tries again at once
	_ = w.settle(ctx, queue.Outcome{State: queue.Dead, Reason: errorText(err)})
}

func (w *work) settle(ctx context.Context, outcome queue.Outcome) error {
	outcome.ID, outcome.Seq = w.id, w.seq
	return w.journal.settle(ctx, outcome)
}

// loop takes what is due in a journal's queue, and holds it while it is worked
// on.
func (r *Relay) loop(j *journal, toggler string) {
	claimed := map[string]*work{} // taken, and not held yet
	places := make(chan struct{}, maxWorks)
	handle := func(_ context.Context, entries []queue.Entry) (outcomes []queue.Outcome, _ time.Duration) {
		clear(claimed)
		for _, entry := range entries {
			k, err := decodeKill(entry.Body)
			switch {
			case err != nil:
				r.report(Report{Err: fmt.Errorf("%w: %w", ErrNotSwitched, err)})
				outcomes = append(outcomes, queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Dead, Reason: errorText(err)})
				continue
			case j.holds(entry): // its hold ran out while the store did not answer
			case len(places)+len(claimed) >= maxWorks:
				return outcomes, 0
			default:
				claimed[entry.ID] = &work{
					relay: r, journal: j, toggler: r.config.Togglers[toggler], id: entry.ID, kill: k.kill, seq: entry.Seq, tries: entry.Tries,
				}
				// Whoever has held it may have made it.
				if !k.On && entry.Tries == 0 {
					claimed[entry.ID].tries = 1
				}
			}
			outcomes = append(outcomes, queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Waiting, Hold: true, After: j.hold})
		}
		return outcomes, 0
	}
	settled := func([]queue.Outcome) {
		for id, w := range claimed {
			delete(claimed, id)
			places <- struct{}{}
			j.take(w)
			r.works.Go(func() {
				defer func() { <-places }()
				w.fromQueue(r.ctx)
			})
		}
	}
	err := queue.Run(r.loopCtx, j.store, j.queue, queue.Config{
		Owner: j.owner, Lease: r.config.Hold, Poll: r.config.Poll, Wake: j.poked, Settled: settled,
		Report: func(report queue.Report) { j.fails(reads, report.Err) },
	}, handle)
	if err != nil && r.loopCtx.Err() == nil {
		r.report(Report{Err: fmt.Errorf("%w: %w", ErrStore, err)})
	}
}

// pauseAfter doubles with each failure, and is spread so that relays and flags
// do not come back all at once.
func pauseAfter(failures int) time.Duration {
	pause := longestPause
	if failures < 6 {
		pause = min(firstPause<<max(failures, 0), longestPause)
	}
	return pause/2 + rand.N(pause/2)
}
