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
	all := flagNames(50)
	ctx, _, _ := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	assert := func(name string, ctx context.Context) {
		i := 0
		record := func() {
			AddFeatureFlag(ctx, all[i%50], i%2 == 0)
			i++
		}
		for range 500 {
			record()
		}
		if n := testing.AllocsPerRun(5000, record); n != 0 {
			t.Errorf("%s: %v allocations per record", name, n)
		}
		if n := bytesPerRun(20_000, record); n > 32 {
			t.Errorf("%s: %v bytes per record", name, n)
		}
	}
	uncrowd()
	assert("scope", ctx)
	assert("span", span.Context())
	defer crowd()()
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
	for range 5000 {
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
	const count, clones = 100_000, 5000
	ctx, hub, held := newHub(t)
	last := func(format string, count int) string {
		var want []string
		for i := count - 100; i < count; i++ {
			want = append(want, fmt.Sprintf(format+"=T", i))
		}
		return strings.Join(want, " ")
	}
	most := 0
	for i := range count {
		AddFeatureFlag(ctx, fmt.Sprint("user-", i), true)
		if i%100 == 0 {
			most = max(most, len(tagsOf(t, hub.Scope())))
		}
	}
	wantFlags(t, captured(t, hub, held), last("user-%d", count))
	for i := range clones {
		AddFeatureFlag(ctx, fmt.Sprint("chain-", i), true)
		ctx, hub = forkHub(hub)
		if i%100 == 0 {
			most = max(most, len(tagsOf(t, hub.Scope())))
		}
	}
	wantFlags(t, captured(t, hub, held), last("chain-%d", clones))
	if most > 100+25*100 { // exceeded once in e^15 runs or so
		t.Errorf("a scope holds %d tags", most)
	}
	if n := len(*names.read.Load()); n > maxNames {
		t.Errorf("the table holds %d names", n)
	}
	long := strings.Repeat("long", 1000)
	AddFeatureFlag(ctx, long, true)
	if _, ok := names.recent[long]; ok {
		t.Error("the table holds a long name")
	}
	if n := len(names.recent); n > maxNames {
		t.Errorf("the table holds %d names", n)
	}
}

// crowd makes the process believe that it knows more names than any event shows, until the returned function is called.
func crowd() (restore func()) {
	before := names.count.Swap(1 << 40)
	return func() { names.count.Store(before) }
}

// tagsOf returns a copy of the scope's tags.
func tagsOf(t testing.TB, scope *sentry.Scope) map[string]string {
	t.Helper()
	tags, ok := copyTags(scope)
	if !ok {
		t.Fatal("sentry-go keeps a scope's tags in another way now: see scopeField")
	}
	return tags
}

// TestSweepReadsScopes fails if a new sentry-go keeps a scope's tags or processors in another way: see scopeField.
func TestSweepReadsScopes(t *testing.T) {
	scope := sentry.NewScope()
	scope.SetTag("own", "1")
	if tags := tagsOf(t, scope); len(tags) != 1 || tags["own"] != "1" {
		t.Fatalf("tags read from the scope: %v", tags)
	}
	if !processorsKnown || isPrepared(scope) || !isPrepared(sentry.CurrentHub().Scope()) {
		t.Error("processors cannot be read from a scope")
	}
	tracker := mustNew(t, WithCapacity(5), WithScopeFinder(func(context.Context) *sentry.Scope { return scope }))
	for i := range 20 {
		tracker.AddFeatureFlag(t.Context(), fmt.Sprint("f", i), true)
	}
	sweep(scope)
	if n := len(tagsOf(t, scope)); n != 6 {
		t.Errorf("%d tags are left of 20 flags and one tag", n)
	}
	tracker.ClearFeatureFlags(t.Context())
	sweep(scope)
	if n := len(tagsOf(t, scope)); n != 2 {
		t.Errorf("%d tags are left after clearing", n)
	}
}

// TestFieldsMoved: with a sentry-go that keeps tags and processors elsewhere, events stay right, and Stats says so.
func TestFieldsMoved(t *testing.T) {
	defer func(field string) { tagsField, processorsKnown = field, true }(tagsField)
	tagsField, processorsKnown = "elsewhere", false
	client, held := newClient(t)
	hub := sentry.NewHub(client, sentry.NewScope())
	hub.Scope().AddEventProcessor(func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event { return event })
	ctx := sentry.SetHubOnContext(context.Background(), hub)
	tracker, before := mustNew(t, WithCapacity(2)), Stats()
	add(ctx, tracker, "a=T b=T c=T")
	sweep(hub.Scope())
	PrepareScope(hub.Scope())
	if got := tracker.Flags(ctx); got != nil {
		t.Errorf("Flags are %v", got)
	}
	wantFlags(t, captured(t, hub, held), "b=T c=T")
	if n := Stats().Unswept - before.Unswept; n < 2 { // a record may have swept too
		t.Errorf("%d are counted", n)
	}
}

// TestPrepareScopeTwice: many calls leave one processor, also on the clones of a prepared scope.
func TestPrepareScopeTwice(t *testing.T) {
	scope := sentry.NewScope()
	for range 100 {
		PrepareScope(scope)
		scope = scope.Clone()
	}
	passes := 0
	scope.AddEventProcessor(func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
		passes++
		return event
	})
	PrepareScope(scope)
	list, ok := scopeField(scope, processors.Name, processors.Type)
	if !ok || list.Len() != 2 {
		t.Errorf("the scope has %d processors, not ours and one more", list.Len())
	}
	if passes != 0 {
		t.Error("a look at the scope ran the application's processor")
	}
	PrepareScope(nil)
}

// TestRecordMeetsSweep plays a sweep that has found an old flag and is about to remove it, while that flag is recorded
// anew: by a record that begins under the sweep, and by one that began before it.
func TestRecordMeetsSweep(t *testing.T) {
	const patience = 20_000 // a wrong setTag is done long before; a right one may be waited for in vain
	for name, before := range map[string]bool{"sweep first": false, "record first": true} {
		t.Run(name, func(t *testing.T) {
			defer lastSweep.Store(&sweepRun{})
			scope := sentry.NewScope()
			const key = keyPrefix + "met"
			written := func() bool { return tagsOf(t, scope)[key] != "" }
			run := &sweepRun{scope: scope, over: make(chan struct{})}
			release := func() {}
			if before {
				release = holdScope(scope)
			} else {
				lastSweep.Store(run)
			}
			var recorder sync.WaitGroup
			recorder.Go(func() { setTag(scope, key, "new") })
			for range patience { // for the recorder to come as far as it can
				runtime.Gosched()
			}
			lastSweep.Store(run)
			release()
			for i := 0; i < patience && !written(); i++ {
				runtime.Gosched()
			}
			scope.RemoveTag(key) // it was old when the sweep looked
			lastSweep.Store(&sweepRun{})
			close(run.over)
			recorder.Wait()
			if !written() {
				t.Error("the flag is lost")
			}
		})
	}
}

// TestSweepHoldsUpNobodyElse: while a sweep waits for its scope, another scope is recorded into.
func TestSweepHoldsUpNobodyElse(t *testing.T) {
	defer crowd()()
	client, held := newClient(t)
	slow := sentry.NewScope()
	PrepareScope(slow)
	release := holdScope(slow)
	var sweeper sync.WaitGroup
	tracker := mustNew(t, WithCapacity(1))
	sweeper.Go(func() {
		ctx := sentry.SetHubOnContext(context.Background(), sentry.NewHub(client, slow))
		add(ctx, tracker, "a=T b=T")
		sweep(slow)
	})
	hub := sentry.NewHub(client, sentry.NewScope())
	ctx := sentry.SetHubOnContext(context.Background(), hub)
	for range 1000 {
		add(ctx, tracker, "a=T b=T")
	}
	wantFlags(t, captured(t, hub, held), "b=T")
	release()
	sweeper.Wait()
	// A scope that cannot be written to at all must not hold up the others either.
	zero := sentry.SetHubOnContext(context.Background(), sentry.NewHub(client, &sentry.Scope{}))
	for range 1000 {
		add(zero, tracker, "a=T b=T")
		add(ctx, tracker, "a=F b=F")
	}
	wantFlags(t, captured(t, hub, held), "b=F")
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

// TestRecordDuringSweep: a flag that is recorded while its scope is swept is not taken for the old one before it.
func TestRecordDuringSweep(t *testing.T) {
	defer crowd()()
	tracker := mustNew(t, WithCapacity(20))
	ctx, hub, _ := newHub(t)
	var wg sync.WaitGroup
	var stop atomic.Bool
	var sweeps atomic.Int64
	wg.Go(func() {
		for ; !stop.Load(); sweeps.Add(1) {
			sweep(hub.Scope())
		}
	})
	many := flagNames(30)
	hot, _ := names.get("hot")
	for range 50 {
		for _, name := range many {
			tracker.AddFeatureFlag(ctx, name, true)
		}
		tracker.AddFeatureFlag(ctx, "hot", true)
		for under := sweeps.Load(); sweeps.Load() == under; { // until the sweep that may be under way is over
			runtime.Gosched()
		}
		if _, ok := tagsOf(t, hub.Scope())[hot.key]; !ok {
			t.Error("the flag that was recorded last is lost")
			break
		}
	}
	stop.Store(true)
	wg.Wait()
}

// TestLargestTrackerBeside: a tracker of the largest capacity that another scope uses neither raises what this scope
// keeps nor what a capture takes.
func TestLargestTrackerBeside(t *testing.T) {
	count := 200_000
	if raceEnabled || testing.Short() {
		count = 20_000
	}
	mustNew(t, WithCapacity(MaxCapacity))
	tracker := mustNew(t)
	fresh := func(names int) (*sentry.Hub, func() time.Duration) {
		client, held := newClient(t)
		hub := sentry.NewHub(client, sentry.NewScope())
		ctx := sentry.SetHubOnContext(context.Background(), hub)
		for i := range names {
			tracker.AddFeatureFlag(ctx, fmt.Sprintf("beside-%06d", i), true)
		}
		sweep(hub.Scope()) // or it would be a matter of chance how long ago the last sweep was
		return hub, func() time.Duration {
			start := time.Now()
			hub.CaptureMessage("error")
			took := time.Since(start)
			if got := strings.Fields(flagsOf(t, held.last(t))); len(got) != min(names, 100) {
				t.Fatalf("%d flags are shown", len(got))
			}
			held.reset()
			return took
		}
	}
	before := liveHeap()
	hub, capture := fresh(count)
	if grown := liveHeap() - before; grown > 1<<20 {
		t.Errorf("the scope holds %d bytes", grown)
	}
	most := 0
	for i := range 20_000 {
		tracker.AddFeatureFlag(sentry.SetHubOnContext(context.Background(), hub), fmt.Sprintf("more-%06d", i), true)
		if i%100 == 0 {
			most = max(most, len(tagsOf(t, hub.Scope())))
		}
	}
	if most > 100+25*100 { // exceeded once in e^15 runs or so
		t.Errorf("the scope holds %d tags", most)
	}
	sweep(hub.Scope())
	if n := len(tagsOf(t, hub.Scope())); n != 100 {
		t.Errorf("a sweep leaves %d tags", n)
	}
	_, captureHundred := fresh(100)
	many, hundred := time.Hour, time.Hour
	for range 200 { // in turn, since the machine does not stand still
		many, hundred = min(many, capture()), min(hundred, captureHundred())
	}
	if many > 3*hundred {
		t.Errorf("a capture takes %v after %d names, and %v after 100", many, count, hundred)
	}
}
