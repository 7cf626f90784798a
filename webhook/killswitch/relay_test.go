package killswitch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		store := newStore(t)
		config := killswitch.Config{Rules: ruled("f", "g"), Togglers: by(&flags), OnDecision: decided.add, Store: store}
		relay := newRelay(t, config)
		first := eventAlert("f", time.Now())
		expect(t, relay, &decided, first, 200, killswitch.ReasonActs)
		expect(t, relay, &decided, first, 200, killswitch.ReasonRepeat)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCoolingDown)
		expect(t, relay, &decided, eventAlert("g", time.Now()), 200, killswitch.ReasonActs)

		time.Sleep(4 * time.Minute)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCoolingDown)
		expect(t, relay, &decided, first, 200, killswitch.ReasonRepeat)
		time.Sleep(61 * time.Second)
		expect(t, relay, &decided, first, 200, killswitch.ReasonRepeat)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)

		// The body and the cool-down outlive the process in the store, and the
		// signed time is what is left after that.
		closed(t, relay)
		relay = newRelay(t, config)
		expect(t, relay, &decided, first, 200, killswitch.ReasonRepeat)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCoolingDown)
		time.Sleep(15 * time.Minute)
		expect(t, relay, &decided, first, 200, killswitch.ReasonOld)
		if n := flags.count(); n != 3 {
			t.Errorf("%d switches", n)
		}
	})
}

// TestOneBodyAtManyDoorsAtOnce sends one body to three relays that share a
// store. A flag may be switched off more than once in that moment, which is
// harmless; there is one record.
func TestOneBodyAtManyDoorsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var recorded records
		store := newStore(t)
		var relays []*killswitch.Relay
		for range 3 {
			relays = append(relays, newRelay(t, killswitch.Config{
				Rules: ruled("f"), Togglers: by(&flags), Store: store, CoolDown: -1, Emitter: &recorded,
			}))
		}
		body := eventAlert("f", time.Now())
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() { deliver(relays[i%3], signed(body)) })
		}
		wg.Wait()
		time.Sleep(3 * time.Second)
		if n := flags.count(); n < 1 || n > 3 || len(recorded.all()) != 1 {
			t.Errorf("%d switches, %d records", n, len(recorded.all()))
		}
	})
}

// TestCapPerHour holds each flag to its own cap, over restarts, and says what it
// drops.
func TestCapPerHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		var told reports
		config := killswitch.Config{
			Rules: ruled("f", "g"), Togglers: by(&flags), OnDecision: decided.add, OnReport: told.add, CoolDown: -1, CapPerHour: 3, Store: newStore(t),
		}
		relay := newRelay(t, config)
		for range 3 {
			expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
			time.Sleep(10 * time.Minute)
		}
		closed(t, relay)
		relay = newRelay(t, config)
		for range 5 {
			expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCap)
		}
		if list := told.all(); len(list) != 1 || !errors.Is(list[0].Err, killswitch.ErrDidNotAct) || list[0].Reason != killswitch.ReasonCap || list[0].Target.Flag != "f" {
			t.Errorf("reports: %v", list)
		}
		expect(t, relay, &decided, eventAlert("g", time.Now()), 200, killswitch.ReasonActs)
		time.Sleep(31 * time.Minute)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCap)
	})
}

// TestFlappingEndsOff has an alarm and its recovery use up the cap: the flag stays
// off, whatever the cap is, and that is said.
func TestFlappingEndsOff(t *testing.T) {
	for most := 2; most <= 5; most++ {
		synctest.Test(t, func(t *testing.T) {
			var flags switches
			var told reports
			relay := newRelay(t, killswitch.Config{Rules: ruledBack("m"), Togglers: by(&flags), OnReport: told.add, CoolDown: -1, CapPerHour: most})
			for range 5 {
				for _, action := range []string{"critical", "resolved"} {
					deliver(relay, signed(metricAlert("m", action, time.Now())))
					time.Sleep(10 * time.Second)
				}
			}
			made, _ := flags.all()
			ids := map[string]bool{} // one may be made twice
			for _, one := range made {
				ids[one.ID] = true
			}
			if len(ids) == 0 || len(ids) > most || made[len(made)-1].On {
				t.Errorf("cap %d: %v", most, made)
			}
			if told.about(killswitch.ErrDidNotAct) == 0 {
				t.Errorf("cap %d: nobody was told", most)
			}
		})
	}
}

// TestTwoFlagsWithRoomForOne has one alert switch two flags, one of which has
// used up its cap: that is said.
func TestTwoFlagsWithRoomForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		var told reports
		rules := ruled("f")
		rules = append(rules, killswitch.Rule{Alert: "both", Project: "shop", Target: flagOf("f")}, killswitch.Rule{Alert: "both", Project: "shop", Target: flagOf("g")})
		relay := newRelay(t, killswitch.Config{Rules: rules, Togglers: by(&flags), OnDecision: decided.add, OnReport: told.add, CapPerHour: 1})
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		expect(t, relay, &decided, eventAlert("both", time.Now()), 200, killswitch.ReasonActs)
		if d := decided.last(); len(d.Targets) != 1 || d.Targets[0].Flag != "g" {
			t.Errorf("%+v", d)
		}
		if list := told.all(); len(list) != 1 || list[0].Reason != killswitch.ReasonCap || list[0].Target.Flag != "f" || list[0].Alert != "both" {
			t.Errorf("reports: %v", list)
		}
	})
}

// TestSwitchingBackOn follows alarm and recovery, in and out of order.
func TestSwitchingBackOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		var told reports
		relay := newRelay(t, killswitch.Config{Rules: ruledBack("m"), Togglers: by(&flags), OnDecision: decided.add, OnReport: told.add})
		start := time.Now()
		time.Sleep(time.Minute)
		expect(t, relay, &decided, metricAlert("m", "critical", time.Now()), 200, killswitch.ReasonActs)
		expect(t, relay, &decided, metricAlert("m", "resolved", start), 200, killswitch.ReasonOvertaken)
		time.Sleep(time.Minute)
		expect(t, relay, &decided, metricAlert("m", "resolved", time.Now()), 200, killswitch.ReasonActs)
		expect(t, relay, &decided, metricAlert("m", "critical", start), 200, killswitch.ReasonOvertaken)
		if told.about(killswitch.ErrDidNotAct) != 2 {
			t.Errorf("reports: %v", told.all())
		}
		time.Sleep(time.Second)
		// The same alert within its cool-down is news, for it had recovered.
		expect(t, relay, &decided, metricAlert("m", "critical", time.Now()), 200, killswitch.ReasonActs)
		synctest.Wait()
		done, _ := flags.all()
		var states []bool
		for _, s := range done {
			states = append(states, s.On)
		}
		if !slices.Equal(states, []bool{false, true, false}) {
			t.Errorf("the flag was set to %v", states)
		}
	})
}

// TestResolvedAsThePresentServerSendsIt has the forms of an incident's end:
// status_method 2, a time that is cut to the minute, and none.
func TestResolvedAsThePresentServerSendsIt(t *testing.T) {
	for name, end := range map[string]func(i incident, now time.Time) incident{
		"method 3":          func(i incident, now time.Time) incident { i.closed = now; return i },
		"method 2":          func(i incident, now time.Time) incident { i.closed, i.method = now, 2; return i },
		"cut to the minute": func(i incident, now time.Time) incident { i.closed, i.method = now.Truncate(time.Minute), 2; return i },
		"null":              func(i incident, _ time.Time) incident { i.method = 2; return i },
	} {
		for _, lasts := range []time.Duration{20 * time.Second, 10 * time.Minute, 2 * time.Hour} {
			t.Run(name+" after "+lasts.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(30 * time.Second) // begin within a minute
					var flags switches
					var decided decisions
					relay := newRelay(t, killswitch.Config{Rules: ruledBack("m"), Togglers: by(&flags), OnDecision: decided.add})
					opened := incident{name: "m", action: "critical", id: "1001", at: time.Now()}
					expect(t, relay, &decided, opened.body(), 200, killswitch.ReasonActs)
					time.Sleep(lasts)
					opened.action = "resolved"
					ended := end(opened, time.Now()).body()
					expect(t, relay, &decided, ended, 200, killswitch.ReasonActs)
					if !flags.isOn("m") || flags.count() != 2 {
						t.Errorf("on=%t after %d switches", flags.isOn("m"), flags.count())
					}
					// Nobody can make use of a repeat: off again, and the end once more.
					time.Sleep(time.Minute)
					expect(t, relay, &decided, (incident{name: "m", action: "critical", id: "1002", at: time.Now()}).body(), 200, killswitch.ReasonActs)
					time.Sleep(time.Minute)
					if deliver(relay, signed(ended)); decided.last().Verdict != killswitch.Ignored || flags.isOn("m") {
						t.Errorf("a repeat: %+v", decided.last())
					}
				})
			})
		}
	}
}

func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var recorded records
		var decided decisions
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{
			Rules: ruled("f"), Togglers: by(&flags), Emitter: &recorded, OnDecision: decided.add, DryRun: true, Store: store,
		})
		body := eventAlert("f", time.Now())
		expect(t, relay, &decided, body, 200, killswitch.ReasonDryRun)
		expect(t, relay, &decided, body, 200, killswitch.ReasonRepeat)
		time.Sleep(time.Minute)
		if d := decided.list[0]; d.Verdict != killswitch.Acted || len(d.Targets) != 1 {
			t.Errorf("%+v", d)
		}
		if _, calls := flags.all(); len(calls) > 0 || len(recorded.all()) > 0 {
			t.Error("a dry run has switched or recorded")
		}
		if note, err := store.Note(t.Context(), testQueue, "state"); err != nil || note.Version > 0 {
			t.Errorf("a dry run has written: %+v, %v", note, err)
		}
	})
}

func TestRetriesUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int, _ killswitch.Switch) error {
			switch {
			case call < 5:
				return errDown
			case call == 5:
				panic("a bug in the toggler")
			}
			return nil
		}}
		var recorded records
		var told reports
		relay := newRelay(t, killswitch.Config{Rules: ruled("f", "g"), Togglers: by(&flags), Emitter: &recorded, OnReport: told.add})
		start := time.Now()
		if status := deliver(relay, signed(eventAlert("f", start))); status != 202 {
			t.Errorf("status %d", status)
		}
		time.Sleep(time.Minute)
		done, calls := flags.all()
		if len(done) != 1 || len(calls) != 6 || told.about(killswitch.ErrNotSwitched) > 0 {
			t.Fatalf("%d switches in %d calls, reports %v", len(done), len(calls), told.all())
		}
		ids := map[string]bool{}
		for i := 1; i < len(calls); i++ {
			ids[calls[i].ID] = true
			gap := calls[i].at.Sub(calls[i-1].at)
			// The queue is looked at once a second.
			if longest := 500 * time.Millisecond << (i - 1); gap < longest/2 || gap > longest+2*time.Second {
				t.Errorf("pause %d is %v, want %v to %v", i, gap, longest/2, longest)
			}
		}
		if len(ids) != 1 {
			t.Errorf("the attempts have the ids %v", ids)
		}
		want := []webhook.Change{{
			Action: webhook.ActionUpdated, CreatedAt: start.UTC().Truncate(time.Microsecond), Flag: "f",
			CreatedBy: webhook.Author{ID: "f", Type: webhook.AuthorName}, ItemID: "killswitch-" + calls[0].ID,
		}}
		got := recorded.all()
		for i := range got {
			if got[i].ChangeID <= 0 {
				t.Errorf("change id %d", got[i].ChangeID)
			}
			got[i].ChangeID = 0
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
