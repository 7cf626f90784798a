package vwo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

const (
	// takeLimit is how many items a lane looks at, oldest first.
	takeLimit = 1000
	// maxAttempts is how many flags a lane switches at the same time.
	maxAttempts = 16
	// The pauses between two attempts at one flag, or two at the store.
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	// settleWithin and settleMany are how long and how many finished switches
	// wait to be settled together while others are under way: a durable store
	// writes to disk each time, and has alerts to take meanwhile.
	settleWithin = 50 * time.Millisecond
	settleMany   = 64
	// storeCall bounds a call of the store. One that hangs is reported, like one
	// that fails.
	storeCall = 30 * time.Second
	// waitsLong is how long an alert may wait for another relay before that is
	// reported.
	waitsLong = time.Minute
	// lastSettle is what the store gets to hear of the last switches after a
	// context has ended.
	lastSettle = time.Second
)

// lane works through one queue: the flags side by side, the switches of one
// flag in their order.
type lane struct {
	relay   *Relay
	store   webhook.Store
	queue   string
	durable bool

	wake     chan struct{}
	results  chan result
	draining chan struct{}
	drainOne sync.Once

	// Only the goroutine in run uses what follows.
	jobs     []*job // in the queue's order
	known    map[string]*job
	running  int // attempts
	waiting  int // records that wait for the emitter
	outcomes []webhook.Outcome
	settleBy time.Time      // if there are outcomes
	inStore  bool           // there may be more than was taken
	orphans  []webhook.Item // taken from a store that has failed since
	busy     map[string]bool
	tasks    chan task // to the workers
}

// task is one attempt at a job.
type task struct {
	ctx      context.Context //nolint:containedctx // a message, not a state
	job      *job
	attempts int
}

// job is an item that a lane deals with.
type job struct {
	item     webhook.Item
	stage    stage
	attempts int
	due      time.Time
}

type stage int

const (
	stageIdle stage = iota
	stageRunning
	stageRecording // the flag is switched, and free for the next switch
)

// result is news of a job.
type result struct {
	job   *job
	stage stage // what it is now; stageIdle: try again after wait, unless final
	wait  time.Duration
	final *webhook.Outcome
}

func newLane(r *Relay, store webhook.Store, queue string) *lane {
	return &lane{
		relay: r, store: store, queue: queue,
		wake: make(chan struct{}, 1), results: make(chan result, 2*maxAttempts), draining: make(chan struct{}),
		known: map[string]*job{}, busy: map[string]bool{}, tasks: make(chan task),
	}
}

// poke tells the lane that the queue has something new.
func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// drain makes run return when it has done what can be done now.
func (l *lane) drain() { l.drainOne.Do(func() { close(l.draining) }) }

func (l *lane) isDraining() bool {
	select {
	case <-l.draining:
		return true
	default:
		return false
	}
}

// run takes the queue's turn and works, until ctx ends or the lane is drained.
func (l *lane) run(ctx context.Context) {
	// Nobody waits for a turn only to be told to stop.
	turnCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer close(l.tasks)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	ended := make(chan struct{})
	defer close(ended)
	watcher.Go(func() {
		select {
		case <-l.draining:
			cancel()
		case <-ended:
		}
	})

	for failures := 0; ; failures++ {
		began := time.Now()
		err := l.once(ctx, turnCtx)
		if ctx.Err() != nil || l.isDraining() {
			return
		}
		lost := errors.Is(err, webhook.ErrTurnLost)
		if !lost {
			l.rescue(ctx)
		}
		if lost || time.Since(began) > longestPause {
			failures = 0 // it had worked
		}
		if failures == 0 && !lost {
			l.relay.report(Report{Err: fmt.Errorf("%w: %w", ErrStore, err)})
		}
		_ = sleep(turnCtx, pauseAfter(failures))
	}
}

// once works for as long as the turn lasts.
func (l *lane) once(ctx, turnCtx context.Context) error {
	watched, stopWatching := context.WithCancel(turnCtx)
	l.relay.running.Go(func() { l.watchQueue(watched) })
	turn, err := l.store.Turn(turnCtx, l.queue)
	stopWatching()
	if err != nil {
		return err
	}
	defer func() { _ = turn.Release() }()
	return l.work(ctx, turn)
}

func (l *lane) work(ctx context.Context, turn webhook.Turn) (err error) {
	jobsCtx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		l.stop(ctx, turn, err)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	l.inStore = true
	draining := l.draining
	for {
		if l.inStore {
			if err := l.take(ctx, turn); err != nil {
				return err
			}
		}
		next := l.start(jobsCtx)
		if left := l.settleIn(); left > 0 {
			next = min(next, left)
		} else if err := l.settle(ctx, turn); err != nil {
			return err
		}
		if l.inStore {
			continue
		}
		if l.isDrained() {
			return nil
		}
		timer.Reset(next)
		select {
		case r := <-l.results:
			l.learn(r)
			l.learnMore()
		case <-l.wake:
			l.inStore = true
		case <-timer.C:
			l.inStore = l.durable
		case <-draining:
			draining, l.inStore = nil, true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take adds what is new in the queue to the jobs.
func (l *lane) take(ctx context.Context, turn webhook.Turn) error {
	if len(l.jobs) >= takeLimit {
		l.inStore = false // the oldest come first anyway
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	items, err := turn.Take(ctx, takeLimit)
	if err != nil {
		return err
	}
	l.inStore, l.orphans = false, nil
	for _, item := range items {
		if l.known[item.ID] == nil {
			j := &job{item: item}
			l.known[item.ID] = j
			l.jobs = append(l.jobs, j)
		}
	}
	return nil
}

// start begins every job that is due and returns when to look again.
func (l *lane) start(ctx context.Context) time.Duration {
	now := time.Now()
	next := time.Hour
	if l.durable {
		next = l.relay.config.PollInterval
	}
	clear(l.busy)
	var done []*job
	for _, j := range l.jobs {
		if j.stage == stageRecording || l.busy[j.item.Key] {
			continue
		}
		l.busy[j.item.Key] = true
		if j.stage == stageRunning || l.running >= maxAttempts || l.leaves(j) {
			continue
		}
		if left := j.due.Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		mine, finished := l.relay.claims.own(j.item.ID, l)
		switch {
		case finished:
			done = append(done, j)
			next = 0
		case !mine:
			j.due = now.Add(firstPause)
			next = min(next, firstPause)
		default:
			j.stage = stageRunning
			j.attempts++
			l.running++
			l.waiting++
			l.dispatch(task{ctx, j, j.attempts})
		}
	}
	for _, j := range done {
		l.learn(result{job: j, final: &webhook.Outcome{ID: j.item.ID, State: webhook.StateDone}})
	}
	return next
}

// dispatch gives a task to a worker that has nothing to do, or to a new one.
func (l *lane) dispatch(t task) {
	select {
	case l.tasks <- t:
	default:
		l.relay.running.Go(func() {
			l.attempt(t.ctx, t.job, t.attempts)
			for t := range l.tasks {
				l.attempt(t.ctx, t.job, t.attempts)
			}
		})
	}
}

// leaves reports whether a job is left in the store for the next process.
func (l *lane) leaves(j *job) bool { return l.durable && l.isDraining() && j.attempts > 0 }

// isDrained reports whether the lane is to stop and can.
func (l *lane) isDrained() bool {
	if !l.isDraining() || l.running > 0 || l.waiting > 0 {
		return false
	}
	left := map[string]bool{}
	for _, j := range l.jobs {
		if !l.leaves(j) && !left[j.item.Key] {
			return false
		}
		left[j.item.Key] = true // what comes after it waits for it
	}
	return true
}

func (l *lane) learnMore() {
	for {
		select {
		case r := <-l.results:
			l.learn(r)
		default:
			return
		}
	}
}

func (l *lane) learn(r result) {
	if r.job.stage == stageRunning {
		l.running--
	}
	if r.job.stage != stageIdle && r.stage == stageIdle {
		l.waiting--
	}
	r.job.stage = r.stage
	r.job.due = time.Now().Add(r.wait)
	if r.final == nil {
		return
	}
	if len(l.outcomes) == 0 {
		l.settleBy = time.Now().Add(settleWithin)
	}
	l.outcomes = append(l.outcomes, *r.final)
	if i := slices.Index(l.jobs, r.job); i >= 0 {
		l.jobs = slices.Delete(l.jobs, i, i+1)
	}
}

// settleIn returns how long the outcomes can wait for others.
func (l *lane) settleIn() time.Duration {
	if !l.durable || l.running+l.waiting == 0 || len(l.outcomes) == 0 || len(l.outcomes) >= settleMany {
		return 0
	}
	return time.Until(l.settleBy)
}

// settle tells the store what became of the items.
func (l *lane) settle(ctx context.Context, turn webhook.Turn) error {
	if len(l.outcomes) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	if err := turn.Settle(ctx, l.outcomes...); err != nil {
		return err
	}
	// Where more than one take was waiting, the rest may be taken now.
	l.inStore = l.inStore || len(l.jobs) < takeLimit && len(l.jobs)+len(l.outcomes) >= takeLimit
	for _, outcome := range l.outcomes {
		delete(l.known, outcome.ID)
		if outcome.State == webhook.StateDead {
			l.relay.claims.forget(outcome.ID)
		}
	}
	l.outcomes = l.outcomes[:0]
	return nil
}

// stop waits for what runs, settles what it can and forgets the rest: it is
// still in the queue, and nobody's.
func (l *lane) stop(ctx context.Context, turn webhook.Turn, cause error) {
	for l.running > 0 || l.waiting > 0 {
		l.learn(<-l.results)
	}
	if !errors.Is(cause, webhook.ErrTurnLost) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSettle)
		defer cancel()
		_ = l.settle(ctx, turn) // what it did not hear of it brings back, and the claims know
	}
	for _, j := range l.jobs {
		l.relay.claims.disown(j.item.ID)
		l.orphans = append(l.orphans, j.item)
	}
	l.jobs, l.outcomes = nil, nil
	clear(l.known)
}

// rescue goes on from memory with what was taken from a store that fails: it
// may not come back before the switches are too old. What the store brings back
// later has been finished by then, or is waited for.
func (l *lane) rescue(ctx context.Context) {
	if !l.durable || len(l.orphans) == 0 || l.isDraining() {
		return
	}
	fallback := l.relay.fallback
	if _, err := fallback.store.Enqueue(ctx, fallback.queue, l.orphans...); err != nil {
		l.relay.report(Report{Err: fmt.Errorf("%w: %d switches have to wait for it: %w", ErrStore, len(l.orphans), err)})
		return
	}
	l.orphans = nil
	fallback.poke()
}

// watchQueue reports, once, that alerts wait while somebody else has the turn:
// a relay that is stuck, or whose flag system is down.
func (l *lane) watchQueue(ctx context.Context) {
	if !l.durable {
		return
	}
	for sleep(ctx, waitsLong) == nil {
		asked, cancel := context.WithTimeout(ctx, storeCall)
		stats, err := l.store.Stats(asked, l.queue)
		cancel()
		if err == nil && stats.Waiting > 0 && time.Since(stats.OldestWaiting) > waitsLong {
			l.relay.report(Report{Err: fmt.Errorf("%w: %d alerts wait, the oldest for %v, at the relay that has the turn",
				ErrDelayed, stats.Waiting, time.Since(stats.OldestWaiting).Round(time.Second))})
			return
		}
	}
}

// abandon reports what is left in memory when the relay has ended, and returns
// how much it was.
func (l *lane) abandon(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, lastSettle)
	defer cancel()
	lost := 0
	if turn, err := l.store.Turn(ctx, l.queue); err == nil {
		for items, err := turn.Take(ctx, takeLimit); err == nil && len(items) > 0; items, err = turn.Take(ctx, takeLimit) {
			var outcomes []webhook.Outcome
			for _, item := range items {
				if k, err := killOf(item); err == nil {
					l.relay.report(reportOf(&k, fmt.Errorf("%w: the relay was closed before it worked", ErrNotSwitched), 0))
				}
				lost++
				outcomes = append(outcomes, webhook.Outcome{ID: item.ID, State: webhook.StateDone})
			}
			if turn.Settle(ctx, outcomes...) != nil {
				break
			}
		}
		_ = turn.Release()
	}
	if closer, ok := l.store.(*webhook.MemoryStore); ok {
		_ = closer.Close()
	}
	return lost
}

// pauseAfter doubles with each failure, and is spread so that relays and flags
// do not come back all at once.
func pauseAfter(failures int) time.Duration {
	pause := longestPause
	if failures < 6 {
		pause = min(firstPause<<failures, longestPause)
	}
	return pause/2 + rand.N(pause/2)
}
