package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const name = "q"

func newMemory(t *testing.T, config queue.MemoryConfig) *queue.Memory {
	t.Helper()
	store, err := queue.NewMemory(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// add adds items "from" to "to".
func add(t *testing.T, store queue.Store, from, to int) {
	t.Helper()
	var items []queue.Item
	for i := from; i <= to; i++ {
		items = append(items, queue.Item{ID: fmt.Sprint(i), Key: "key"})
	}
	if _, err := store.Add(t.Context(), name, queue.Addition{Items: items}); err != nil {
		t.Fatal(err)
	}
}

// worker notes what it handles.
type worker struct {
	mu      sync.Mutex
	handled []string
	at      []time.Time
	reports []queue.Report
}

func (w *worker) handle(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
	w.note(entries)
	return done(entries), 0
}

func (w *worker) note(entries []queue.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, entry := range entries {
		w.handled = append(w.handled, entry.ID)
	}
	w.at = append(w.at, time.Now())
}

func (w *worker) report(r queue.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, r)
}

func (w *worker) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.handled)
}

// calls is how often it was called.
func (w *worker) calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.at)
}

// failures are the reports of failures.
func (w *worker) failures() []queue.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.reports), func(r queue.Report) bool { return r.Err == nil })
}

func done(entries []queue.Entry) []queue.Outcome {
	outcomes := make([]queue.Outcome, len(entries))
	for i, entry := range entries {
		outcomes[i] = queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Done}
	}
	return outcomes
}

// start runs a loop until the test or stop ends it.
func start(t *testing.T, store queue.Store, config queue.Config, handler queue.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, store, name, config, handler) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestRunHandlesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{}), &worker{}
		add(t, store, 1, 250)
		stop := start(t, store, queue.Config{}, w.handle)
		synctest.Wait()
		add(t, store, 251, 260)
		time.Sleep(2 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := w.all(); len(got) != 260 || !slices.IsSortedFunc(got, byNumber) {
			t.Errorf("handled %v", got)
		}
	})
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// counted counts the calls that write, and may fail or hold any.
type counted struct {
	queue.Store
	writes atomic.Int32
	down   atomic.Bool // every call fails after its deadline, as a frozen backend's does
	err    atomic.Pointer[error]
}

var errDown = errors.New("the database is away")

func (c *counted) call(ctx context.Context) error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	if c.down.Load() {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", errDown, ctx.Err())
	}
	return nil
}

func (c *counted) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if err := c.call(ctx); err != nil {
		return 0, err
	}
	c.writes.Add(1)
	return c.Store.Lease(ctx, name, owner, ttl)
}

func (c *counted) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	if err := c.call(ctx); err != nil {
		return err
	}
	c.writes.Add(1)
	return c.Store.Release(ctx, name, owner, rest)
}

func (c *counted) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if err := c.call(ctx); err != nil {
		return nil, err
	}
	return c.Store.Due(ctx, name, after, limit)
}

func (c *counted) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	if err := c.call(ctx); err != nil {
		return err
	}
	c.writes.Add(1)
	return c.Store.Settle(ctx, name, owner, outcomes...)
}

func (c *counted) Sweep(ctx context.Context, limit int) (int, error) {
	if err := c.call(ctx); err != nil {
		return 0, err
	}
	n, err := c.Store.Sweep(ctx, limit)
	if n > 0 {
		c.writes.Add(1)
	}
	return n, err
}

func TestRunIdleWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := &counted{Store: newMemory(t, queue.MemoryConfig{})}, &worker{}
		start(t, store, queue.Config{}, w.handle)
		add(t, store, 1, 10)
		time.Sleep(5 * time.Second)
		if stats, err := store.Stats(t.Context(), name, 1); err != nil || stats.Held {
			t.Errorf("the lease is not given back: %+v, %v", stats, err)
		}
		time.Sleep(5 * time.Second)
		store.writes.Store(0)
		time.Sleep(time.Minute)
		if n := store.writes.Load(); n != 0 || len(w.all()) != 10 {
			t.Errorf("%d writes in an idle minute, %d handled", n, len(w.all()))
		}
		if stats, err := store.Stats(t.Context(), name, 1); err != nil || stats.Held {
			t.Errorf("an idle queue has a holder: %+v, %v", stats, err)
		}
	})
}

// TestRunTakesOver: after a clean end at the next look, after a crash when the
// lease has ended.
func TestRunTakesOver(t *testing.T) {
	for _, tc := range []struct {
		name  string
		crash bool
		most  time.Duration
	}{{"clean end", false, 2 * time.Second}, {"crash", true, 11 * time.Second}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory, second := newMemory(t, queue.MemoryConfig{}), &worker{}
				first := &counted{Store: memory}
				firstHas := make(chan struct{})
				stop := start(t, first, queue.Config{}, func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
					close(firstHas)
					if tc.crash {
						first.err.Store(&errDown) // what it says from here on is not heard
					}
					return done(entries), 0
				})
				add(t, memory, 1, 1)
				<-firstHas
				synctest.Wait()
				start(t, memory, queue.Config{}, second.handle)
				add(t, memory, 2, 2)
				began := time.Now()
				_ = stop()
				for !slices.Contains(second.all(), "2") {
					time.Sleep(10 * time.Millisecond)
					if time.Since(began) > time.Minute {
						t.Fatal("nobody has taken over")
					}
				}
				if took := time.Since(began); took > tc.most {
					t.Errorf("taken over after %v, want %v at most", took, tc.most)
				}
			})
		})
	}
}

// TestRunRenewsWhileItWorks: a handler may take longer than the lease lasts.
func TestRunRenewsWhileItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, first, second := newMemory(t, queue.MemoryConfig{}), &worker{}, &worker{}
		add(t, store, 1, 1)
		start(t, store, queue.Config{}, func(ctx context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
			first.note(entries)
			time.Sleep(45 * time.Second)
			if ctx.Err() != nil {
				t.Error("the handler was told to end")
			}
			return done(entries), 0
		})
		synctest.Wait()
		start(t, store, queue.Config{}, second.handle)
		time.Sleep(2 * time.Minute)
		if len(first.all()) != 1 || len(second.all()) != 0 {
			t.Errorf("handled %v and %v", first.all(), second.all())
		}
	})
}

// TestRunStuckHandler: its lease ends, another goes on, and it is reported.
func TestRunStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, first, second := newMemory(t, queue.MemoryConfig{}), &worker{}, &worker{}
		add(t, store, 1, 1)
		release := make(chan struct{})
		stop := start(t, store, queue.Config{Report: first.report}, func(context.Context, []queue.Entry) ([]queue.Outcome, time.Duration) {
			<-release
			return nil, 0
		})
		synctest.Wait()
		start(t, store, queue.Config{}, second.handle)
		began := time.Now()
		for len(second.all()) == 0 && time.Since(began) < 5*time.Minute {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > time.Minute+12*time.Second {
			t.Errorf("taken over after %v", took)
		}
		if len(first.failures()) != 1 {
			t.Errorf("reports: %v", first.reports)
		}
		began = time.Now()
		if err := stop(); err == nil || time.Since(began) > 3*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
		close(release)
	})
}

// TestRunReportsWithinTheDeadline: a backend that is frozen is no silence, and
// what was done before is not done again.
func TestRunReportsWithinTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := &counted{Store: newMemory(t, queue.MemoryConfig{})}, &worker{}
		start(t, store, queue.Config{Report: w.report}, func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
			w.note(entries)
			if len(w.all()) == 1 {
				store.down.Store(true)
			}
			return done(entries), 0
		})
		add(t, store, 1, 1)
		for !store.down.Load() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(4 * time.Second)
		if len(w.failures()) == 0 || !errors.Is(w.failures()[0].Err, errDown) {
			t.Fatalf("reports after 4 s: %v", w.reports)
		}
		time.Sleep(5 * time.Minute)
		add(t, store.Store, 2, 2)
		store.down.Store(false)
		time.Sleep(20 * time.Second)
		if got := fmt.Sprint(w.all()); got != "[1 2]" {
			t.Errorf("handled %s, want each once", got)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if last := w.reports[len(w.reports)-1]; last.Err != nil {
			t.Errorf("the last report is %v", last)
		}
	})
}

// TestRunReportsAFailingSweep: what cannot be removed holds up nothing, and is
// said.
func TestRunReportsAFailingSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := &unswept{newMemory(t, queue.MemoryConfig{})}, &worker{}
		start(t, store, queue.Config{Report: w.report}, w.handle)
		add(t, store, 1, 1)
		time.Sleep(30 * time.Second)
		if len(w.all()) != 1 || len(w.failures()) != 1 || w.failures()[0].Failures != 0 {
			t.Errorf("handled %v, reports %v", w.all(), w.failures())
		}
	})
}

type unswept struct{ queue.Store }

func (unswept) Sweep(ctx context.Context, _ int) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// distant is a store of which each call takes a while, and the first ones longer,
// until a connection is made.
type distant struct {
	queue.Store
	connect atomic.Int64 // what is left of making the connection
	each    time.Duration
}

func (d *distant) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	select {
	case <-time.After(d.each + time.Duration(d.connect.Load())):
		d.connect.Store(0)
		return d.Store.Due(ctx, name, after, limit)
	case <-ctx.Done(): // the connection is cut, and has to be made anew
		return nil, ctx.Err()
	}
}

// TestRunWaitsForADistantStore: it grows patient.
func TestRunWaitsForADistantStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := &distant{Store: newMemory(t, queue.MemoryConfig{}), each: time.Second}, &worker{}
		store.connect.Store(int64(6 * time.Second))
		add(t, store, 1, 3)
		start(t, store, queue.Config{Report: w.report}, w.handle)
		time.Sleep(30 * time.Second)
		if len(w.all()) != 3 || len(w.failures()) == 0 {
			t.Errorf("handled %v, reports %v", w.all(), w.failures())
		}
	})
}

// TestRunGivesUpInTime: when the lease cannot be renewed the handler ends before
// another can have it.
func TestRunGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := &counted{Store: newMemory(t, queue.MemoryConfig{})}, &worker{}
		add(t, store, 1, 1)
		var ended atomic.Int64
		begun := make(chan struct{})
		start(t, store, queue.Config{Report: w.report, Deadline: time.Hour}, func(ctx context.Context, _ []queue.Entry) ([]queue.Outcome, time.Duration) {
			began := time.Now()
			close(begun)
			<-ctx.Done()
			ended.Store(int64(time.Since(began)))
			return nil, time.Hour
		})
		<-begun
		store.down.Store(true)
		time.Sleep(30 * time.Second)
		if after := time.Duration(ended.Load()); after == 0 || after > 10*time.Second {
			t.Errorf("the handler was told to end after %v", after)
		}
	})
}

// stolen is a store in which another takes the lease while the handler works, as
// after a jump of the clock.
type stolen struct {
	queue.Store
	gone atomic.Bool
}

func (s *stolen) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if s.gone.Load() {
		return time.Minute, nil
	}
	return s.Store.Lease(ctx, name, owner, ttl)
}

// TestRunEndsWorkWithoutTheLease: at the renewal that finds it with another.
func TestRunEndsWorkWithoutTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stolen{Store: newMemory(t, queue.MemoryConfig{})}
		add(t, store, 1, 1)
		var ended atomic.Int64
		start(t, store, queue.Config{Lease: 9 * time.Second}, func(ctx context.Context, _ []queue.Entry) ([]queue.Outcome, time.Duration) {
			store.gone.Store(true)
			began := time.Now()
			<-ctx.Done()
			ended.Store(int64(time.Since(began)))
			return nil, 0
		})
		time.Sleep(time.Minute)
		if after := time.Duration(ended.Load()); after != 3*time.Second {
			t.Errorf("the handler was told to end after %v, want 3s", after)
		}
	})
}

// TestRunRestIsEverybodys: after a failure that concerns the whole queue no
// process goes on before the rest is over.
func TestRunRestIsEverybodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{}), &worker{}
		add(t, store, 1, 1)
		handler := func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
			w.note(entries)
			return nil, time.Minute
		}
		for range 5 {
			start(t, store, queue.Config{}, handler)
		}
		time.Sleep(10*time.Minute - time.Second)
		if n := w.calls(); n != 10 {
			t.Errorf("tried %d times in ten minutes, want 10", n)
		}
		if stats, _ := store.Stats(t.Context(), name, 1); stats.Rest == 0 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

// TestRunPanic: a handler that panics is contained, reported, and not called
// again at once.
func TestRunPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{}), &worker{}
		add(t, store, 1, 1)
		start(t, store, queue.Config{Report: w.report}, func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
			w.note(entries)
			if len(w.all()) < 3 {
				panic("a defect")
			}
			return done(entries), 0
		})
		time.Sleep(time.Minute)
		if len(w.all()) != 3 || len(w.failures()) != 2 {
			t.Errorf("called %d times, reports %v", len(w.all()), w.reports)
		}
	})
}

// TestRunWithoutOutcomes: a handler that does nothing is not asked over and over.
func TestRunWithoutOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{}), &worker{}
		add(t, store, 1, 1)
		start(t, store, queue.Config{}, func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
			w.note(entries)
			return nil, 0
		})
		time.Sleep(time.Minute)
		if n := w.calls(); n < 55 || n > 62 {
			t.Errorf("called %d times in a minute", n)
		}
	})
}

// lateCommits hides an entry for a while, as a transaction does that has its
// sequence number early and commits late.
type lateCommits struct {
	queue.Store
	hidden atomic.Pointer[string]
}

func (l *lateCommits) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	entries, err := l.Store.Due(ctx, name, after, limit)
	hidden := l.hidden.Load()
	return slices.DeleteFunc(entries, func(e queue.Entry) bool { return hidden != nil && e.ID == *hidden }), err
}

// TestRunSkipsNoLateCommit: not in a queue that is empty otherwise, and not in
// one that never is.
func TestRunSkipsNoLateCommit(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprint("busy ", busy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, w := &lateCommits{Store: newMemory(t, queue.MemoryConfig{})}, &worker{}
				late := "3"
				store.hidden.Store(&late)
				add(t, store, 1, 100)
				start(t, store, queue.Config{Batch: 50}, func(ctx context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
					time.Sleep(10 * time.Millisecond)
					return w.handle(ctx, entries)
				})
				stop := make(chan struct{})
				var filling sync.WaitGroup
				if busy {
					filling.Go(func() {
						for i := 1000; ; i += 50 {
							select {
							case <-stop:
								return
							case <-time.After(10 * time.Millisecond):
								add(t, store, i, i+49)
							}
						}
					})
				}
				time.Sleep(5 * time.Second)
				store.hidden.Store(nil)
				time.Sleep(2 * time.Second)
				close(stop)
				filling.Wait()
				if !slices.Contains(w.all(), "3") {
					t.Error("a late commit was skipped")
				}
			})
		})
	}
}

// TestRunWakes: an idle loop that polls once an hour looks when it is told to.
func TestRunWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w, wake := newMemory(t, queue.MemoryConfig{}), &worker{}, make(chan struct{}, 1)
		start(t, store, queue.Config{Poll: time.Hour, Wake: wake}, w.handle)
		synctest.Wait()
		add(t, store, 1, 1)
		wake <- struct{}{}
		synctest.Wait()
		if len(w.all()) != 1 {
			t.Error("it sleeps")
		}
	})
}

// TestRunSweepsWhenQuiet: a burst leaves nothing for ever.
func TestRunSweepsWhenQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{Capacity: 20_000, Window: time.Hour}), &worker{}
		start(t, store, queue.Config{}, w.handle)
		add(t, store, 1, 10_000)
		time.Sleep(30 * time.Minute)
		if kept, _ := store.List(t.Context(), name, queue.Filter{States: []queue.State{queue.Done}}); len(kept) == 0 || kept[0].Key != "key" {
			t.Error("a settled entry is not kept as it was")
		}
		time.Sleep(time.Hour)
		if kept, _ := store.List(t.Context(), name, queue.Filter{}); len(kept) != 0 {
			t.Errorf("%d entries are left", len(kept))
		}
	})
}

// TestRunTakesWhatTheDeadLeave: an item is its owner's as long as that renews
// the hold.
func TestRunTakesWhatTheDeadLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{}), &worker{}
		start(t, store, queue.Config{}, w.handle)
		item := queue.Item{ID: "1"}
		if _, err := store.Add(t.Context(), name, queue.Addition{Items: []queue.Item{item}, Owner: "me", Hold: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		entries, err := store.List(t.Context(), name, queue.Filter{ID: "1"})
		if err != nil || len(entries) != 1 || entries[0].Owner != "me" {
			t.Fatalf("%v, %v", entries, err)
		}
		for range 10 {
			time.Sleep(3 * time.Second)
			if err := store.Settle(t.Context(), name, "me", queue.Outcome{ID: "1", Seq: entries[0].Seq, Hold: true, After: 5 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		if len(w.all()) != 0 {
			t.Fatal("a held item was taken")
		}
		time.Sleep(7 * time.Second)
		if len(w.all()) != 1 {
			t.Error("what a dead owner has left was not taken")
		}
	})
}

func TestUnattended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(t, queue.MemoryConfig{})
		for _, q := range []string{"lonely", "held", "resting", "later"} {
			if _, err := store.Add(t.Context(), q, queue.Addition{Items: []queue.Item{{ID: "1"}}}); err != nil {
				t.Fatal(err)
			}
		}
		later, err := store.List(t.Context(), "later", queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Lease(t.Context(), "later", "me", time.Second); err != nil {
			t.Fatal(err)
		}
		if err := store.Settle(t.Context(), "later", "me", queue.Outcome{ID: "1", Seq: later[0].Seq, After: time.Hour}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		for _, q := range []string{"held", "resting"} {
			if _, err := store.Lease(t.Context(), q, "me", time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Release(t.Context(), "resting", "me", time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, err := queue.Unattended(t.Context(), store, time.Minute); fmt.Sprint(got) != "[lonely]" || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestRunRefuses(t *testing.T) {
	store := newMemory(t, queue.MemoryConfig{})
	handler := (&worker{}).handle
	for what, err := range map[string]error{
		"no store":   queue.Run(t.Context(), nil, name, queue.Config{}, handler),
		"no handler": queue.Run(t.Context(), store, name, queue.Config{}, nil),
		"no name":    queue.Run(t.Context(), store, "", queue.Config{}, handler),
		"Batch":      queue.Run(t.Context(), store, name, queue.Config{Batch: 1001}, handler),
		"Lease":      queue.Run(t.Context(), store, name, queue.Config{Lease: time.Millisecond}, handler),
		"Deadline":   queue.Run(t.Context(), store, name, queue.Config{Deadline: -1}, handler),
		"Poll":       queue.Run(t.Context(), store, name, queue.Config{Poll: -1}, handler),
	} {
		if !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	store.Close()
	if err := queue.Run(t.Context(), store, name, queue.Config{}, handler); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestRunResumes: a rest that a person ends is over for everybody, also for who
// began it.
func TestRunResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newMemory(t, queue.MemoryConfig{}), &worker{}
		add(t, store, 1, 1)
		start(t, store, queue.Config{}, func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
			w.note(entries)
			return nil, time.Hour
		})
		time.Sleep(10 * time.Second)
		if err := store.Resume(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n := w.calls(); n != 2 {
			t.Errorf("called %d times, want a second time after the rest was ended", n)
		}
	})
}

// TestRunSaysWhatIsDue, also to a loop that another one keeps from working.
func TestRunSaysWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(t, queue.MemoryConfig{})
		if wait, err := store.Lease(t.Context(), name, "somebody else", time.Hour); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		var heads []int64 // without repeats; 0 is nothing
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- queue.Run(ctx, store, name, queue.Config{Due: func(entries []queue.Entry) {
				head := int64(0)
				if len(entries) > 0 {
					head = entries[0].Seq
				}
				if len(heads) == 0 || heads[len(heads)-1] != head {
					heads = append(heads, head)
				}
			}}, (&worker{}).handle)
		}()
		time.Sleep(time.Minute)
		add(t, store, 1, 2)
		for _, id := range []string{"1", "2"} {
			time.Sleep(time.Minute)
			due, err := store.Due(t.Context(), name, 0, 1)
			if err != nil || len(due) != 1 || due[0].ID != id {
				t.Fatalf("due: %v, %v", due, err)
			}
			if err := store.Settle(t.Context(), name, "somebody else", queue.Outcome{ID: id, Seq: due[0].Seq, State: queue.Done}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if !slices.Equal(heads, []int64{0, 1, 2, 0}) {
			t.Errorf("it said %v", heads)
		}
	})
}
