package flagtrack

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
)

// ratio runs reference and subject in turns and reports how many times as long the subject takes. Each gets its best
// of many short rounds, so that a busy machine disturbs the two alike.
func ratio(b *testing.B, metric string, reference, subject func(n int)) (ref, sub time.Duration) {
	b.Helper()
	const rounds = 30
	n := 1
	for timed(subject, n)+timed(reference, n) < 2*time.Millisecond {
		n *= 2
	}
	var refs, subs []time.Duration
	for b.Loop() {
		refs, subs = refs[:0], subs[:0]
		for range rounds {
			refs = append(refs, timed(reference, n))
			subs = append(subs, timed(subject, n))
		}
	}
	slices.Sort(refs)
	slices.Sort(subs)
	ref, sub = refs[rounds/4]/time.Duration(n), subs[rounds/4]/time.Duration(n)
	b.ReportMetric(float64(subs[rounds/4])/float64(refs[rounds/4]), metric)
	b.ReportMetric(float64(subs[rounds/4])/float64(n), "ns/record")
	b.ReportMetric(float64(refs[rounds/4])/float64(n), "ns/reference")
	b.ReportMetric(0, "ns/op")
	return ref, sub
}

func timed(f func(n int), n int) time.Duration {
	start := time.Now()
	f(n)
	return time.Since(start)
}

func flagNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("checkout.flag-%d", i)
	}
	return names
}

func setTags(ctx context.Context, names []string) func(int) {
	i := 0
	return func(n int) {
		for range n {
			sentry.GetHubFromContext(ctx).Scope().SetTag(names[i], "true")
			if i++; i == len(names) {
				i = 0
			}
		}
	}
}

func addFlags(ctx context.Context, names []string) func(int) {
	i := 0
	return func(n int) {
		for range n {
			AddFeatureFlag(ctx, names[i], i%2 == 0)
			if i++; i == len(names) {
				i = 0
			}
		}
	}
}

func setContexts(ctx context.Context, names []string) func(int) {
	i := 0
	var list []Value
	return func(n int) {
		for range n {
			name := names[i]
			list = slices.DeleteFunc(slices.Clone(list), func(v Value) bool { return v.Flag == name })
			list = append(list, Value{Flag: name, Result: true})
			values := make([]map[string]any, len(list))
			for j, v := range list {
				values[j] = map[string]any{"flag": v.Flag, "result": v.Result}
			}
			sentry.GetHubFromContext(ctx).Scope().SetContext("flags", sentry.Context{"values": values})
			if i++; i == len(names) {
				i = 0
			}
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name  string
		flags int
	}{{"same", 1}, {"50", 50}, {"500", 500}} {
		b.Run(c.name, func(b *testing.B) {
			names := flagNames(c.flags)
			reference, _, _ := newHub(b)
			subject, _, _ := newHub(b)
			ratio(b, "xSetTag", setTags(reference, names), addFlags(subject, names))
		})
	}
}
