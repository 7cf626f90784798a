package flagtrack

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
)

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	names := flagNames(50)
	ctx, _, _ := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	assert := func(name string, ctx context.Context) {
		i := 0
		record := func() {
			AddFeatureFlag(ctx, names[i%50], i%2 == 0)
			i++
		}
		for range 500 {
			record()
		}
		if n := testing.AllocsPerRun(5000, record); n != 0 {
			t.Errorf("%s: %v allocations per record", name, n)
		}
		if n := bytesPerRun(20_000, record); n > 16 {
			t.Errorf("%s: %v bytes per record", name, n)
		}
	}
	uncrowd()
	assert("scope", ctx)
	assert("span", span.Context())
	crowded.Store(true)
	assert("scope of a process with many names", ctx)
	off := mustNew(t, WithCapacity(0))
	if n := testing.AllocsPerRun(100, func() { off.AddFeatureFlag(ctx, "a", true) }); n != 0 {
		t.Errorf("%v allocations by a tracker that is off", n)
	}
}

// bytesPerRun is the least of some rounds, because goroutines of earlier tests may still be allocating.
func bytesPerRun(runs int, f func()) float64 {
	least := math.MaxFloat64
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.TotalAlloc-before.TotalAlloc)/float64(runs))
	}
	return least
}

// liveHeap is the memory in use after garbage collection.
func liveHeap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestShortLivedScopes: scopes and spans that come and go leave nothing behind.
func TestShortLivedScopes(t *testing.T) {
	count := 1_000_000
	if raceEnabled || testing.Short() {
		count = 20_000
	}
	names := flagNames(50)
	_, root, held := newHub(t)
	request := func(i int) (*sentry.Hub, string) {
		ctx, hub := forkHub(root)
		name := names[i%len(names)]
		AddFeatureFlag(ctx, name, true)
		return hub, name
	}
	request(0)
	before := liveHeap()
	for i := range count {
		hub, name := request(i)
		if i%5000 == 0 {
			wantFlags(t, captured(t, hub, held), name+"=T")
			held.reset()
		}
	}
	if grown := liveHeap() - before; grown > 1<<20 {
		t.Errorf("%d scopes leave %d bytes", count, grown)
	}
}

// TestSpanTableEmpties: an entry goes with its transaction, or with its span if that is never sent.
func TestSpanTableEmpties(t *testing.T) {
	collect(t)
	names := flagNames(10)
	func() {
		ctx, _, held := newHub(t)
		for i := range 5000 {
			transaction := sentry.StartTransaction(ctx, "job")
			child := transaction.StartChild("step")
			AddFeatureFlag(transaction.Context(), names[i%10], true)
			AddFeatureFlag(child.Context(), names[i%10], true)
			if i%2 == 0 {
				child.Finish()
				transaction.Finish() // the others are forgotten
			}
		}
		held.reset()
		sentry.GetHubFromContext(ctx).Scope().SetSpan(nil)
	}()
	collect(t)
}

// collect waits until garbage collection has emptied the span table.
func collect(t *testing.T) {
	t.Helper()
	for range 200 {
		runtime.GC()
		if spans.len() == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond) // cleanups run on a goroutine of the runtime
	}
	t.Fatalf("%d spans are remembered after garbage collection", spans.len())
}

func TestRequestsAreIsolated(t *testing.T) {
	ctx, root, held := newHub(t)
	AddFeatureFlag(ctx, "root", true)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			ctx, hub := forkHub(root)
			span := sentry.StartTransaction(ctx, fmt.Sprint("request", i))
			for j := range 5 {
				AddFeatureFlag(span.Context(), fmt.Sprintf("request%d-%d", i, j), true)
				runtime.Gosched()
			}
			hub.CaptureMessage(fmt.Sprint("request", i))
			span.Finish()
		})
	}
	wg.Wait()
	wantFlags(t, captured(t, root, held), "root=T")
	_, process, processHeld := newHub(t)
	wantFlags(t, captured(t, process, processHeld), "")
	for _, event := range held.all() {
		switch {
		case event.Type == "transaction":
			got := attributes(event)
			for name := range got {
				if !strings.HasPrefix(name, event.Transaction+"-") {
					t.Errorf("%s shows %s", event.Transaction, name)
				}
			}
			if len(got) != 5 {
				t.Errorf("%s shows %v", event.Transaction, got)
			}
		case event.Message != "error":
			want := "root=T"
			for j := range 5 {
				want += fmt.Sprintf(" %s-%d=T", event.Message, j)
			}
			wantFlags(t, flagsOf(t, event), want)
		}
	}
}

// TestLongChain: a chain of clones is captured quickly, each having its own flags and its parents'.
func TestLongChain(t *testing.T) {
	ctx, hub, held := newHub(t)
	for i := range 2000 {
		AddFeatureFlag(ctx, fmt.Sprint("chain", i%150), i%2 == 0)
		ctx, hub = forkHub(hub)
	}
	var want []string
	for i := 1900; i < 2000; i++ {
		if i%2 == 0 {
			want = append(want, fmt.Sprintf("chain%d=T", i%150))
		} else {
			want = append(want, fmt.Sprintf("chain%d=F", i%150))
		}
	}
	wantFlags(t, captured(t, hub, held), strings.Join(want, " "))
	if raceEnabled {
		return
	}
	quickest := time.Hour
	for range 20 {
		start := time.Now()
		hub.CaptureMessage("error")
		quickest = min(quickest, time.Since(start))
	}
	if quickest > time.Millisecond {
		t.Errorf("capturing takes %v", quickest)
	}
}

// TestUnboundedNames: neither a scope nor a chain of clones nor the table of names grows with the number of names.
func TestUnboundedNames(t *testing.T) {
	const names, clones = 100_000, 5000
	ctx, hub, held := newHub(t)
	last := func(format string, count int) string {
		var want []string
		for i := count - 100; i < count; i++ {
			want = append(want, fmt.Sprintf(format+"=T", i))
		}
		return strings.Join(want, " ")
	}
	most := 0
	for i := range names {
		AddFeatureFlag(ctx, fmt.Sprint("user-", i), true)
		if i%100 == 0 {
			most = max(most, len(copyTags(hub.Scope())))
		}
	}
	wantFlags(t, captured(t, hub, held), last("user-%d", names))
	for i := range clones {
		AddFeatureFlag(ctx, fmt.Sprint("chain-", i), true)
		ctx, hub = forkHub(hub)
		if i%100 == 0 {
			most = max(most, len(copyTags(hub.Scope())))
		}
	}
	wantFlags(t, captured(t, hub, held), last("chain-%d", clones))
	if most > 20*sweepEvery { // exceeded once in e^20 runs of so many records
		t.Errorf("a scope holds %d tags", most)
	}
	known := Default().limits.names.read.Load()
	if n := len(*known); n > maxNames {
		t.Errorf("the table holds %d names", n)
	}
	long := strings.Repeat("long", 1000)
	AddFeatureFlag(ctx, long, true)
	if _, ok := Default().limits.names.recent[long]; ok {
		t.Error("the table holds a long name")
	}
	if n := len(Default().limits.names.recent); n > maxNames {
		t.Errorf("the table holds %d names", n)
	}
}

// TestSweepReadsScopes fails if a new sentry-go keeps a scope's tags in another way: see copyTags.
func TestSweepReadsScopes(t *testing.T) {
	scope := sentry.NewScope()
	scope.SetTag("own", "1")
	if tags := copyTags(scope); len(tags) != 1 || tags["own"] != "1" {
		t.Fatalf("tags read from the scope: %v", tags)
	}
	tracker := mustNew(t, WithCapacity(5), WithScopeFinder(func(context.Context) *sentry.Scope { return scope }))
	for i := range 20 {
		tracker.AddFeatureFlag(t.Context(), fmt.Sprint("f", i), true)
	}
	sweep(scope, 5)
	if n := len(copyTags(scope)); n != 6 {
		t.Errorf("%d tags are left of 20 flags and one tag", n)
	}
	tracker.ClearFeatureFlags(t.Context())
	sweep(scope, 5)
	if n := len(copyTags(scope)); n != 2 {
		t.Errorf("%d tags are left after clearing", n)
	}
}

// TestSweepKeepsEnough: flags recorded under several limits have several tags, of which an event shows one.
func TestSweepKeepsEnough(t *testing.T) {
	client, held := newClient(t)
	hub := sentry.NewHub(client, sentry.NewScope()) // a scope with nothing of other tests in it
	ctx := sentry.SetHubOnContext(context.Background(), hub)
	trackers := []*Tracker{mustNew(t, WithCapacity(3)), mustNew(t, WithCapacity(3), WithMaxBytes(8000))}
	for _, name := range flagNames(10) {
		for _, tracker := range trackers {
			tracker.AddFeatureFlag(ctx, name, true)
		}
	}
	want, before := captured(t, hub, held), len(copyTags(hub.Scope()))
	sweep(hub.Scope(), math.MaxInt)
	wantFlags(t, captured(t, hub, held), want)
	sweep(hub.Scope(), 3)
	wantFlags(t, captured(t, hub, held), want)
	if n := before - len(copyTags(hub.Scope())); n != 14 {
		t.Errorf("%d tags of 20 are removed", n)
	}
}

// TestRecordMeetsSweep plays a sweep that has found an old flag and is about to remove it, while that flag is recorded
// anew: before the record began, between its look at the guard and its write, and when the process was not crowded yet.
func TestRecordMeetsSweep(t *testing.T) {
	defer crowded.Store(crowded.Load())
	const patience = 20_000 // a wrong setFlag is done long before; a right one may be waited for in vain
	for name, c := range map[string]struct{ crowded, blocked bool }{
		"sweep first":      {crowded: true},
		"sweep in between": {crowded: true, blocked: true},
		"not yet crowded":  {blocked: true},
	} {
		t.Run(name, func(t *testing.T) {
			crowded.Store(c.crowded)
			scope := sentry.NewScope()
			guard := guardOf(scope)
			const key = keyPrefix + "\x00met"
			written := func() bool { _, ok := copyTags(scope)[key]; return ok }
			release := func() {}
			if c.blocked {
				release = holdScope(scope)
			} else {
				guard.mu.Lock()
				guard.turn.Add(1)
			}
			var recorder sync.WaitGroup
			recorder.Go(func() { setFlag(scope, key, value{result: true}) })
			for range patience { // for the recorder to come as far as it can
				runtime.Gosched()
			}
			if c.blocked {
				guard.mu.Lock()
				guard.turn.Add(1)
				crowded.Store(true)
			}
			release()
			for i := 0; i < patience && !written(); i++ {
				runtime.Gosched()
			}
			scope.RemoveTag(key) // it was old when the sweep looked
			guard.turn.Add(1)
			guard.mu.Unlock()
			recorder.Wait()
			if !written() {
				t.Error("the flag is lost")
			}
		})
	}
}

// holdScope keeps everybody from changing scope until release is called.
func holdScope(scope *sentry.Scope) (release func()) {
	var held, free sync.WaitGroup
	held.Add(1)
	free.Add(1)
	scope.AddEventProcessor(func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
		held.Done()
		free.Wait()
		return event
	})
	var applied sync.WaitGroup
	applied.Go(func() { scope.ApplyToEvent(sentry.NewEvent(), nil, nil) })
	held.Wait()
	return func() {
		free.Done()
		applied.Wait()
	}
}

// TestSweepKeepsLargestCapacity: a sweep leaves as many flags as the most generous tracker shows.
func TestSweepKeepsLargestCapacity(t *testing.T) {
	defer crowded.Store(crowded.Load())
	tracker := mustNew(t, WithCapacity(2000))
	crowded.Store(true)
	scope := sentry.NewScope()
	hub := sentry.NewHub(nil, scope)
	ctx := sentry.SetHubOnContext(context.Background(), hub)
	for _, name := range flagNames(2000) {
		for range 10 {
			tracker.AddFeatureFlag(ctx, name, true)
		}
	}
	if n := len(copyTags(scope)); n != 2000 {
		t.Errorf("%d flags of 2000 are left", n)
	}
}

// TestRecordDuringSweep: a flag that is recorded while its scope is swept is not taken for the old one before it.
func TestRecordDuringSweep(t *testing.T) {
	defer crowded.Store(crowded.Load())
	defer registry.most.Store(registry.most.Load())
	crowded.Store(true)
	registry.most.Store(20)
	ctx, hub, _ := newHub(t)
	due := uint64(1)
	for !sweepDue(due) {
		due++
	}
	var wg sync.WaitGroup
	var stop atomic.Bool
	var sweeps atomic.Int64
	wg.Go(func() {
		for ; !stop.Load(); sweeps.Add(1) {
			_, mark := stamps.next()
			setAndSweep(hub.Scope(), Default().limits.names.get("sweeper").key, mark, due)
		}
	})
	names := flagNames(30)
	hot := Default().limits.names.get("hot").key
	for range 500 {
		for _, name := range names {
			AddFeatureFlag(ctx, name, true)
		}
		AddFeatureFlag(ctx, "hot", true)
		for under := sweeps.Load(); sweeps.Load() == under; { // until the sweep that may be under way is over
			runtime.Gosched()
		}
		if _, ok := copyTags(hub.Scope())[hot]; !ok {
			t.Error("the flag that was recorded last is lost")
			break
		}
	}
	stop.Store(true)
	wg.Wait()
}
