package flagtracktest_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/getsentry/sentry-go"
	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checkout is the code under test.
func checkout(ctx context.Context) {
	flagtrack.AddFeatureFlag(ctx, "new-checkout", true)
	sentry.GetHubFromContext(ctx).CaptureException(errors.New("payment declined"))
}

func TestErrorCarriesFlag(t *testing.T) {
	ctx, sent := flagtracktest.New(t)
	checkout(ctx)
	got := flagtracktest.Flags(sent.Last())
	if want := []flagtrack.Value{{Flag: "new-checkout", Result: true}}; !slices.Equal(got, want) {
		t.Errorf("the error carries %v", got)
	}
}

func TestSpansCarryFlags(t *testing.T) {
	ctx, sent := flagtracktest.New(t)
	transaction := sentry.StartTransaction(ctx, "request")
	transaction.SetData("flag.evaluation.odd", "not a flag")
	child := transaction.StartChild("step")
	flagtrack.AddFeatureFlag(transaction.Context(), "b", true)
	flagtrack.AddFeatureFlag(transaction.Context(), "a", false)
	flagtrack.AddFeatureFlag(child.Context(), "c", true)
	sentry.GetHubFromContext(ctx).CaptureMessage("an error, before the end of its transaction")
	child.Finish()
	transaction.Finish()
	if got := flagtracktest.Flags(sent.Last()); len(got) != 3 {
		t.Errorf("the error carries %v", got)
	}
	root := sent.Events()[1]
	if got := flagtracktest.Flags(root); !slices.Equal(got, []flagtrack.Value{{Flag: "a"}, {Flag: "b", Result: true}}) {
		t.Errorf("the root span carries %v", got)
	}
	if got := flagtracktest.SpanFlags(root.Spans[0]); !slices.Equal(got, []flagtrack.Value{{Flag: "c", Result: true}}) {
		t.Errorf("the child carries %v", got)
	}
}

// An application may say itself what is the default.
func TestLastOfTypeEvent(t *testing.T) {
	ctx, sent := flagtracktest.New(t)
	flagtrack.AddFeatureFlag(ctx, "a", true)
	sentry.GetHubFromContext(ctx).CaptureEvent(&sentry.Event{Type: "event", Message: "made by hand"})
	if got := flagtracktest.Flags(sent.Last()); !slices.Equal(got, []flagtrack.Value{{Flag: "a", Result: true}}) {
		t.Errorf("it carries %v", got)
	}
}

// TestFlagsThroughJSON: a BeforeSend may take contexts.flags through JSON.
func TestFlagsThroughJSON(t *testing.T) {
	event := &sentry.Event{Contexts: map[string]sentry.Context{"flags": {"values": []any{
		map[string]any{"flag": "a", "result": true}, map[string]any{"flag": "b", "result": false}, "odd", map[string]any{"flag": "c"},
	}}}}
	if got := flagtracktest.Flags(event); !slices.Equal(got, []flagtrack.Value{{Flag: "a", Result: true}, {Flag: "b"}}) {
		t.Errorf("it carries %v", got)
	}
}

func TestNothingCarriesNothing(t *testing.T) {
	ctx, sent := flagtracktest.New(t)
	if got := flagtracktest.Flags(sent.Last()); got != nil {
		t.Errorf("no event carries %v", got)
	}
	if got := flagtracktest.SpanFlags(nil); got != nil {
		t.Errorf("no span carries %v", got)
	}
	sentry.GetHubFromContext(ctx).CaptureMessage("no flags")
	if got := flagtracktest.Flags(sent.Last()); got != nil {
		t.Errorf("an event without flags carries %v", got)
	}
	sentry.GetHubFromContext(ctx).CaptureMessage("another")
	if n := len(sent.Events()); n != 2 {
		t.Errorf("%d events were kept", n)
	}
	sent.Reset()
	if n := len(sent.Events()); n != 0 {
		t.Errorf("%d events are left after Reset", n)
	}
}

// TestContextsAreApart: two tests do not see each other's flags, and leave none in the process-wide scope.
func TestContextsAreApart(t *testing.T) {
	one, _ := flagtracktest.New(t)
	two, sent := flagtracktest.New(t)
	flagtrack.AddFeatureFlag(one, "one", true)
	sentry.GetHubFromContext(two).CaptureMessage("error")
	if got := flagtracktest.Flags(sent.Last()); got != nil {
		t.Errorf("the other test's error carries %v", got)
	}
	if got := flagtrack.Flags(flagtrack.Fork(t.Context())); len(got) != 0 {
		t.Errorf("the process-wide scope has %v", got)
	}
}
