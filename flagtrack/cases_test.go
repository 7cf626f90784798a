package flagtrack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
)

func TestCapacityThree(t *testing.T) {
	tracker := mustNew(t, WithCapacity(3))
	ctx, hub, held := newHub(t)
	for _, step := range []struct{ add, want string }{
		{"a=T b=T c=T", "a=T b=T c=T"},
		{"d=F", "b=T c=T d=F"},
		{"e=F f=F", "d=F e=F f=F"},
		{"e=T e=F e=T", "d=F f=F e=T"},
		{"d=T", "f=F e=T d=T"},
	} {
		add(ctx, tracker, step.add)
		wantFlags(t, captured(t, hub, held), step.want)
	}
}

func TestCapacityHundred(t *testing.T) {
	ctx, hub, held := newHub(t)
	for i := range 100 {
		AddFeatureFlag(ctx, fmt.Sprint("feat", i+1), false)
	}
	AddFeatureFlag(ctx, "feat101", true)
	AddFeatureFlag(ctx, "feat3", true)
	want := []string{"feat2=F"}
	for i := 4; i <= 100; i++ {
		want = append(want, fmt.Sprintf("feat%d=F", i))
	}
	want = append(want, "feat101=T", "feat3=T")
	if len(want) != 100 {
		t.Fatal("the case itself is wrong")
	}
	wantFlags(t, captured(t, hub, held), strings.Join(want, " "))
}

func TestCapacityZeroIsOff(t *testing.T) {
	tracker := mustNew(t, WithCapacity(0))
	ctx, hub, held := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	add(span.Context(), tracker, "a=T")
	tracker.ClearFeatureFlags(ctx)
	wantFlags(t, captured(t, hub, held), "")
	span.Finish()
	if got := attributes(held.last(t)); len(got) != 0 {
		t.Errorf("the span shows %v", got)
	}
}

func TestNegativeCapacity(t *testing.T) {
	for _, opt := range []Option{WithCapacity(-1), WithMaxBytes(-1), WithCapacity(MaxCapacity + 1)} {
		tracker, err := New(opt)
		if !errors.Is(err, ErrInvalidOption) || tracker != nil {
			t.Errorf("New returned %v and %v", tracker, err)
		}
		if err == nil || !strings.Contains(err.Error(), "-1") && !strings.Contains(err.Error(), "1001") {
			t.Errorf("the error does not name the value: %v", err)
		}
	}
}

func TestNoFlagsNoKey(t *testing.T) {
	_, hub, held := newHub(t)
	wantFlags(t, captured(t, hub, held), "")
	if _, ok := held.last(t).Contexts["flags"]; ok {
		t.Error("contexts.flags is there")
	}
}

func TestTwoGoroutinesOnClones(t *testing.T) {
	ctx, root, held := newHub(t)
	AddFeatureFlag(ctx, "hello", false)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]string{}
	for _, flag := range []string{"world", "other"} {
		wg.Go(func() {
			ctx, hub := forkHub(root)
			AddFeatureFlag(ctx, flag, false)
			id := hub.CaptureMessage(flag)
			mu.Lock()
			defer mu.Unlock()
			for _, e := range held.all() {
				if e.EventID == *id {
					got[flag] = flagsOf(t, e)
				}
			}
		})
	}
	wg.Wait()
	wantFlags(t, got["world"], "hello=F world=F")
	wantFlags(t, got["other"], "hello=F other=F")
	wantFlags(t, captured(t, root, held), "hello=F")
}

func TestWithScope(t *testing.T) {
	ctx, hub, held := newHub(t)
	AddFeatureFlag(ctx, "shared", true)
	hub.WithScope(func(*sentry.Scope) {
		AddFeatureFlag(ctx, "forked", true)
		AddFeatureFlag(ctx, "shared", false)
		wantFlags(t, captured(t, hub, held), "forked=T shared=F")
	})
	AddFeatureFlag(ctx, "main", true)
	wantFlags(t, captured(t, hub, held), "shared=T main=T")
}

func TestParentRecordsAfterFork(t *testing.T) {
	ctx, root, held := newHub(t)
	AddFeatureFlag(ctx, "before", true)
	_, silent := forkHub(root)
	childCtx, child := forkHub(root)
	AddFeatureFlag(ctx, "after", true)
	AddFeatureFlag(ctx, "before", false)
	wantFlags(t, captured(t, silent, held), "before=T")
	AddFeatureFlag(childCtx, "own", true)
	wantFlags(t, captured(t, child, held), "before=T own=T")
}

func TestScopeClear(t *testing.T) {
	ctx, hub, held := newHub(t)
	AddFeatureFlag(ctx, "a", true)
	hub.Scope().Clear()
	wantFlags(t, captured(t, hub, held), "")
	AddFeatureFlag(ctx, "b", true)
	wantFlags(t, captured(t, hub, held), "b=T")
}

func TestClearFeatureFlags(t *testing.T) {
	ctx, root, held := newHub(t)
	AddFeatureFlag(ctx, "a", true)
	_, elder := forkHub(root)
	childCtx, child := forkHub(root)
	ClearFeatureFlags(childCtx)
	wantFlags(t, captured(t, child, held), "")
	_, grandchild := forkHub(child)
	wantFlags(t, captured(t, grandchild, held), "")
	AddFeatureFlag(childCtx, "b", false)
	AddFeatureFlag(childCtx, "a", false)
	wantFlags(t, captured(t, child, held), "b=F a=F")
	wantFlags(t, captured(t, root, held), "a=T")
	wantFlags(t, captured(t, elder, held), "a=T")
}

// TestEventOfTypeEvent: an error may name its type.
func TestEventOfTypeEvent(t *testing.T) {
	ctx, hub, held := newHub(t)
	AddFeatureFlag(ctx, "a", true)
	hub.CaptureEvent(&sentry.Event{Type: "event", Message: "error"})
	wantFlags(t, flagsOf(t, held.last(t)), "a=T")
}

func TestOwnFlagsContextWins(t *testing.T) {
	ctx, hub, held := newHub(t)
	AddFeatureFlag(ctx, "a", true)
	event := sentry.NewEvent()
	event.Message = "error"
	event.Contexts["flags"] = sentry.Context{"values": []Value{{Flag: "own", Result: true}}}
	hub.CaptureEvent(event)
	wantFlags(t, flagsOf(t, held.last(t)), "own=T")

	hub.Scope().SetContext("flags", sentry.Context{"values": []Value{{Flag: "scope", Result: true}}})
	wantFlags(t, captured(t, hub, held), "scope=T")
}

func TestSnapshotsNeverChange(t *testing.T) {
	ctx, hub, held := newHub(t)
	AddFeatureFlag(ctx, "a", true)
	hub.CaptureMessage("error")
	event := held.last(t)
	AddFeatureFlag(ctx, "a", false)
	AddFeatureFlag(ctx, "b", false)
	ClearFeatureFlags(ctx)
	hub.CaptureMessage("another")
	wantFlags(t, flagsOf(t, event), "a=T")
}

// TestSharedContexts: an application may use one map of contexts for all its events.
func TestSharedContexts(t *testing.T) {
	ctx, hub, held := newHub(t)
	shared := map[string]sentry.Context{"own": {"kept": true}}
	AddFeatureFlag(ctx, "a", true)
	hub.CaptureEvent(&sentry.Event{Message: "error", Contexts: shared})
	AddFeatureFlag(ctx, "a", false)
	hub.CaptureEvent(&sentry.Event{Message: "error", Contexts: shared})
	wantFlags(t, flagsOf(t, held.all()[0]), "a=T")
	wantFlags(t, flagsOf(t, held.all()[1]), "a=F")
	if held.last(t).Contexts["own"]["kept"] != true {
		t.Error("the event lost a context")
	}
}

func TestNeverInTheWay(t *testing.T) {
	panicking := mustNew(t, WithFilter(func(context.Context, Evaluation) (Evaluation, bool) { panic("filter") }))
	lost := mustNew(t, WithScopeFinder(func(context.Context) *sentry.Scope { panic("scope") }))
	none := mustNew(t, WithScopeFinder(func(context.Context) *sentry.Scope { return nil }))
	zero := mustNew(t, WithScopeFinder(func(context.Context) *sentry.Scope { return &sentry.Scope{} }))
	process := mustNew(t, WithCurrentHub())
	t.Cleanup(func() { process.ClearFeatureFlags(context.Background()) })
	off, _ := newClient(t, func(o *sentry.ClientOptions) { o.Dsn = "" })
	noScope := sentry.SetHubOnContext(context.Background(), sentry.NewHub(nil, nil))
	disabled := sentry.SetHubOnContext(context.Background(), sentry.NewHub(off, sentry.NewScope()))
	var typedNil *deadContext
	for _, ctx := range []context.Context{context.Background(), noScope, disabled, typedNil} {
		for _, tracker := range []*Tracker{nil, panicking, lost, none, zero, process, {}, mustNew(t)} {
			for _, v := range []any{true, "x", nil, []int{1}, func() {}, struct{}{}} {
				tracker.AddFeatureFlag(ctx, "flag", v)
				tracker.AddFeatureFlag(ctx, "", v)
			}
			tracker.Flags(ctx)
			tracker.ClearFeatureFlag(ctx, "flag")
			tracker.ClearFeatureFlags(ctx)
			Fork(ctx)
		}
	}
	process.AddFeatureFlag(nil, "flag", true) //nolint:staticcheck // a nil context is the case
	process.ClearFeatureFlags(nil)            //nolint:staticcheck // a nil context is the case
}

// deadContext panics when a typed nil of it is asked anything.
type deadContext struct{ deadline time.Time }

func (c *deadContext) Deadline() (time.Time, bool) { return c.deadline, true }
func (c *deadContext) Done() <-chan struct{}       { return nil }
func (c *deadContext) Err() error                  { return nil }
func (c *deadContext) Value(any) any               { return c.deadline }
