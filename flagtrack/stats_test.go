package flagtrack

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
	"github.com/google/go-cmp/cmp"
)

// since returns what was left out since before.
func since(before LeftOut) LeftOut {
	now := Stats()
	return LeftOut{
		NoHub:        now.NoHub - before.NoHub,
		Unprepared:   now.Unprepared - before.Unprepared,
		NotBoolean:   now.NotBoolean - before.NotBoolean,
		Filtered:     now.Filtered - before.Filtered,
		Unnamed:      now.Unnamed - before.Unnamed,
		Panicked:     now.Panicked - before.Panicked,
		OverCapacity: now.OverCapacity - before.OverCapacity,
		OverBytes:    now.OverBytes - before.OverBytes,
		OverSpan:     now.OverSpan - before.OverSpan,
		OwnFlags:     now.OwnFlags - before.OwnFlags,
		Unswept:      now.Unswept - before.Unswept,
	}
}

// TestStats: each cause is counted once, and nothing else with it.
func TestStats(t *testing.T) {
	ctx, hub, held := newHub(t)
	filter := WithFilter(func(_ context.Context, e Evaluation) (Evaluation, bool) {
		if e.Flag == "panic" {
			panic("filter")
		}
		return e, e.Flag != "private"
	})
	for name, c := range map[string]struct {
		opts []Option
		do   func(tracker *Tracker)
		want LeftOut
	}{
		"recorded":     {nil, func(tr *Tracker) { add(ctx, tr, "a=T b=F"); captured(t, hub, held) }, LeftOut{}},
		"switched off": {[]Option{WithCapacity(0)}, func(tr *Tracker) { tr.AddFeatureFlag(ctx, "", 1) }, LeftOut{}},
		"no hub":       {nil, func(tr *Tracker) { add(context.Background(), tr, "a=T") }, LeftOut{NoHub: 1}},
		"no scope": {nil, func(tr *Tracker) {
			add(sentry.SetHubOnContext(ctx, sentry.NewHub(nil, nil)), tr, "a=T")
		}, LeftOut{NoHub: 1}},
		"not boolean": {nil, func(tr *Tracker) { tr.AddFeatureFlag(ctx, "a", "x") }, LeftOut{NotBoolean: 1}},
		"without a text": {
			[]Option{WithAllValues()},
			func(tr *Tracker) { tr.AddFeatureFlag(ctx, "a", []int{1}) },
			LeftOut{NotBoolean: 1},
		},
		"filtered": {[]Option{filter}, func(tr *Tracker) { add(ctx, tr, "private=T a=T") }, LeftOut{Filtered: 1}},
		"panicked": {[]Option{filter}, func(tr *Tracker) { add(ctx, tr, "panic=T a=T") }, LeftOut{Panicked: 1}},
		"unnamed":  {nil, func(tr *Tracker) { tr.AddFeatureFlag(ctx, "", true) }, LeftOut{Unnamed: 1}},
		"over capacity": {[]Option{WithCapacity(3)}, func(tr *Tracker) {
			add(ctx, tr, "a=T b=T c=T d=T e=T")
			captured(t, hub, held)
			tr.Flags(ctx) // looks only
		}, LeftOut{OverCapacity: 2}},
		"over bytes": {[]Option{WithMaxBytes(50)}, func(tr *Tracker) {
			add(ctx, tr, "a=T b=T c=T")
			captured(t, hub, held)
		}, LeftOut{OverBytes: 2}},
		"over the span": {nil, func(tr *Tracker) {
			span := sentry.StartSpan(ctx, "job")
			for i := range 12 {
				tr.AddFeatureFlag(span.Context(), fmt.Sprint(i), true)
			}
			span.Finish()
		}, LeftOut{OverSpan: 2}},
		"own flags": {nil, func(tr *Tracker) {
			add(ctx, tr, "a=T")
			hub.WithScope(func(scope *sentry.Scope) {
				scope.SetContext("flags", sentry.Context{"country": "nl"})
				hub.CaptureMessage("about flags of countries")
			})
		}, LeftOut{OwnFlags: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			hub.Scope().Clear()
			hub.Scope().SetSpan(nil)
			tracker := mustNew(t, c.opts...)
			before := Stats()
			c.do(tracker)
			if diff := cmp.Diff(c.want, since(before)); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFlags reads what an error would show, and changes nothing.
func TestFlags(t *testing.T) {
	tracker := mustNew(t, WithCapacity(3), WithAllValues())
	ctx, hub, held := newHub(t)
	if got := tracker.Flags(ctx); got != nil {
		t.Errorf("without flags: %v", got)
	}
	add(ctx, tracker, "a=T b=F c=T")
	tracker.AddFeatureFlag(ctx, "theme", "dark")
	want := []Value{{"b", false}, {"c", true}, {"theme:dark", true}}
	for range 2 {
		if diff := cmp.Diff(want, tracker.Flags(ctx)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	wantFlags(t, captured(t, hub, held), "b=F c=T theme:dark=T")
	if got := tracker.Flags(context.Background()); got != nil {
		t.Errorf("without a hub: %v", got)
	}
	tracker.ClearFeatureFlags(ctx)
	if got := tracker.Flags(ctx); len(got) != 0 {
		t.Errorf("after clearing: %v", got)
	}
}

// TestClearFeatureFlag forgets one flag, whoever recorded it, in the current scope only.
func TestClearFeatureFlag(t *testing.T) {
	ctx, root, held := newHub(t)
	add(ctx, Default(), "a=T my/flag=T b=T")
	add(ctx, mustNew(t, WithCapacity(7)), "a=F")
	childCtx, child := forkHub(root)
	ClearFeatureFlag(childCtx, "a")
	ClearFeatureFlag(childCtx, "my/flag")
	ClearFeatureFlag(childCtx, "never recorded")
	ClearFeatureFlag(childCtx, "")
	wantFlags(t, captured(t, child, held), "b=T")
	if got := captured(t, root, held); !strings.HasSuffix(got, "b=T a=F") || !strings.HasPrefix(got, "my_flag-") {
		t.Errorf("the parent shows [%s]", got)
	}
}
