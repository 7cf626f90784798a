package flagtrack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
)

// The benchmarks report ratios to a reference that is measured in the same run. Targets, on a quiet machine:
//
//	BenchmarkRecord/same, /50   at most 2.0 xSetTag     /50 at least 60 xSetContext
//	BenchmarkRecord/500         at most 4.5 xSetTag
//	BenchmarkRecord/span        at most 2.5 xSetTag
//	BenchmarkRecordShared       at most 2.4 xSetTag
//	BenchmarkRequest            at most 1.45 xSetTag
//	BenchmarkHook/nospan        at most 1.4 xNoop
//	BenchmarkHook/span          at most 1.5 xNoop
//	BenchmarkCapture/10         at most 1.5 xBare
//	BenchmarkCapture/100        at most 4.5 xBare

// work does something n times.
type work func(n int)

// measure does all works in turns, so that a busy machine disturbs them alike, and returns what one of each takes, in
// nanoseconds: the lower quartile of many short rounds.
func measure(b *testing.B, works ...work) []float64 {
	b.Helper()
	counts := make([]int, len(works))
	for i, w := range works {
		counts[i] = perRound(w)
	}
	rounds := make([][]time.Duration, len(works))
	for b.Loop() {
		for range 10 {
			for i, w := range works {
				rounds[i] = append(rounds[i], timed(w, counts[i]))
			}
		}
	}
	each := make([]float64, len(works))
	for i, times := range rounds {
		slices.Sort(times)
		each[i] = float64(times[len(times)/4]) / float64(counts[i])
	}
	return each
}

// perRound is how often something is done in a round of about half a millisecond.
func perRound(w work) int {
	n := 1
	for timed(w, n) < 500*time.Microsecond {
		n *= 2
	}
	return n
}

func timed(w work, n int) time.Duration {
	start := time.Now()
	w(n)
	return time.Since(start)
}

// report reports how many times as long as the reference the subject takes.
func report(b *testing.B, metric string, reference, subject work) {
	b.Helper()
	each := measure(b, reference, subject)
	b.ReportMetric(each[1]/each[0], metric)
	b.ReportMetric(each[0], "ns/reference")
	b.ReportMetric(each[1], "ns/op")
}

func flagNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("checkout.flag-%d", i)
	}
	return names
}

// cycle calls f with one name after the other, again and again.
func cycle(names []string, f func(name string)) work {
	i := 0
	return func(n int) {
		for range n {
			f(names[i])
			if i++; i == len(names) {
				i = 0
			}
		}
	}
}

func setTags(ctx context.Context, names []string) work {
	return cycle(names, func(name string) { sentry.GetHubFromContext(ctx).Scope().SetTag(name, "true") })
}

func addFlags(ctx context.Context, names []string) work {
	return cycle(names, func(name string) { AddFeatureFlag(ctx, name, true) })
}

// setContexts is what people write by hand: a list without the flag, the flag at its end, and all of it set again.
func setContexts(ctx context.Context, names []string) work {
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

func BenchmarkRecord(b *testing.B) {
	tagged := func(b *testing.B, names []string) work {
		ctx, _, _ := newHub(b)
		return setTags(ctx, names)
	}
	tracked := func(b *testing.B, names []string) work {
		ctx, _, _ := newHub(b)
		return addFlags(ctx, names)
	}
	b.Run("same", func(b *testing.B) {
		names := flagNames(1)
		report(b, "xSetTag", tagged(b, names), tracked(b, names))
	})
	b.Run("50", func(b *testing.B) {
		names := flagNames(50)
		byHand, _, _ := newHub(b)
		each := measure(b, tagged(b, names), tracked(b, names), setContexts(byHand, names))
		b.ReportMetric(each[1]/each[0], "xSetTag")
		b.ReportMetric(each[2]/each[1], "xSetContext")
		b.ReportMetric(each[0], "ns/reference")
		b.ReportMetric(each[1], "ns/op")
	})
	b.Run("500", func(b *testing.B) {
		b.Cleanup(uncrowd)
		names := flagNames(500)
		report(b, "xSetTag", tagged(b, names), tracked(b, names))
	})
	b.Run("span", func(b *testing.B) {
		names := flagNames(10)
		ctx, _, _ := newHub(b)
		span := sentry.StartSpan(ctx, "job")
		report(b, "xSetTag", tagged(b, names), addFlags(span.Context(), names))
		runtime.KeepAlive(span)
	})
}

// uncrowd makes the process forget that it knows more names than a scope may show, for the benchmarks that follow.
func uncrowd() {
	names.count.Store(0)
}

func BenchmarkRecordShared(b *testing.B) {
	names := flagNames(50)
	tagged, _, _ := newHub(b)
	tracked, _, _ := newHub(b)
	report(b, "xSetTag",
		parallel(func() work { return setTags(tagged, names) }),
		parallel(func() work { return addFlags(tracked, names) }))
}

// parallel does its work on all processors at once, n times on each.
func parallel(start func() work) work {
	return func(n int) {
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() { start()(n) })
		}
		wg.Wait()
	}
}

func BenchmarkRequest(b *testing.B) {
	names := flagNames(10)
	_, root, _ := newHub(b)
	request := func(record func(ctx context.Context, name string)) work {
		return func(n int) {
			for range n {
				ctx := sentry.SetHubOnContext(context.Background(), root.Clone())
				for _, name := range names {
					record(ctx, name)
				}
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
	evaluate := func(client *openfeature.Client, ctx context.Context) work {
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
	capture := func(hub *sentry.Hub) work {
		return func(n int) {
			for range n {
				hub.CaptureException(err)
			}
		}
	}
	for _, flags := range []int{10, 100} {
		b.Run(fmt.Sprint(flags), func(b *testing.B) {
			_, bare, _ := newHub(b, transport)
			ctx, flagged, _ := newHub(b, transport)
			addFlags(ctx, flagNames(flags))(flags)
			report(b, "xBare", capture(bare), capture(flagged))
		})
	}
}
