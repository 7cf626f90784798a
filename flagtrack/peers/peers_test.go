package peers

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	otelhook "github.com/open-feature/go-sdk-contrib/hooks/open-telemetry/pkg"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// BenchmarkPeers reports what our hook adds to an evaluation on a recording span, as a share of what OpenTelemetry's
// hook adds on a recording span of its own: xOTel, at most 0.25.
func BenchmarkPeers(b *testing.B) {
	noop := evaluation(b, "noop", context.Background(), openfeature.UnimplementedHook{})

	client, err := sentry.NewClient(sentry.ClientOptions{
		EnableTracing: true, TracesSampleRate: 1, Transport: &sentry.MockTransport{},
	})
	if err != nil {
		b.Fatal(err)
	}
	hub := sentry.CurrentHub().Clone()
	hub.BindClient(client)
	span := sentry.StartSpan(sentry.SetHubOnContext(context.Background(), hub), "job")
	ours := evaluation(b, "ours", span.Context(), flagtrack.NewHook())

	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	otelCtx, otelSpan := provider.Tracer("peers").Start(context.Background(), "job")
	defer otelSpan.End()
	otel := evaluation(b, "otel", otelCtx, otelhook.NewTracesHook())

	each := measure(b, noop, ours, otel)
	b.ReportMetric((each[1]-each[0])/(each[2]-each[0]), "xOTel")
	b.ReportMetric(each[1]-each[0], "ns/ours")
	b.ReportMetric(each[2]-each[0], "ns/otel")
	b.ReportMetric(each[0], "ns/reference")
}

func evaluation(b *testing.B, domain string, ctx context.Context, hook openfeature.Hook) func(n int) {
	b.Helper()
	err := openfeature.SetNamedProviderAndWait(domain, memprovider.NewInMemoryProvider(
		map[string]memprovider.InMemoryFlag{"new-checkout": {
			State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true},
		}}))
	if err != nil {
		b.Fatal(err)
	}
	client := openfeature.NewClient(domain)
	client.AddHooks(hook)
	user := openfeature.NewEvaluationContext("user-1", nil)
	return func(n int) {
		for range n {
			client.Boolean(ctx, "new-checkout", false, user)
		}
	}
}

// measure does all works in turns and returns the lower quartile of what one of each takes, in nanoseconds.
func measure(b *testing.B, works ...func(n int)) []float64 {
	b.Helper()
	const n = 500
	rounds := make([][]time.Duration, len(works))
	for b.Loop() {
		for range 10 {
			for i, w := range works {
				start := time.Now()
				w(n)
				rounds[i] = append(rounds[i], time.Since(start))
			}
		}
	}
	each := make([]float64, len(works))
	for i, times := range rounds {
		slices.Sort(times)
		each[i] = float64(times[len(times)/4]) / n
	}
	return each
}
