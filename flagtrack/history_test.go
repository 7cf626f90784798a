package flagtrack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
	"pgregory.net/rapid"
)

// model is what a scope should show: a list that is copied when the scope is forked.
type model []Value

func (m model) with(capacity int, v Value) model {
	m = slices.DeleteFunc(slices.Clone(m), func(w Value) bool { return w.Flag == v.Flag })
	m = append(m, v)
	return m[max(0, len(m)-capacity):]
}

func (m model) String() string {
	var list []string
	for _, v := range m {
		if v.Result {
			list = append(list, v.Flag+"=T")
		} else {
			list = append(list, v.Flag+"=F")
		}
	}
	return strings.Join(list, " ")
}

// modelHub is a hub and what each scope on its stack should show.
type modelHub struct {
	hub   *sentry.Hub
	stack []model
}

func (h *modelHub) context() context.Context {
	return sentry.SetHubOnContext(context.Background(), h.hub)
}

func (h *modelHub) top() *model { return &h.stack[len(h.stack)-1] }

// histories drives random histories over a growing family of hubs against the model.
func histories(t *rapid.T, tracker *Tracker, names int, parent *sentry.Hub, held *heldEvents) {
	root := &modelHub{hub: parent.Clone(), stack: []model{nil}}
	hubs := []*modelHub{root}
	pick := func(t *rapid.T) *modelHub { return hubs[rapid.IntRange(0, len(hubs)-1).Draw(t, "hub")] }
	record := func(h *modelHub, flag string, result bool) {
		tracker.AddFeatureFlag(h.context(), flag, result)
		*h.top() = h.top().with(tracker.capacity, Value{Flag: flag, Result: result})
	}
	check := func(t *rapid.T, h *modelHub) {
		h.hub.CaptureMessage("error")
		events := held.all()
		if got, want := flagsOfRapid(t, events[len(events)-1]), h.top().String(); got != want {
			t.Fatalf("flags are [%s], want [%s]", got, want)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"record": func(t *rapid.T) {
			record(pick(t), fmt.Sprint("f", rapid.IntRange(0, names-1).Draw(t, "flag")), rapid.Bool().Draw(t, "result"))
		},
		"record many": func(t *rapid.T) {
			h := pick(t)
			first := rapid.IntRange(0, names-1).Draw(t, "first")
			for i := range rapid.IntRange(1, 2*names).Draw(t, "count") {
				record(h, fmt.Sprint("f", (first+i)%names), i%3 == 0)
			}
		},
		"clone": func(t *rapid.T) {
			if len(hubs) == 12 {
				t.Skip("enough hubs")
			}
			h := pick(t)
			child := &modelHub{hub: h.hub.Clone(), stack: []model{*h.top()}}
			hubs = append(hubs, child)
		},
		"push": func(t *rapid.T) {
			h := pick(t)
			h.hub.PushScope()
			h.stack = append(h.stack, *h.top())
		},
		"pop": func(t *rapid.T) {
			h := pick(t)
			h.hub.PopScope()
			if len(h.stack) > 1 {
				h.stack = h.stack[:len(h.stack)-1]
			}
		},
		"with scope": func(t *rapid.T) {
			h := pick(t)
			flag := fmt.Sprint("f", rapid.IntRange(0, names-1).Draw(t, "flag"))
			h.stack = append(h.stack, *h.top())
			h.hub.WithScope(func(*sentry.Scope) {
				record(h, flag, true)
				check(t, h)
			})
			h.stack = h.stack[:len(h.stack)-1]
		},
		"scope clear": func(t *rapid.T) {
			h := pick(t)
			h.hub.Scope().Clear()
			*h.top() = nil
		},
		"clear flags": func(t *rapid.T) {
			h := pick(t)
			tracker.ClearFeatureFlags(h.context())
			*h.top() = nil
		},
		"sweep": func(t *rapid.T) {
			sweep(pick(t).hub.Scope())
		},
		"capture": func(t *rapid.T) { check(t, pick(t)) },
	})
	for _, h := range hubs {
		check(t, h)
	}
}

// flagsOfRapid is flagsOf without JSON, for speed.
func flagsOfRapid(t *rapid.T, event *sentry.Event) string {
	for key := range event.Tags {
		if strings.Contains(key, "\x00") {
			t.Fatalf("the tag %q was left behind", key)
		}
	}
	flags, ok := event.Contexts["flags"]
	if !ok {
		return ""
	}
	values := flags["values"].([]Value)
	if len(values) == 0 {
		t.Fatal("contexts.flags is there but empty")
	}
	return model(values).String()
}

func TestHistories(t *testing.T) {
	for _, c := range []struct{ capacity, names int }{{1, 3}, {3, 5}, {5, 40}, {100, 30}} {
		t.Run(fmt.Sprintf("capacity %d of %d names", c.capacity, c.names), func(t *testing.T) {
			tracker := mustNew(t, WithCapacity(c.capacity))
			_, hub, held := newHub(t)
			rapid.Check(t, func(t *rapid.T) {
				held.reset()
				histories(t, tracker, c.names, hub, held)
			})
		})
	}
}
