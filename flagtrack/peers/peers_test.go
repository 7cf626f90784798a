package peers

import (
	"context"
	"fmt"
	"testing"

	"github.com/getsentry/sentry-go"
	otelhook "github.com/open-feature/go-sdk-contrib/hooks/open-telemetry/pkg"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/internal/benchratio"
)

// BenchmarkPeers reports what our hook adds to an evaluation on a recording span, as a share of what OpenTelemetry's
// hook adds on a recording span of its own: xOTel, at most 0.25. The flags are evaluated one after the other, again and
// again. The most come last: from then on the process knows more names than a scope may show.
func BenchmarkPeers(b *testing.B) {
	for _, count := range []int{1, 10, 50, 100, 500} {
		b.Run(fmt.Sprintf("flags=%d", count), func(b *testing.B) { benchmarkPeers(b, count) })
	}
}

func benchmarkPeers(b *testing.B, count int) {
	noop := evaluations(b, "noop", context.Background(), openfeature.UnimplementedHook{}, count)

	client, err := sentry.NewClient(sentry.ClientOptions{
		EnableTracing: true, TracesSampleRate: 1, Transport: &sentry.MockTransport{},
	})
	if err != nil {
		b.Fatal(err)
	}
	hub := sentry.CurrentHub().Clone()
	hub.BindClient(client)
	span := sentry.StartSpan(sentry.SetHubOnContext(context.Background(), hub), "job")
	ours := evaluations(b, "ours", span.Context(), flagtrack.NewHook(), count)

	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	otelCtx, otelSpan := provider.Tracer("peers").Start(context.Background(), "job")
	defer otelSpan.End()
	otel := evaluations(b, "otel", otelCtx, otelhook.NewTracesHook(), count)

	b.ReportAllocs()
	for b.Loop() {
		ours()
	}
	const calls = 500
	hook, peer := benchratio.Of(ours, noop, calls)-1, benchratio.Of(otel, noop, calls)-1
	b.ReportMetric(hook/peer, "xOTel")
	b.ReportMetric(1+hook, "xNoop")
	b.ReportMetric(1+peer, "otel-xNoop")
}

// evaluations returns a function that evaluates one flag after the other.
func evaluations(b *testing.B, domain string, ctx context.Context, hook openfeature.Hook, count int) func() {
	b.Helper()
	flags := map[string]memprovider.InMemoryFlag{}
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("checkout.flag-%d", i)
		flags[names[i]] = memprovider.InMemoryFlag{
			State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true},
		}
	}
	domain = b.Name() + domain
	if err := openfeature.SetNamedProviderAndWait(domain, memprovider.NewInMemoryProvider(flags)); err != nil {
		b.Fatal(err)
	}
	client := openfeature.NewClient(domain)
	client.AddHooks(hook)
	user := openfeature.NewEvaluationContext("user-1", nil)
	next := 0
	return func() {
		client.Boolean(ctx, names[next], false, user)
		if next++; next == count {
			next = 0
		}
	}
}
