package changes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Watcher looks at a source and reports what changes. Among all processes with
// the same store and the same name one at a time reports, and each change is
// reported once: the snapshot that it was found against is replaced in the
// transaction that enqueues it. So what changed while no process ran is found by
// the next one.
//
// A document that is broken, half-written, empty or gone changes nothing: the
// last good snapshot stays, and the log says so.
type Watcher struct {
	config  Config
	owner   string
	wake    chan struct{}
	closing context.Context //nolint:containedctx // ends when Close is called; what only reads ends with it
	begin   context.CancelFunc
	cancel  context.CancelFunc
	ended   chan struct{}

	mu        sync.Mutex
	stats     Stats
	complaint complaint

	// Only the goroutine in run uses what follows.
	view   view
	ledger ledger
}

// Stats are a watcher's numbers and its state.
type Stats struct {
	// Looks is how often the source was looked at.
	Looks int64
	// Flags is how many flags there are in the last good documents.
	Flags int
	// Changes is how many changes were enqueued by this process, and Refused how
	// many could not be, because Sentry would refuse them: the log says why.
	Changes, Refused int64
	// Owned is how many switches were left out because of [Watcher.Own].
	Owned int64
	// Signed is how many of the changes have an author who is known, and Late how
	// many authors of [Watcher.Lend] came after their change had gone.
	Signed, Late int64
	// Unsigned is how many changes wait in the store for their authors, as far as
	// this process knows.
	Unsigned int
	// Pending is how many differences are known and not reported yet: the store
	// cannot be written, another process has reported something lately, or the
	// documents may be half-written ([Config.Gather]).
	Pending int
	// Problem is why the documents, or the store, cannot be taken. Nil if they
	// can.
	Problem error
	// Since is since when there is a problem.
	Since time.Time
	// LastGood is when documents were last read without one.
	LastGood time.Time
	// Version is that of the note in the store; 0 as long as there is no baseline.
	Version int64
}

// NewWatcher starts to watch; close the watcher with [Watcher.Close], before the
// emitter and the store. It fails with [ErrInvalidConfig]. A document that
// cannot be read is no reason to fail: it may become readable.
func NewWatcher(config Config) (*Watcher, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{
		config: config, owner: rand.Text(), wake: make(chan struct{}, 1),
		cancel: cancel, ended: make(chan struct{}),
	}
	w.closing, w.begin = context.WithCancel(ctx)
	go func() {
		defer close(w.ended)
		w.run(ctx)
	}()
	return w, nil
}

// Name is what the watcher's source is called.
func (w *Watcher) Name() string { return w.config.Name }

// Look makes the watcher look now, and not at the end of its interval. It does
// not wait, and any number of calls in a row are one look. It is for those who
// are told that something has changed, if not what: by OpenFeature's
// configuration-changed event, whose list of flags cannot be relied on, or by a
// flag product's webhook.
func (w *Watcher) Look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Stats returns the numbers as they are.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

func (w *Watcher) count(change func(s *Stats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.stats)
}

var errNilContext = errors.New("changes: the context is nil; pass context.Background() if there is none")

// Close ends the watcher: a source that is being read is left, and a report that
// is being made is finished, unless ctx ends before. It may be called again.
func (w *Watcher) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	w.begin()
	select {
	case <-w.ended:
		return nil
	case <-ctx.Done():
		w.cancel()
		return fmt.Errorf("changes: close the watcher: %w", context.Cause(ctx))
	}
}

func (w *Watcher) run(ctx context.Context) {
	defer w.cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.closing.Done():
			w.partWithoutAuthors(ctx)
			return
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.wake:
			// What follows a look closely waits for it to be over.
			if soon := w.config.Gather - time.Since(w.view.lookedAt); soon > 0 && !w.view.lookedAt.IsZero() {
				timer.Reset(soon)
				continue
			}
		}
		timer.Reset(w.look(ctx))
	}
}

var errHangs = errors.New("changes: a look does not come back: the source, the author's function or the store hangs, and heeds no deadline")

// panicked says who panicked, and why if that can be no value of a document.
func panicked(who string, cause any) error {
	if fault, ok := cause.(runtime.Error); ok {
		return fmt.Errorf("changes: %s panicked: %w", who, fault)
	}
	return fmt.Errorf("changes: %s panicked with a %T", who, cause)
}

// look takes one look, and returns when to take the next.
func (w *Watcher) look(life context.Context) (next time.Duration) {
	ctx, cancel := context.WithTimeout(life, w.config.Timeout)
	defer cancel()
	// What does not heed its context, a file system that hangs say, would
	// otherwise stall the watcher in silence.
	defer time.AfterFunc(2*w.config.Timeout, func() { w.trouble(errHangs) }).Stop()
	defer func() {
		if cause := recover(); cause != nil {
			w.trouble(panicked("the store or the emitter", cause))
			next = w.config.Interval
		}
	}()
	defer func() {
		if again := w.settle(life); again > 0 {
			next = min(next, again)
		}
	}()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(w.closing, stop)() //nolint:contextcheck // it only ends the reading
	next, err := w.view.look(reading, w.config)
	if w.closing.Err() != nil {
		return next // what a read that was broken off says is no trouble
	}
	w.count(func(s *Stats) { s.Looks++ })
	switch {
	case err != nil:
		if w.view.failures > 1 { // a rename has moments without a file
			w.trouble(err)
		}
		return next
	case !w.view.current():
		return next
	}
	w.count(func(s *Stats) { s.LastGood, s.Flags = w.view.lookedAt, len(w.view.good.snapshot.flags) })
	again, err := w.reconcile(ctx)
	if err != nil {
		w.trouble(err)
	} else {
		w.fine()
	}
	if again > 0 {
		next = min(next, again)
	}
	return next
}
