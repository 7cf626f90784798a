package flagtrack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
)

// The benchmarks report what an operation takes and allocates, and its ratio to a reference that is measured in the
// same run. Targets, on a quiet machine:
//
//	BenchmarkRecord/flags=1       at most 1.8 xSetTag
//	BenchmarkRecord/flags=50      at most 1.8 xSetTag, at most 1/60 xByHand
//	BenchmarkRecord/flags=500     at most 4.5 xSetTag
//	BenchmarkRecord/span          at most 2.3 xSetTag
//	BenchmarkRecordShared         at most 2.4 xSetTag
//	BenchmarkRecordParallel       with -cpu 1,2: how much the counter costs that all scopes share
//	BenchmarkRequest              at most 1.35 xSetTag
//	BenchmarkHook/nospan          at most 1.4 xNoop
//	BenchmarkHook/span            at most 1.5 xNoop
//	BenchmarkCapture/10           at most 1.5 xBare
//	BenchmarkCapture/100          at most 4.5 xBare

// report measures the subject, and how many times as long it takes as the reference.
func report(b *testing.B, metric string, reference, subject func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		subject()
	}
	b.ReportMetric(benchratio.Of(subject, reference, perRound(reference)), metric)
}

// perRound is how often something is done in half a millisecond or more.
func perRound(f func()) int {
	for n := 1; ; n *= 2 {
		start := time.Now()
		for range n {
			f()
		}
		if time.Since(start) > 500*time.Microsecond {
			return n
		}
	}
}

func flagNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("checkout.flag-%d", i)
	}
	return names
}

// cycle returns a function that calls f with one name after the other, again and again.
func cycle(names []string, f func(name string)) func() {
	i := 0
	return func() {
		f(names[i])
		if i++; i == len(names) {
			i = 0
		}
	}
}

func setTags(ctx context.Context, names []string) func() {
	return cycle(names, func(name string) { sentry.GetHubFromContext(ctx).Scope().SetTag(name, "true") })
}

func addFlags(ctx context.Context, names []string) func() {
	return cycle(names, func(name string) { AddFeatureFlag(ctx, name, true) })
}

// setContexts is what people write by hand: a list without the flag, the flag at its end, and all of it set again.
func setContexts(ctx context.Context, names []string) func() {
	var values []map[string]any
	return cycle(names, func(name string) {
		fresh := make([]map[string]any, 0, len(values)+1)
		for _, v := range values {
			if v["flag"] != name {
				fresh = append(fresh, map[string]any{"flag": v["flag"], "result": v["result"]})
			}
		}
		values = append(fresh, map[string]any{"flag": name, "result": true})
		sentry.GetHubFromContext(ctx).Scope().SetContext("flags", sentry.Context{"values": values})
	})
}

// BenchmarkRecord also reports what people write by hand, so that docs/performance.md can show how it grows.
func BenchmarkRecord(b *testing.B) {
	for _, count := range []int{1, 10, 50, 100, 500} {
		b.Run(fmt.Sprintf("flags=%d", count), func(b *testing.B) {
			defer uncrowd()
			names := flagNames(count)
			tagged, _, _ := newHub(b)
			tracked, _, _ := newHub(b)
			listed, _, _ := newHub(b)
			tag, subject, byHand := setTags(tagged, names), addFlags(tracked, names), setContexts(listed, names)
			report(b, "xSetTag", tag, subject)
			for range names {
				byHand()
			}
			calls := max(100, perRound(byHand)) // what a hundred tags take can be told from what the clock takes
			b.ReportMetric(benchratio.Of(subject, byHand, calls), "xByHand")
			b.ReportMetric(benchratio.Of(byHand, tag, calls), "byHand-xSetTag")
		})
	}
	b.Run("span", func(b *testing.B) {
		names := flagNames(10)
		tagged, _, _ := newHub(b)
		ctx, _, _ := newHub(b)
		span := sentry.StartSpan(ctx, "job")
		report(b, "xSetTag", setTags(tagged, names), addFlags(span.Context(), names))
		runtime.KeepAlive(span)
	})
}

// uncrowd makes the process forget that it knows more names than a scope may show, for the benchmarks that follow.
func uncrowd() {
	names.count.Store(0)
}

// each is how many records a goroutine makes in one operation of a parallel benchmark.
const each = 1000

// BenchmarkRecordShared records into one scope on all processors at once.
func BenchmarkRecordShared(b *testing.B) {
	names := flagNames(50)
	tagged, _, _ := newHub(b)
	tracked, _, _ := newHub(b)
	report(b, "xSetTag",
		parallel(func() func() { return setTags(tagged, names) }),
		parallel(func() func() { return addFlags(tracked, names) }))
}

// BenchmarkRecordParallel records into a scope for each processor, all at once: they share nothing but our counter.
func BenchmarkRecordParallel(b *testing.B) {
	names := flagNames(50)
	fresh := func() context.Context {
		ctx, _, _ := newHub(b)
		return ctx
	}
	report(b, "xSetTag",
		parallel(func() func() { return setTags(fresh(), names) }),
		parallel(func() func() { return addFlags(fresh(), names) }))
}

// parallel does its work on all processors at once.
func parallel(start func() func()) func() {
	works := make([]func(), runtime.GOMAXPROCS(0))
	for i := range works {
		works[i] = start()
	}
	return func() {
		var wg sync.WaitGroup
		for _, work := range works {
			wg.Go(func() {
				for range each {
					work()
				}
			})
		}
		wg.Wait()
	}
}

func BenchmarkRequest(b *testing.B) {
	names := flagNames(10)
	_, root, _ := newHub(b)
	request := func(record func(ctx context.Context, name string)) func() {
		return func() {
			ctx := sentry.SetHubOnContext(context.Background(), root.Clone())
			for _, name := range names {
				record(ctx, name)
			}
		}
	}
	report(b, "xSetTag",
		request(func(ctx context.Context, name string) {
			sentry.GetHubFromContext(ctx).Scope().SetTag(name, "true")
		}),
		request(func(ctx context.Context, name string) { AddFeatureFlag(ctx, name, true) }))
}

func BenchmarkHook(b *testing.B) {
	flags := map[string]memprovider.InMemoryFlag{}
	names := flagNames(10)
	for _, name := range names {
		flags[name] = memprovider.InMemoryFlag{
			State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true, "off": false},
		}
	}
	newClient := func(b *testing.B, hook openfeature.Hook) *openfeature.Client {
		domain := b.Name() + fmt.Sprintf("%T", hook)
		if err := openfeature.SetNamedProviderAndWait(domain, memprovider.NewInMemoryProvider(flags)); err != nil {
			b.Fatal(err)
		}
		client := openfeature.NewClient(domain)
		client.AddHooks(hook)
		return client
	}
	evaluate := func(client *openfeature.Client, ctx context.Context) func() {
		ec := openfeature.NewEvaluationContext("user-1", nil)
		return cycle(names, func(name string) { client.Boolean(ctx, name, false, ec) })
	}
	for _, name := range []string{"nospan", "span"} {
		b.Run(name, func(b *testing.B) {
			ctx, _, _ := newHub(b)
			if name == "span" {
				span := sentry.StartSpan(ctx, "job")
				ctx = span.Context()
			}
			report(b, "xNoop",
				evaluate(newClient(b, openfeature.UnimplementedHook{}), ctx),
				evaluate(newClient(b, NewHook()), ctx))
		})
	}
}

// marshalling is a transport that encodes events and throws them away.
type marshalling struct{ heldEvents }

func (*marshalling) SendEvent(event *sentry.Event) {
	if _, err := json.Marshal(event); err != nil {
		panic(err)
	}
}

func BenchmarkCapture(b *testing.B) {
	transport := func(o *sentry.ClientOptions) { o.Transport = &marshalling{} }
	err := errors.New("payment declined")
	capture := func(hub *sentry.Hub) func() {
		return func() { hub.CaptureException(err) }
	}
	for _, flags := range []int{10, 100} {
		b.Run(fmt.Sprint(flags), func(b *testing.B) {
			_, bare, _ := newHub(b, transport)
			ctx, flagged, _ := newHub(b, transport)
			record := addFlags(ctx, flagNames(flags))
			for range flags {
				record()
			}
			report(b, "xBare", capture(bare), capture(flagged))
		})
	}
}
