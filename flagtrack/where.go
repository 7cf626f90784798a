package flagtrack

import (
	"context"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/open-feature/go-sdk/openfeature"
)

// adapterKey is where sentry-go's adapters keep the request's hub in the framework's own context.
const adapterKey = "sentry"

// hubOf returns the hub that ctx carries, or nil: its own, or else that of an adapter. This is all that knows how a
// context leads to a scope. The process-wide hub is nobody's own, also in a context: whoever put it there has forgotten
// to clone it.
func hubOf(ctx context.Context) *sentry.Hub {
	if ctx == nil {
		return nil
	}
	hub := sentry.GetHubFromContext(ctx)
	if hub == nil {
		hub, _ = ctx.Value(adapterKey).(*sentry.Hub)
	}
	if hub == sentry.CurrentHub() {
		return nil
	}
	return hub
}

// activeSpan returns the span that an evaluation belongs to: the context's, which tells parallel children apart, and
// else the scope's.
func activeSpan(ctx context.Context, scope *sentry.Scope) *sentry.Span {
	if ctx != nil {
		if span := sentry.SpanFromContext(ctx); span != nil {
			return span
		}
	}
	if scope != nil {
		return scope.GetSpan()
	}
	return nil
}

// Fork returns a context for a goroutine or a job that goes on beside or beyond the request of ctx. It has a hub of
// its own, whose scope starts with what the scope of ctx has at this moment, flags included, and the active span of
// ctx; from then on nothing passes in either direction. Capture with that hub:
//
//	ctx := flagtrack.Fork(c)
//	go func() {
//		client.Boolean(ctx, "new-mailer", false, user)
//		sentry.GetHubFromContext(ctx).CaptureException(err)
//	}()
//
// Call it before the goroutine starts. Frameworks like gin and fasthttp use their contexts again: kept beyond its
// request, such a context leads to the next user's scope, so a fork never asks its parent again. It has neither its
// deadline and cancellation nor its values, but for OpenFeature's transaction context, without which flags would be
// evaluated otherwise. Add what the job needs, with context.WithTimeout, say, or with OpenTelemetry, so that its errors
// stay in the trace: trace.ContextWithSpanContext(flagtrack.Fork(ctx), trace.SpanContextFromContext(ctx)).
//
// A fork of a context without a hub has a clone of sentry.CurrentHub. So a worker that does several jobs at a time
// gives each its own flags with flagtrack.Fork(ctx).
func Fork(ctx context.Context) context.Context {
	pinned := pin(ctx)
	fork := sentry.SetHubOnContext(context.Background(), pinned.hub)
	if pinned.span != nil && spanKey != nil {
		fork = context.WithValue(fork, spanKey, pinned.span)
	}
	if pinned.hasUser {
		fork = openfeature.WithTransactionContext(fork, pinned.user)
	}
	return fork
}

// pins are what a fork takes from its parent.
type pins struct {
	hub     *sentry.Hub
	span    *sentry.Span
	user    openfeature.EvaluationContext
	hasUser bool
}

// pin asks ctx for everything at once. Should it panic, as a typed nil may, the fork is one of no context.
func pin(ctx context.Context) (p pins) {
	defer func() {
		if recover() != nil {
			left.panicked.Add(1)
			p = pins{}
		}
		if p.hub == nil {
			p.hub = sentry.CurrentHub().Clone()
		}
	}()
	if hub := hubOf(ctx); hub != nil {
		p.hub = hub.Clone()
		p.span = activeSpan(ctx, hub.Scope())
	} else if ctx != nil {
		p.span = sentry.SpanFromContext(ctx)
	}
	if ctx != nil {
		p.user = openfeature.TransactionContext(ctx)
		p.hasUser = p.user.TargetingKey() != "" || len(p.user.Attributes()) > 0
	}
	return p
}

// spanKey is the key under which sentry-go keeps the span in a context, which it does not export: what
// SpanFromContext asks a context for. Were it to ask for nothing one day, forks would go without a span.
var spanKey = func() any {
	var asked keyRecorder
	sentry.SpanFromContext(&asked)
	return asked.key
}()

// keyRecorder is a context that remembers what it was asked for.
type keyRecorder struct{ key any }

func (*keyRecorder) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*keyRecorder) Done() <-chan struct{}       { return nil }
func (*keyRecorder) Err() error                  { return nil }
func (r *keyRecorder) Value(key any) any {
	r.key = key
	return nil
}
