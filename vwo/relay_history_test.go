package vwo_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
	"pgregory.net/rapid"
)

// TestHistories draws histories of alerts, outages, lost turns, restarts and
// time, and holds the relay to what it promises whatever the order:
//
//   - a body acts at most once, and only if it is new and recent;
//   - what was answered 2xx as acting is switched, or reported as not switched;
//   - nothing is switched that was not asked for, and nothing after MaxAge;
//   - each switch has one record, again and again the same.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{
			"alert", "alert", "alert", "repeat", "resolved", "old", "forged", "down", "up", "turns lost", "turns kept", "second", "minutes", "restart",
		}), 1, 40).Draw(rt, "steps")
		durable := rapid.Bool().Draw(rt, "durable")
		picks := rapid.SliceOfN(rapid.IntRange(0, 2), len(steps), len(steps)).Draw(rt, "flags")
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = playHistory(t, steps, picks, durable) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

type history struct {
	flags    switches
	recorded records
	heard    reports
	decided  decisions
	down     atomic.Bool
	lose     atomic.Bool
	relay    *vwo.Relay
	config   vwo.RelayConfig

	bodies   [][]byte
	accepted map[string]int // by flag, how many alerts acted
	problem  string
}

const historyMaxAge = 5 * time.Minute

func playHistory(t *testing.T, steps []string, picks []int, durable bool) string {
	h := &history{accepted: map[string]int{}}
	h.flags.fail = func(context.Context, int) error {
		if h.down.Load() {
			return errDown
		}
		return nil
	}
	h.config = vwo.RelayConfig{
		Rules: ruled("a", "b", "c"), Toggler: &h.flags, Emitter: &h.recorded, OnReport: h.heard.add, OnDecision: h.decided.add,
		CoolDown: -1, CapPerHour: -1, MaxAge: historyMaxAge,
	}
	if durable {
		h.config.Store = forgetfulStore{newMemoryStore(t), func() bool { return h.lose.Load() }}
	}
	h.relay = newRelay(t, h.config)
	for i, step := range steps {
		h.step(t, step, []string{"a", "b", "c"}[picks[i]])
		if h.problem != "" {
			return fmt.Sprintf("step %d (%s): %s", i, step, h.problem)
		}
	}
	// In the end everything works, and everything is done.
	h.down.Store(false)
	h.lose.Store(false)
	time.Sleep(2 * historyMaxAge)
	return h.verdict()
}

func (h *history) step(t *testing.T, step, flag string) {
	switch step {
	case "alert":
		body := eventAlert(flag, time.Now())
		h.bodies = append(h.bodies, body)
		if status := deliver(h.relay, signed(body)); status/100 != 2 || h.decided.last().Verdict != vwo.Acted {
			h.problem = fmt.Sprintf("a good alert was answered %d: %+v", status, h.decided.last())
		}
		h.accepted[flag]++
	case "repeat":
		if len(h.bodies) > 0 {
			h.ignored(h.bodies[len(h.bodies)-1], 200)
		}
	case "resolved":
		h.ignored(metricAlert(flag, "resolved", time.Now()), 200)
	case "old":
		h.ignored(eventAlert(flag, time.Now().Add(-historyMaxAge-time.Second)), 200)
	case "forged":
		r := signed(eventAlert(flag, time.Now()))
		r.Header.Set("Sentry-Hook-Signature", flipHex(r.Header.Get("Sentry-Hook-Signature")))
		if status := deliver(h.relay, r); status != 401 {
			h.problem = fmt.Sprintf("a forged alert was answered %d", status)
		}
	case "down", "up":
		h.down.Store(step == "down")
	case "turns lost", "turns kept":
		h.lose.Store(step == "turns lost")
	case "second":
		time.Sleep(time.Second)
	case "minutes":
		time.Sleep(2 * time.Minute)
	case "restart":
		// In a hurry, so that what is in memory only is lost, and reported.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = h.relay.Close(ctx)
		h.relay = newRelay(t, h.config)
		if h.config.Store == nil {
			h.bodies = nil // a relay without a store forgets them
		}
	}
}

func (h *history) ignored(body []byte, want int) {
	if status := deliver(h.relay, signed(body)); status != want || h.decided.last().Verdict != vwo.Ignored {
		h.problem = fmt.Sprintf("answered %d: %+v", status, h.decided.last())
	}
}

func (h *history) verdict() string {
	notSwitched := map[string]int{}
	for _, report := range h.heard.all() {
		switch {
		case errors.Is(report.Err, vwo.ErrNotSwitched):
			notSwitched[report.Target.Feature]++
		case errors.Is(report.Err, vwo.ErrStore):
		default:
			return fmt.Sprintf("reported: %v", report.Err)
		}
	}
	records := map[string]map[int64]webhook.Change{}
	for _, change := range h.recorded.all() {
		if records[change.Flag] == nil {
			records[change.Flag] = map[int64]webhook.Change{}
		}
		if first, known := records[change.Flag][change.ChangeID]; known && first != change {
			return fmt.Sprintf("one switch has two records: %+v and %+v", first, change)
		}
		records[change.Flag][change.ChangeID] = change
	}
	for _, flag := range []string{"a", "b", "c"} {
		switched := len(records[flag])
		// A switch that was done, and could not be settled before a restart, may
		// be reported as too late by the next process.
		if switched > h.accepted[flag] || switched+notSwitched[flag] < h.accepted[flag] {
			return fmt.Sprintf("%s: %d alerts acted, %d switches are recorded, %d reported as not done", flag, h.accepted[flag], switched, notSwitched[flag])
		}
	}
	done, _ := h.flags.all()
	for _, s := range done {
		if s.enabled {
			return fmt.Sprintf("%s was switched on", s.target)
		}
		late := true
		for _, change := range records[s.target.Feature] {
			if age := s.at.Sub(change.CreatedAt); age >= 0 && age <= historyMaxAge {
				late = false
			}
		}
		if late {
			return fmt.Sprintf("%s was switched too late, at %v", s.target, s.at)
		}
	}
	return ""
}
