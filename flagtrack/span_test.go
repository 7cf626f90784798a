package flagtrack

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	gocmp "github.com/google/go-cmp/cmp"
)

// len counts the spans that are remembered.
func (t *spanTable) len() (n int) {
	t.entries.Range(func(any, any) bool {
		n++
		return true
	})
	return n
}

// attributes returns the flag attributes of a transaction's root span, without their prefix.
func attributes(event *sentry.Event) map[string]any {
	data, _ := event.Contexts["trace"]["data"].(map[string]any)
	return flagAttributes(data)
}

func flagAttributes(data map[string]any) map[string]any {
	flags := map[string]any{}
	for k, v := range data {
		if name, ok := strings.CutPrefix(k, "flag.evaluation."); ok {
			flags[name] = v
		}
	}
	return flags
}

func wantAttributes(t testing.TB, got, want map[string]any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("flag attributes of the span (-want +got):\n%s", diff)
	}
}

func TestSpanFirstTen(t *testing.T) {
	ctx, _, held := newHub(t)
	transaction := sentry.StartTransaction(ctx, "job")
	child := transaction.StartChild("step")
	want := map[string]any{}
	for i := range 11 {
		AddFeatureFlag(child.Context(), fmt.Sprint(i), true)
		if i < 10 {
			want[fmt.Sprint(i)] = true
		}
	}
	AddFeatureFlag(child.Context(), "3", false)
	want["3"] = false
	child.Finish()
	transaction.Finish()
	event := held.last(t)
	wantAttributes(t, attributes(event), map[string]any{})
	if len(event.Spans) != 1 {
		t.Fatal("no child")
	}
	wantAttributes(t, flagAttributes(event.Spans[0].Data), want)
	if _, ok := event.Contexts["flags"]; ok {
		t.Error("the transaction has contexts.flags")
	}
}

func TestSpanNothingInherited(t *testing.T) {
	ctx, _, held := newHub(t)
	AddFeatureFlag(ctx, "before", true)
	transaction := sentry.StartTransaction(ctx, "job")
	AddFeatureFlag(transaction.Context(), "parent", true)
	child := transaction.StartChild("step")
	AddFeatureFlag(child.Context(), "child", false)
	child.Finish()
	AddFeatureFlag(transaction.Context(), "later", false)
	transaction.Finish()
	AddFeatureFlag(transaction.Context(), "after", true)
	AddFeatureFlag(child.Context(), "after", true)
	event := held.last(t)
	wantAttributes(t, attributes(event), map[string]any{"parent": true, "later": false})
	wantAttributes(t, flagAttributes(event.Spans[0].Data), map[string]any{"child": false})
}

// TestSpanFromContextFirst: parallel children share one scope, whose span is the one started last.
func TestSpanFromContextFirst(t *testing.T) {
	ctx, _, held := newHub(t)
	transaction := sentry.StartTransaction(ctx, "job")
	one := transaction.StartChild("one")
	two := transaction.StartChild("two")
	AddFeatureFlag(one.Context(), "one", true)
	AddFeatureFlag(two.Context(), "two", true)
	AddFeatureFlag(ctx, "scope", true) // no span in this context: the scope's, which is two
	one.Finish()
	two.Finish()
	transaction.Finish()
	event := held.last(t)
	got := map[string]map[string]any{}
	for _, span := range event.Spans {
		got[span.Op] = flagAttributes(span.Data)
	}
	want := map[string]map[string]any{"one": {"one": true}, "two": {"two": true, "scope": true}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSpanUnsampled(t *testing.T) {
	ctx, hub, held := newHub(t, func(o *sentry.ClientOptions) { o.TracesSampleRate = 0 })
	span := sentry.StartSpan(ctx, "job")
	AddFeatureFlag(span.Context(), "a", true)
	if _, ok := spans.entries.Load(span.SpanID); ok {
		t.Error("the span is remembered")
	}
	wantFlags(t, captured(t, hub, held), "a=T")
	span.Finish()
}

func TestSpanVariants(t *testing.T) {
	tracker := mustNew(t, WithAllValues())
	ctx, _, held := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	tracker.AddFeatureFlag(span.Context(), "x", "blue")
	tracker.AddFeatureFlag(span.Context(), "my flag", true)
	tracker.AddFeatureFlag(span.Context(), "x", "red")
	span.Finish()
	wantAttributes(t, attributes(held.last(t)), map[string]any{"x:red": true, "my_flag-a84e63b3": true})
}

// TestSpanLookAlikes: a span shows look-alikes apart, and under the same names as an event.
func TestSpanLookAlikes(t *testing.T) {
	tracker := mustNew(t, WithAllValues())
	ctx, hub, held := newHub(t)
	transaction := sentry.StartTransaction(ctx, "job")
	child := transaction.StartChild("step")
	for _, span := range []*sentry.Span{transaction, child} {
		tracker.AddFeatureFlag(span.Context(), "x:blue", false)
		tracker.AddFeatureFlag(span.Context(), "x", "blue")
	}
	wantFlags(t, captured(t, hub, held), "x:blue-b3140caf=F x:blue=T")
	child.Finish()
	transaction.Finish()
	want := map[string]any{"x:blue-b3140caf": false, "x:blue": true}
	wantAttributes(t, attributes(held.last(t)), want)
	wantAttributes(t, flagAttributes(held.last(t).Spans[0].Data), want)
}

// TestSpanRenderedOnce: what is evaluated between two passes of the processor is not shown beyond the first ten.
func TestSpanRenderedOnce(t *testing.T) {
	var evaluate func()
	ctx, hub, held := newHub(t)
	hub.Scope().AddEventProcessor(func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
		evaluate() // after the scope's pass, before the global one, on another scope: this one is locked
		return event
	})
	transaction := sentry.StartTransaction(ctx, "job")
	child := transaction.StartChild("step")
	other, _ := forkHub(sentry.CurrentHub())
	record := func(prefix string) {
		for i := range 10 {
			for _, span := range []*sentry.Span{transaction, child} {
				// The span's own entry, as a goroutine has it that was held up on its way from the evaluation.
				if e := spans.entry(span); e != nil {
					e.set(&flagName{shown: fmt.Sprint(prefix, i)}, value{result: true})
				}
				AddFeatureFlag(sentry.SetHubOnContext(span.Context(), sentry.GetHubFromContext(other)), fmt.Sprint(prefix, i), true)
			}
		}
	}
	evaluate = func() { record("late") }
	record("early")
	child.Finish()
	transaction.Finish()
	event := held.last(t)
	for name, got := range map[string]map[string]any{"root": attributes(event), "child": flagAttributes(event.Spans[0].Data)} {
		if len(got) != 10 || got["early0"] != true {
			t.Errorf("the %s shows %d flags: %v", name, len(got), got)
		}
	}
}

// TestSpanFinishedChild: a finished child takes no more flags and no updates, while its transaction goes on.
func TestSpanFinishedChild(t *testing.T) {
	ctx, _, held := newHub(t)
	transaction := sentry.StartTransaction(ctx, "job")
	child := transaction.StartChild("step")
	empty := transaction.StartChild("empty")
	AddFeatureFlag(child.Context(), "a", true)
	child.Finish()
	empty.Finish()
	tracker := mustNew(t, WithAllValues())
	tracker.AddFeatureFlag(child.Context(), "a", false)
	tracker.AddFeatureFlag(child.Context(), "b", true)
	tracker.AddFeatureFlag(child.Context(), "a", []int{1})
	tracker.AddFeatureFlag(empty.Context(), "b", true)
	transaction.Finish()
	for _, span := range held.last(t).Spans {
		want := map[string]any{}
		if span.Op == "step" {
			want["a"] = true
		}
		wantAttributes(t, flagAttributes(span.Data), want)
	}
}

// TestSpanByHand: a span that sentry-go did not start has no id to know it by.
func TestSpanByHand(t *testing.T) {
	ctx, hub, held := newHub(t)
	span := &sentry.Span{Sampled: sentry.SampledTrue}
	hub.Scope().SetSpan(span)
	AddFeatureFlag(ctx, "a", true)
	if _, ok := spans.entries.Load(span.SpanID); ok {
		t.Error("the span is remembered")
	}
	wantFlags(t, captured(t, hub, held), "a=T")
}

// TestSpanOwnDataUntouched: the transaction's data is shared with the live span, so it must be copied.
func TestSpanOwnDataUntouched(t *testing.T) {
	ctx, _, held := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	span.SetData("own", 1)
	AddFeatureFlag(span.Context(), "a", true)
	span.Finish()
	data := held.last(t).Contexts["trace"]["data"].(map[string]any)
	if data["own"] != 1 || data["flag.evaluation.a"] != true {
		t.Errorf("the event's data is %v", data)
	}
	if len(span.Data) != 1 {
		t.Errorf("the span's data is %v", span.Data)
	}
	span.SetData("later", 2)
	if _, ok := data["later"]; ok {
		t.Error("the captured event changed")
	}
}

// TestSpanNilChild: an application may capture a transaction that it put together itself.
func TestSpanNilChild(t *testing.T) {
	_, hub, held := newHub(t)
	hub.CaptureEvent(&sentry.Event{Type: "transaction", Spans: []*sentry.Span{nil}})
	if len(held.all()) != 1 {
		t.Error("the transaction did not arrive")
	}
}

// TestSpanWithoutHub: what an option drops from the scope still goes to the span that the context names.
func TestSpanWithoutHub(t *testing.T) {
	tracker := mustNew(t, WithScopeFinder(func(context.Context) *sentry.Scope { return nil }))
	ctx, _, held := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	tracker.AddFeatureFlag(span.Context(), "a", true)
	span.Finish()
	wantAttributes(t, attributes(held.last(t)), map[string]any{"a": true})
}

// TestSpanWhileIgnored evaluates while a transaction and its child are finished whose status makes sentry-go drop them:
// for the first time, so that the sampling decision is read, which sentry-go writes then. It is for the race detector.
// FLAGTRACK_TEST_404=60s makes it last longer.
func TestSpanWhileIgnored(t *testing.T) {
	ctx, _, held := newHub(t)
	last, err := time.ParseDuration(cmp.Or(os.Getenv("FLAGTRACK_TEST_404"), "0s"))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(last)
	for i := 0; i < 500 || time.Now().Before(end); i++ {
		transaction := sentry.StartTransaction(ctx, "job")
		transaction.SetData("http.response.status_code", 404)
		child := transaction.StartChild("step")
		if i%2 == 0 {
			AddFeatureFlag(transaction.Context(), "before", true)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				AddFeatureFlag(transaction.Context(), "meanwhile", true)
				AddFeatureFlag(child.Context(), "meanwhile", true)
			})
		}
		child.Finish()
		transaction.Finish()
		wg.Wait()
	}
	if n := len(held.all()); n != 0 {
		t.Errorf("%d transactions were sent", n)
	}
}

// TestSpanWhileFinishing evaluates on a transaction and its children while another goroutine finishes them.
func TestSpanWhileFinishing(t *testing.T) {
	ctx, _, held := newHub(t)
	for range 200 {
		transaction := sentry.StartTransaction(ctx, "job")
		child := transaction.StartChild("step")
		AddFeatureFlag(transaction.Context(), "certain", true)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				AddFeatureFlag(transaction.Context(), fmt.Sprint(i), true)
				AddFeatureFlag(child.Context(), fmt.Sprint(i), true)
			})
		}
		child.Finish()
		transaction.Finish()
		wg.Wait()
		if attributes(held.last(t))["certain"] != true {
			t.Fatal("a flag that was evaluated before is missing")
		}
	}
}
