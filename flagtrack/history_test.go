package flagtrack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
	"pgregory.net/rapid"
)

// modelFlag is a flag and the capacity of the tracker that recorded it.
type modelFlag struct {
	Value
	capacity int
}

// model is what a scope holds, oldest first: a list that is copied when the scope is forked.
type model []modelFlag

func (m model) with(v modelFlag) model { return append(m.without(v.Flag), v) }

func (m model) without(flag string) model {
	return slices.DeleteFunc(slices.Clone(m), func(w modelFlag) bool { return w.Flag == flag })
}

// fits reports whether got is what an event shows: as many as the tracker that recorded last allows, in order. Only
// flags beyond the capacity of the tracker that recorded them may be missing, if that is another one.
func (m model) fits(got []Value) bool {
	if len(m) == 0 || len(got) > m[len(m)-1].capacity {
		return len(got) == 0
	}
	for rank := range m {
		v := m[len(m)-1-rank]
		if n := len(got); n > 0 && got[n-1] == v.Value {
			got = got[:n-1]
		} else if rank < min(m[len(m)-1].capacity, v.capacity) {
			return false
		}
	}
	return len(got) == 0
}

// values are all flags, for messages.
func (m model) values() (list []Value) {
	for _, v := range m {
		list = append(list, v.Value)
	}
	return list
}

func textOf(values []Value) string {
	var list []string
	for _, v := range values {
		if v.Result {
			list = append(list, v.Flag+"=T")
		} else {
			list = append(list, v.Flag+"=F")
		}
	}
	return strings.Join(list, " ")
}

// modelHub is a hub and what each scope on its stack holds.
type modelHub struct {
	hub   *sentry.Hub
	stack []model
}

func (h *modelHub) context() context.Context {
	return sentry.SetHubOnContext(context.Background(), h.hub)
}

func (h *modelHub) top() *model { return &h.stack[len(h.stack)-1] }

// modelSpan is a span, what it should show, and what was sent of it.
type modelSpan struct {
	span     *sentry.Span
	hub      *modelHub
	parent   *modelSpan
	want     map[string]any
	finished bool
	sent     map[string]any // nil unless it was sent
}

func (s *modelSpan) record(v Value) {
	if _, known := s.want[v.Flag]; !s.finished && (known || len(s.want) < 10) {
		s.want[v.Flag] = v.Result
	}
}

// world is a growing family of hubs and spans.
type world struct {
	trackers []*Tracker
	names    int
	held     *heldEvents
	hubs     []*modelHub
	spans    []*modelSpan
}

func newWorld(trackers []*Tracker, names int, parent *sentry.Hub, held *heldEvents) *world {
	held.reset()
	return &world{trackers: trackers, names: names, held: held, hubs: []*modelHub{
		{hub: parent.Clone(), stack: []model{nil}},
		{hub: sentry.NewHub(parent.Client(), sentry.NewScope()), stack: []model{nil}}, // by hand, and not prepared
	}}
}

func (w *world) hub(t *rapid.T) *modelHub { return rapid.SampledFrom(w.hubs).Draw(t, "hub") }

func (w *world) span(t *rapid.T) *modelSpan {
	if len(w.spans) == 0 {
		t.Skip("no span")
	}
	return rapid.SampledFrom(w.spans).Draw(t, "span")
}

func (w *world) flag(t *rapid.T) string {
	return fmt.Sprint("f", rapid.IntRange(0, w.names-1).Draw(t, "flag"))
}

// record evaluates flag in a context of h, and on the span that the context or else the scope names.
func (w *world) record(t *rapid.T, h *modelHub, ctx context.Context, flag string, result bool) {
	tracker := rapid.SampledFrom(w.trackers).Draw(t, "tracker")
	v := Value{Flag: flag, Result: result}
	active := sentry.SpanFromContext(ctx)
	if active == nil {
		active = h.hub.Scope().GetSpan()
	}
	tracker.AddFeatureFlag(ctx, flag, result)
	*h.top() = h.top().with(modelFlag{v, tracker.capacity})
	for _, s := range w.spans {
		if s.span == active {
			s.record(v)
		}
	}
}

func (w *world) check(t *rapid.T, h *modelHub) {
	if got := w.trackers[0].Flags(h.context()); !h.top().fits(got) {
		t.Fatalf("Flags are [%s], recorded were [%s]", textOf(got), textOf(h.top().values()))
	}
	h.hub.CaptureMessage("error")
	events := w.held.all()
	if got := valuesOf(t, events[len(events)-1]); !h.top().fits(got) {
		t.Fatalf("flags are [%s], recorded were [%s]", textOf(got), textOf(h.top().values()))
	}
}

// checkSpans compares what was sent of each span, now and whatever happened since.
func (w *world) checkSpans(t *rapid.T) {
	for _, s := range w.spans {
		if s.sent != nil && !maps.Equal(flagAttributes(s.sent), s.want) {
			t.Fatalf("a span shows %v, want %v", flagAttributes(s.sent), s.want)
		}
	}
}

func (w *world) start(h *modelHub, parent *modelSpan) {
	s := &modelSpan{hub: h, parent: parent, want: map[string]any{}}
	if parent == nil {
		s.span = sentry.StartTransaction(h.context(), "job")
	} else {
		s.span = parent.span.StartChild("step")
	}
	w.spans = append(w.spans, s)
}

func (w *world) finish(s *modelSpan) {
	if s.finished {
		return
	}
	s.finished = true
	s.span.Finish()
	if s.parent != nil {
		return
	}
	events := w.held.all()
	event := events[len(events)-1]
	s.sent, _ = event.Contexts["trace"]["data"].(map[string]any)
	for _, child := range w.spans {
		if slices.Contains(event.Spans, child.span) {
			child.sent = child.span.Data
		}
	}
}

// actions are what can happen. Clearing one flag makes room for an older one only if no sweep has removed it, so it
// goes with names that all fit.
func (w *world) actions(clearOne bool) map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"record": func(t *rapid.T) {
			h := w.hub(t)
			w.record(t, h, h.context(), w.flag(t), rapid.Bool().Draw(t, "result"))
		},
		"record many": func(t *rapid.T) {
			h := w.hub(t)
			first := rapid.IntRange(0, w.names-1).Draw(t, "first")
			for i := range rapid.IntRange(1, 2*w.names).Draw(t, "count") {
				w.record(t, h, h.context(), fmt.Sprint("f", (first+i)%w.names), i%3 == 0)
			}
		},
		"clone": func(t *rapid.T) {
			if len(w.hubs) == 12 {
				t.Skip("enough hubs")
			}
			h := w.hub(t)
			w.hubs = append(w.hubs, &modelHub{hub: h.hub.Clone(), stack: []model{*h.top()}})
		},
		"fork": func(t *rapid.T) {
			if len(w.hubs) == 12 {
				t.Skip("enough hubs")
			}
			h := w.hub(t)
			hub := sentry.GetHubFromContext(Fork(newPooled(h.hub)))
			w.hubs = append(w.hubs, &modelHub{hub: hub, stack: []model{*h.top()}})
		},
		"push": func(t *rapid.T) {
			h := w.hub(t)
			h.hub.PushScope()
			h.stack = append(h.stack, *h.top())
		},
		"pop": func(t *rapid.T) {
			h := w.hub(t)
			h.hub.PopScope()
			if len(h.stack) > 1 {
				h.stack = h.stack[:len(h.stack)-1]
			}
		},
		"with scope": func(t *rapid.T) {
			h := w.hub(t)
			flag := w.flag(t)
			h.stack = append(h.stack, *h.top())
			h.hub.WithScope(func(*sentry.Scope) {
				w.record(t, h, h.context(), flag, true)
				w.check(t, h)
			})
			h.stack = h.stack[:len(h.stack)-1]
		},
		"scope clear": func(t *rapid.T) {
			h := w.hub(t)
			h.hub.Scope().Clear()
			*h.top() = nil
		},
		"clear flags": func(t *rapid.T) {
			h := w.hub(t)
			rapid.SampledFrom(w.trackers).Draw(t, "tracker").ClearFeatureFlags(h.context())
			*h.top() = nil
		},
		"sweep":   func(t *rapid.T) { sweep(w.hub(t).hub.Scope()) },
		"capture": func(t *rapid.T) { w.check(t, w.hub(t)) },
		"start transaction": func(t *rapid.T) {
			if len(w.spans) < 8 {
				w.start(w.hub(t), nil)
			}
		},
		"start child": func(t *rapid.T) {
			if len(w.spans) < 8 {
				parent := w.span(t)
				w.start(parent.hub, parent)
			}
		},
		"record on span": func(t *rapid.T) { // which may be finished by now
			s := w.span(t)
			for range rapid.IntRange(1, 12).Draw(t, "count") {
				w.record(t, s.hub, s.span.Context(), w.flag(t), rapid.Bool().Draw(t, "result"))
			}
		},
		"finish span": func(t *rapid.T) {
			w.finish(w.span(t))
			w.checkSpans(t)
		},
	}
	if clearOne {
		actions["clear flag"] = func(t *rapid.T) {
			h, flag := w.hub(t), w.flag(t)
			w.trackers[0].ClearFeatureFlag(h.context(), flag)
			*h.top() = h.top().without(flag)
		}
	}
	return actions
}

// valuesOf is flagsOf without JSON, for speed.
func valuesOf(t *rapid.T, event *sentry.Event) []Value {
	for key := range event.Tags {
		if strings.Contains(key, "\x00") {
			t.Fatalf("the tag %q was left behind", key)
		}
	}
	flags, ok := event.Contexts["flags"]
	if !ok {
		return nil
	}
	values := flags["values"].([]Value)
	if len(values) == 0 {
		t.Fatal("contexts.flags is there but empty")
	}
	return values
}

// TestHistories drives random histories against the model.
func TestHistories(t *testing.T) {
	for _, c := range []struct {
		names      int
		capacities []int
	}{{3, []int{1}}, {5, []int{3}}, {40, []int{5, 5}}, {40, []int{5, 20}}, {7, []int{2, 5}}, {30, []int{100, 30}}} {
		t.Run(fmt.Sprintf("%d names, capacities %d", c.names, c.capacities), func(t *testing.T) {
			var trackers []*Tracker
			for i, capacity := range c.capacities {
				trackers = append(trackers, mustNew(t, WithCapacity(capacity), WithMaxBytes(8000+i)))
			}
			_, hub, held := newHub(t)
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(trackers, c.names, hub, held)
				t.Repeat(w.actions(slices.Min(c.capacities) >= c.names))
				for _, h := range w.hubs {
					w.check(t, h)
				}
				w.checkSpans(t)
			})
		})
	}
}
