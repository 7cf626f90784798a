package peers

import (
	"context"
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

	b.ReportAllocs()
	for b.Loop() {
		ours()
	}
	const calls = 500
	hook, peer := benchratio.Of(ours, noop, calls)-1, benchratio.Of(otel, noop, calls)-1
	b.ReportMetric(hook/peer, "xOTel")
	b.ReportMetric(1+hook, "xNoop")
	b.ReportMetric(1+peer, "xNoop/otel")
}

func evaluation(b *testing.B, domain string, ctx context.Context, hook openfeature.Hook) func() {
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
	return func() { client.Boolean(ctx, "new-checkout", false, user) }
}
