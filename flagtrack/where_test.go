package flagtrack

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
)

// pooled is a framework's own context, as gin's: values under string keys, none of the request's context, and used
// again for the next request.
type pooled struct {
	mu     sync.Mutex
	values map[string]any
	asked  int
}

func newPooled(hub *sentry.Hub) *pooled {
	return &pooled{values: map[string]any{"sentry": hub}}
}

func (p *pooled) Deadline() (time.Time, bool) { p.ask(); return time.Time{}, false }
func (p *pooled) Done() <-chan struct{}       { p.ask(); return nil }
func (p *pooled) Err() error                  { p.ask(); return nil }

func (p *pooled) ask() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
}

func (p *pooled) Value(key any) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	name, _ := key.(string)
	return p.values[name]
}

// serve hands the context to another request.
func (p *pooled) serve(hub *sentry.Hub) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values["sentry"] = hub
}

// TestHubOfAdapter: a framework's context has no hub of its own, but an adapter's under its key, root span included.
func TestHubOfAdapter(t *testing.T) {
	ctx, hub, held := newHub(t)
	span := sentry.StartTransaction(ctx, "request")
	c := newPooled(hub)
	AddFeatureFlag(c, "a", true)
	wantFlags(t, captured(t, hub, held), "a=T")
	if diff := cmp.Diff([]Value{{"a", true}}, Flags(c)); diff != "" {
		t.Errorf("Flags (-want +got):\n%s", diff)
	}
	span.Finish()
	wantAttributes(t, attributes(held.last(t)), map[string]any{"a": true})
	ClearFeatureFlags(c)
	wantFlags(t, captured(t, hub, held), "")
	// The context's own hub comes first, and what is no hub is no hub.
	_, other := forkHub(hub)
	AddFeatureFlag(sentry.SetHubOnContext(c, other), "b", true)
	wantFlags(t, captured(t, hub, held), "")
	wantFlags(t, captured(t, other, held), "b=T")
	c.values["sentry"] = "not a hub"
	AddFeatureFlag(c, "c", true)
	c.values["sentry"] = (*sentry.Hub)(nil)
	AddFeatureFlag(c, "c", true)
}

// TestLostContextHurtsNobody: an evaluation without a hub shows on no error, now or later, whoever's, but on the span
// that its context names.
func TestLostContextHurtsNobody(t *testing.T) {
	ctx, hub, held := newHub(t)
	span := sentry.StartTransaction(ctx, "request")
	before := Stats().NoHub
	for _, c := range []context.Context{nil, context.Background(), newPooled(nil), withSpanOnly{span}} {
		AddFeatureFlag(c, "lost", true)
	}
	if n := Stats().NoHub - before; n != 4 {
		t.Errorf("%d of 4 are counted", n)
	}
	wantFlags(t, captured(t, hub, held), "")
	_, next, nextHeld := newHub(t)
	wantFlags(t, captured(t, next, nextHeld), "")
	span.Finish()
	wantAttributes(t, attributes(held.last(t)), map[string]any{"lost": true})
}

// withSpanOnly is a context that has lost its hub and kept its span.
type withSpanOnly struct{ span *sentry.Span }

func (withSpanOnly) Deadline() (time.Time, bool) { return time.Time{}, false }
func (withSpanOnly) Done() <-chan struct{}       { return nil }
func (withSpanOnly) Err() error                  { return nil }
func (c withSpanOnly) Value(key any) any {
	if key == spanKey {
		return c.span
	}
	return nil
}

// TestNoHubIsSaidOnce, with what to do about it.
func TestNoHubIsSaidOnce(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	var text bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	saidNoHub.Store(false)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { AddFeatureFlag(context.Background(), "secret-project", true) })
	}
	wg.Wait()
	if n := strings.Count(text.String(), "\n"); n != 1 {
		t.Errorf("said %d times:\n%s", n, text.String())
	}
	for _, want := range []string{"WARN", "WithCurrentHub", "flagtrack.Fork", "flagtrack.Stats"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in: %s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "secret-project") {
		t.Errorf("it names the flag: %s", text.String())
	}
}

// reentrant is a log handler that asks for a flag itself.
type reentrant struct{ slog.Handler }

func (h reentrant) Handle(ctx context.Context, r slog.Record) error {
	AddFeatureFlag(ctx, "verbose-logs", true)
	return h.Handler.Handle(ctx, r)
}

// TestNoHubInALogHandler: a log handler that evaluates a flag itself does not wait for itself.
func TestNoHubInALogHandler(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(reentrant{slog.DiscardHandler}))
	saidNoHub.Store(false)
	AddFeatureFlag(context.Background(), "a", true)
	if !saidNoHub.Load() {
		t.Error("nothing was said")
	}
}

// TestFork: what a fork has, and that nothing passes afterwards in either direction.
func TestFork(t *testing.T) {
	ctx, hub, held := newHub(t)
	hub.Scope().SetTag("request", "1")
	span := sentry.StartTransaction(ctx, "request")
	user := openfeature.NewEvaluationContext("jane", map[string]any{"plan": "gold"})
	parent, cancel := context.WithCancel(openfeature.WithTransactionContext(span.Context(), user))
	AddFeatureFlag(parent, "before", true)
	fork := Fork(parent)
	cancel()
	if fork.Err() != nil || fork.Done() != nil {
		t.Error("the fork ends with its parent")
	}
	if sentry.SpanFromContext(fork) != span {
		t.Error("the fork has not the parent's span")
	}
	if diff := cmp.Diff(user, openfeature.TransactionContext(fork), cmp.AllowUnexported(user)); diff != "" {
		t.Errorf("OpenFeature's transaction context (-want +got):\n%s", diff)
	}
	AddFeatureFlag(parent, "parent", true)
	AddFeatureFlag(fork, "fork", true)
	wantFlags(t, captured(t, hub, held), "before=T parent=T")
	own := sentry.GetHubFromContext(fork)
	wantFlags(t, captured(t, own, held), "before=T fork=T")
	if held.last(t).Tags["request"] != "1" {
		t.Error("the fork lost the parent's scope")
	}
	child := sentry.StartSpan(fork, "step")
	AddFeatureFlag(child.Context(), "child", true)
	child.Finish()
	span.Finish()
	event := held.last(t)
	wantAttributes(t, attributes(event), map[string]any{"before": true, "parent": true, "fork": true})
	if len(event.Spans) != 1 {
		t.Fatal("a span that was started with the fork is no child of the request")
	}
	wantAttributes(t, flagAttributes(event.Spans[0].Data), map[string]any{"child": true})
}

// TestForkNeverAsksAgain: the parent may be used for the next request by now.
func TestForkNeverAsksAgain(t *testing.T) {
	_, first, held := newHub(t)
	_, second := forkHub(first)
	c := newPooled(first)
	fork := Fork(c)
	c.serve(second)
	asked := c.asked
	AddFeatureFlag(fork, "late", true)
	fork.Value("anything")
	_, _ = fork.Deadline()
	Fork(fork)
	if c.asked != asked {
		t.Error("the parent was asked again")
	}
	wantFlags(t, captured(t, first, held), "")
	wantFlags(t, captured(t, second, held), "")
	wantFlags(t, captured(t, sentry.GetHubFromContext(fork), held), "late=T")
	AddFeatureFlag(c, "kept", true) // the usual mistake, which nobody can tell from outside
	wantFlags(t, captured(t, second, held), "kept=T")
}

// TestForkOfNothing gives each job a hub of its own, and the process-wide scope nothing.
func TestForkOfNothing(t *testing.T) {
	var typedNil *deadContext
	for _, parent := range []context.Context{nil, context.Background(), typedNil, newPooled(nil)} {
		t.Run(fmt.Sprintf("%T", parent), func(t *testing.T) {
			one, two := Fork(parent), Fork(parent)
			AddFeatureFlag(one, "a", true)
			if got := Flags(one); len(got) != 1 {
				t.Errorf("the fork has %v", got)
			}
			if got := Flags(two); len(got) != 0 {
				t.Errorf("another fork has %v", got)
			}
			_, hub, held := newHub(t)
			wantFlags(t, captured(t, hub, held), "")
		})
	}
}

// TestProcessWideHubInAContext: who puts CurrentHub into each request's context, and has forgotten to clone it, shows
// nobody's flags on anybody's error.
func TestProcessWideHubInAContext(t *testing.T) {
	before := Stats().NoHub
	AddFeatureFlag(sentry.SetHubOnContext(t.Context(), sentry.CurrentHub()), "somebody-elses", true)
	if flags := Flags(sentry.SetHubOnContext(t.Context(), sentry.CurrentHub().Clone())); len(flags) != 0 {
		t.Errorf("the next request has %v", flags)
	}
	if n := Stats().NoHub - before; n != 1 {
		t.Errorf("%d of 1 are counted", n)
	}
}
