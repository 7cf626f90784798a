package killswitch_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// TestStanding asks what is held against the next alert, and then sends it.
func TestStanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{
			Rules:    append(ruled("f"), killswitch.Rule{Alert: "other", Project: "shop", Target: flagOf("f")}),
			Togglers: by(&flags), Store: store, OnDecision: decided.add, CapPerHour: 2,
		})
		journal := killswitch.OpenJournal(store, testQueue)
		standing := func() killswitch.Standing {
			t.Helper()
			all, err := journal.Standing(t.Context(), 0, 2)
			if err != nil || len(all) > 1 {
				t.Fatal(all, err)
			}
			if len(all) == 0 {
				return killswitch.Standing{}
			}
			return all[0]
		}
		if s := standing(); s.Switched > 0 || s.CoolDowns != nil {
			t.Errorf("%+v", s)
		}
		began := time.Now()
		expect(t, relay, &decided, eventAlert("f", began), 200, killswitch.ReasonActs)
		again, err := alert.Parse(eventAlert("f", began))
		if err != nil {
			t.Fatal(err)
		}
		foreign, _ := alert.Parse(eventAlert("other", began))
		s := standing()
		if s.Switched != 1 || !s.CapUntil.IsZero() || len(s.CoolDowns) != 1 || !s.Target.Equal(flagOf("f")) {
			t.Fatalf("%+v", s)
		}
		cool := s.CoolDowns[0]
		if !cool.Of(&again) || cool.Of(&foreign) || cool.On || cool.Trigger != killswitch.IssueAlertTriggered || cool.Until.Sub(began).Round(time.Second) != 5*time.Minute {
			t.Errorf("%+v", cool)
		}
		time.Sleep(time.Until(cool.Until) - time.Second)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCoolingDown)
		time.Sleep(2 * time.Second)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		s = standing()
		if s.Switched != 2 || s.CapUntil.Sub(began).Round(time.Second) != time.Hour {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Until(s.CapUntil) - time.Second)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCap)
		time.Sleep(2 * time.Second)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		time.Sleep(2 * time.Hour)
		if s := standing(); s.Switched > 0 || s.CoolDowns != nil || !s.CapUntil.IsZero() {
			t.Errorf("two hours later: %+v", s)
		}
	})
}

// TestForget has a flag be deleted in its flag system, so that nothing can
// restore it.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{Rules: ruled("f", "g"), Togglers: by(&flags), Store: store, OnDecision: decided.add})
		for _, flag := range []string{"f", "g"} {
			expect(t, relay, &decided, eventAlert(flag, time.Now()), 200, killswitch.ReasonActs)
		}
		time.Sleep(time.Second)
		if off, err := killswitch.OpenJournal(store, testQueue).SwitchedOff(t.Context()); err != nil || len(off) != 2 {
			t.Fatalf("%+v, %v", off, err)
		}
		journal := killswitch.OpenJournal(store, testQueue)
		flags.setFail(failing(killswitch.Final(errGone)))
		if _, err := journal.Restore(t.Context(), killswitch.Restoration{Flag: "f", By: "Ada", Toggler: &flags, Logger: silent}); !errors.Is(err, errGone) {
			t.Errorf("%v", err)
		}
		_, before := flags.all()
		if off, err := journal.Forget(t.Context(), "f"); err != nil || !off.Target.Equal(flagOf("f")) {
			t.Errorf("%+v, %v", off, err)
		}
		if _, err := journal.Forget(t.Context(), "f"); !errors.Is(err, killswitch.ErrNotSwitchedOff) {
			t.Errorf("once more: %v", err)
		}
		if _, after := flags.all(); len(after) != len(before) {
			t.Error("it has switched")
		}
		if off, err := journal.SwitchedOff(t.Context()); err != nil || len(off) != 1 || off[0].Flag != "g" {
			t.Errorf("%+v, %v", off, err)
		}
		flags.setFail(nil)
		time.Sleep(2 * time.Second) // the relay looks once a second
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
	})
}
