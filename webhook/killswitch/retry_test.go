package killswitch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

var errGone = errors.New("no such flag")

func TestWaitsAsLongAsTheFlagSystemAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int, _ killswitch.Switch) error {
			if call == 1 {
				return killswitch.RetryAfter(errDown, time.Minute)
			}
			return nil
		}}
		var heard reports
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnReport: heard.add})
		deliver(relay, signed(eventAlert("f", time.Now())))
		synctest.Wait()
		// A minute is long at three in the morning: a person is told at once.
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, killswitch.ErrDelayed) || !errors.Is(list[0].Err, errDown) {
			t.Errorf("reports: %v", list)
		}
		time.Sleep(2 * time.Minute)
		_, calls := flags.all()
		if len(calls) != 2 || calls[1].at.Sub(calls[0].at) < time.Minute || calls[1].at.Sub(calls[0].at) > 62*time.Second {
			t.Errorf("%+v", calls)
		}
	})
}

// TestWaitsNoLongerThanAMinute has a flag system ask for a pause that would outlast
// the alert.
func TestWaitsNoLongerThanAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int, _ killswitch.Switch) error {
			if call == 1 {
				return killswitch.RetryAfter(errDown, 1000*time.Hour)
			}
			return nil
		}}
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags)})
		deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(2 * time.Minute)
		if _, calls := flags.all(); len(calls) != 2 || calls[1].at.Sub(calls[0].at) > 62*time.Second {
			t.Errorf("%+v", calls)
		}
	})
}

// nilAnswer is a documented error that was made without care: its Error panics.
type nilAnswer struct{ cause error }

func (e *nilAnswer) Error() string { return e.cause.Error() }

// evilChain can be read, and not be walked along.
type evilChain struct{}

func (evilChain) Error() string   { return "evil" }
func (evilChain) Is(error) bool   { panic("Is") }
func (evilChain) As(any) bool     { panic("As") }
func (evilChain) Unwrap() []error { panic("Unwrap") }

// TestErrorsThatPanic has a toggler return errors whose own methods panic. They
// are contained, waited for, and kill no process, now or after a restart.
func TestErrorsThatPanic(t *testing.T) {
	for name, evil := range map[string]error{
		"bare":         &nilAnswer{},
		"retry after":  killswitch.RetryAfter(&nilAnswer{}, 30*time.Second),
		"steer alone":  &killswitch.ToggleError{RetryAfter: 30 * time.Second},
		"final":        killswitch.Final(&nilAnswer{}),
		"unconfirmed":  killswitch.Unconfirmed(&nilAnswer{}),
		"nil steering": (*killswitch.ToggleError)(nil),
		"chain":        evilChain{},
		"wrapped":      fmt.Errorf("flags: %w", evilChain{}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flags := switches{fail: failing(evil)}
				var heard reports
				var log lines
				config := killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnReport: heard.add, Store: newStore(t), Logger: logTo(&log)}
				for range 3 {
					relay := newRelay(t, config)
					if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 && status != 202 {
						t.Errorf("status %d", status)
					}
					time.Sleep(6 * time.Minute)
					closed(t, relay)
				}
				if len(heard.all()) == 0 {
					t.Error("nobody was told")
				}
				for _, report := range heard.all() {
					walk(report.Err)
					if report.Err.Error() == "" || !strings.Contains(report.LogValue().String(), "killswitch:") {
						t.Errorf("%v", report)
					}
				}
			})
		})
	}
}

// walk looks at an error as Sentry's SDK does.
func walk(err error) {
	_ = err.Error()
	_ = errors.Is(err, errors.ErrUnsupported)
	_, _ = errors.AsType[*webhook.ChangeError](err)
	switch chain := err.(type) { //nolint:errorlint // the chain is walked by hand
	case interface{ Unwrap() error }:
		if inner := chain.Unwrap(); inner != nil {
			walk(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range chain.Unwrap() {
			walk(inner)
		}
	}
}

// TestEmitterErrorsThatPanic has an emitter return such errors: its record waits
// and is told of.
func TestEmitterErrorsThatPanic(t *testing.T) {
	for name, evil := range map[string]error{"bare": &nilAnswer{}, "chain": evilChain{}, "nil": (*webhook.ChangeError)(nil)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard reports
				relay := newRelay(t, killswitch.Config{
					Rules: ruled("f"), Togglers: by(&switches{}), OnReport: heard.add, Store: newStore(t), Emitter: emitterFunc(func() error { return evil }),
				})
				if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
					t.Errorf("status %d", status)
				}
				time.Sleep(10 * time.Minute)
				if heard.about(killswitch.ErrNotRecorded) != 1 {
					t.Errorf("reports %v", heard.all())
				}
				for _, report := range heard.all() {
					walk(report.Err)
				}
				closed(t, relay)
			})
		})
	}
}

type emitterFunc func() error

func (f emitterFunc) Emit(context.Context, ...webhook.Change) error { return f() }

func TestFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: failing(killswitch.Final(errGone))}
		var heard reports
		var recorded records
		var decided decisions
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{
			Rules: ruled("f"), Togglers: by(&flags), Emitter: &recorded, OnReport: heard.add, OnDecision: decided.add, Store: store,
		})
		start := time.Now()
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 || time.Since(start) > 0 {
			t.Errorf("status %d after %v", status, time.Since(start))
		}
		time.Sleep(time.Minute)
		list := heard.all()
		if len(list) != 1 || !errors.Is(list[0].Err, killswitch.ErrNotSwitched) || !errors.Is(list[0].Err, errGone) || !list[0].Target.Equal(flagOf("f")) || list[0].Attempts != 1 {
			t.Errorf("reports: %+v", list)
		}
		dead, err := store.List(t.Context(), testQueue, queue.Filter{States: []queue.State{queue.Dead}})
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Reason, "switch it by hand") {
			t.Errorf("dead: %+v, %v", dead, err)
		}
		// It did not work, so the next alert may try within the cool-down.
		flags.setFail(nil)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		if time.Sleep(time.Second); len(recorded.all()) != 1 {
			t.Errorf("records: %+v", recorded.all())
		}
	})
}

// TestUnconfirmed has the flag system take the switch without saying so.
func TestUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: failing(killswitch.Unconfirmed(errors.New("an empty answer")))}
		var heard reports
		var recorded records
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnReport: heard.add, Emitter: &recorded})
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
			t.Errorf("status %d", status)
		}
		time.Sleep(20 * time.Minute)
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, killswitch.ErrUnconfirmed) {
			t.Errorf("reports: %v", list)
		}
		if _, calls := flags.all(); len(calls) != 1 || len(recorded.all()) != 1 {
			t.Errorf("%d calls, %d records", len(calls), len(recorded.all()))
		}
	})
}

// TestTooLate has the flag system come back after MaxAge: what people have
// restored since stays restored.
func TestTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: failing(errDown)}
		var heard reports
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnReport: heard.add, MaxAge: 10 * time.Minute, Store: store})
		deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(9*time.Minute + 50*time.Second)
		if heard.about(killswitch.ErrNotSwitched) > 0 || heard.about(killswitch.ErrDelayed) != 1 {
			t.Fatalf("reported before its time: %v", heard.all())
		}
		time.Sleep(time.Minute)
		if heard.about(killswitch.ErrExpired) != 1 || heard.about(killswitch.ErrNotSwitched) != 1 {
			t.Errorf("reports: %+v", heard.all())
		}
		flags.setFail(nil)
		time.Sleep(time.Hour)
		if n := flags.count(); n != 0 {
			t.Errorf("switched %d times", n)
		}
		// Unless a person asks for it.
		journal := killswitch.OpenJournal(store, testQueue)
		pending, err := journal.Pending(t.Context())
		if err != nil || len(pending) != 1 || !pending[0].Failed || !strings.Contains(pending[0].Reason, "too late") || !pending[0].Target.Equal(flagOf("f")) {
			t.Fatalf("%+v, %v", pending, err)
		}
		if err := journal.Retry(t.Context(), pending[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if n := flags.count(); n != 1 || flags.isOn("f") {
			t.Errorf("switched %d times after the retry", n)
		}
	})
}

// TestRetryGivesWay has a switch-off fail, and a person restore the flag before
// it works: the retry does not undo that.
func TestRetryGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var heard reports
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{Rules: ruled("a", "f"), Togglers: by(&flags), OnReport: heard.add, Store: store})
		rules := []killswitch.Rule{{Alert: "other", Project: "shop", Target: flagOf("f")}, {Alert: "f", Project: "shop", Target: flagOf("f")}}
		relay2 := newRelay(t, killswitch.Config{Rules: rules, Togglers: by(&flags), OnReport: heard.add, Store: store})
		deliver(relay, signed(eventAlert("f", time.Now())))
		flags.setFail(failing(killswitch.RetryAfter(errDown, time.Minute)))
		if status := deliver(relay2, signed(eventAlert("other", time.Now()))); status != 202 {
			t.Errorf("status %d", status)
		}
		time.Sleep(10 * time.Second)
		flags.setFail(nil)
		if _, err := killswitch.OpenJournal(store, testQueue).Restore(t.Context(), killswitch.Restoration{Flag: "f", By: "Ada", Toggler: &flags, Logger: silent}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if !flags.isOn("f") || heard.about(killswitch.ErrOvertaken) != 1 {
			t.Errorf("on=%t, reports %v", flags.isOn("f"), heard.all())
		}
	})
}

// TestLateOnNeverUndoesANewerOff has relay 1 retry a switch-on while relay 2
// switches off: the retry that gets through late does not have the last word.
func TestLateOnNeverUndoesANewerOff(t *testing.T) {
	for name, comes := range map[string]time.Duration{
		"while it hangs": 5 * time.Second, "between two tries": 17 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				var flags switches
				// Switching on takes effect when the answer is lost, 10 s after it was
				// asked for, and does not heed the context.
				slow := toggleFunc(func(ctx context.Context, s killswitch.Switch) (killswitch.State, error) {
					if s.On {
						time.Sleep(10 * time.Second)
						was, _ := flags.Toggle(context.WithoutCancel(ctx), s)
						_ = was
						return killswitch.StateUnknown, errDown
					}
					return flags.Toggle(ctx, s)
				})
				config := killswitch.Config{Rules: ruledBack("m"), Togglers: by(slow), Store: store, CoolDown: -1}
				one := newRelay(t, config)
				deliver(one, signed(metricAlert("m", "critical", time.Now())))
				time.Sleep(time.Second)
				deliver(one, signed(metricAlert("m", "resolved", time.Now())))
				two := newRelay(t, config)
				time.Sleep(comes)
				if status := deliver(two, signed(metricAlert("m", "critical", time.Now()))); status != 200 {
					t.Errorf("status %d", status)
				}
				time.Sleep(5 * time.Minute)
				if flags.isOn("m") {
					t.Error("the kill is undone")
				}
				stats, err := two.Stats(t.Context())
				if err != nil || stats.Waiting != 0 {
					t.Errorf("%+v, %v", stats, err)
				}
			})
		})
	}
}

type toggleFunc func(ctx context.Context, s killswitch.Switch) (killswitch.State, error)

func (f toggleFunc) Toggle(ctx context.Context, s killswitch.Switch) (killswitch.State, error) {
	return f(ctx, s)
}

// TestOneFlagsTroubleIsNotAnothers has a flag hang that others do not wait for,
// at once and in the queue.
func TestOneFlagsTroubleIsNotAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(ctx context.Context, call int, s killswitch.Switch) error {
			switch {
			case s.Target.Flag == "slow":
				return hanging(ctx, call, s)
			case call < 4:
				return errDown
			}
			return nil
		}}
		relay := newRelay(t, killswitch.Config{Rules: ruledBack("slow", "quick"), Togglers: by(&flags)})
		deliver(relay, signed(metricAlert("slow", "resolved", time.Now())))
		time.Sleep(2 * time.Second)
		start := time.Now()
		deliver(relay, signed(eventAlert("quick", time.Now())))
		deliver(relay, signed(metricAlert("quick", "resolved", time.Now().Add(time.Second))))
		time.Sleep(12 * time.Second)
		done, _ := flags.all()
		if len(done) == 0 || done[0].Target.Flag != "quick" {
			t.Errorf("after %v: %+v", time.Since(start), done)
		}
	})
}

// TestOffWins has one alert match two rules that disagree about a flag.
func TestOffWins(t *testing.T) {
	off := killswitch.Rule{Alert: "f", Project: "shop", Target: flagOf("f")}
	on := off
	on.When, on.SwitchOn = []killswitch.Trigger{killswitch.IssueAlertTriggered}, true
	for _, rules := range [][]killswitch.Rule{{off, on}, {on, off}, {on, off, on}} {
		synctest.Test(t, func(t *testing.T) {
			var flags switches
			relay := newRelay(t, killswitch.Config{Rules: rules, Togglers: by(&flags)})
			deliver(relay, signed(eventAlert("f", time.Now())))
			time.Sleep(5 * time.Second)
			if done, _ := flags.all(); len(done) != 1 || done[0].On {
				t.Errorf("%+v", done)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	for name, want := range map[string]string{
		"Checkout failing": "Checkout failing",
		" \tCheckout\r\nfailing\x00\x1b[31m\u202e \u200b": "Checkoutfailing[31m",
		strings.Repeat("ä", 150):                          strings.Repeat("ä", 100),
	} {
		synctest.Test(t, func(t *testing.T) {
			var flags switches
			var recorded records
			relay := newRelay(t, killswitch.Config{
				Rules:    []killswitch.Rule{{Alert: name, Project: "4505", Target: killswitch.Target{Flag: "17"}, Flag: "my flag"}},
				Togglers: by(&flags), Emitter: &recorded,
			})
			if status := deliver(relay, signed(eventAlert(name, time.Now()))); status != 200 {
				t.Fatalf("status %d", status)
			}
			time.Sleep(time.Second)
			changes := recorded.all()
			if len(changes) != 1 || changes[0].CreatedBy != (webhook.Author{ID: want, Type: webhook.AuthorName}) || changes[0].Flag != "my_flag-a84e63b3" {
				t.Errorf("%+v", changes)
			}
			if done, _ := flags.all(); len(done) != 1 || done[0].Alert != want || done[0].Trigger != "event_alert.triggered" || len(done[0].ID) > 128 {
				t.Errorf("%+v", done)
			}
		})
	}
}

func TestRecordThatIsNotTaken(t *testing.T) {
	for _, tc := range []struct {
		name    string
		err     error
		calls   int // how often it fails; 0 is for ever
		records int
		reports int
	}{
		{"in the end it is", errDown, 3, 2, 0},
		{"it is after an outage", errDown, 40, 2, 2},
		{"it never is", errDown, 0, 0, 2},
		{"it is invalid", &webhook.ChangeError{Field: "Flag", Reason: "is too long"}, 0, 0, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var flags switches
				var heard reports
				recorded := records{fail: func(call int) error {
					if tc.calls > 0 && call > tc.calls {
						return nil
					}
					return tc.err
				}}
				store := newStore(t)
				config := killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), Emitter: &recorded, OnReport: heard.add, Store: store, CoolDown: -1}
				relay := newRelay(t, config)
				for range 2 {
					if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
						t.Errorf("status %d", status)
					}
				}
				time.Sleep(20 * time.Minute)
				if n, m := flags.count(), len(recorded.all()); n != 2 || m != tc.records {
					t.Errorf("%d switches, %d records", n, m)
				}
				if n := heard.about(killswitch.ErrNotRecorded); n != tc.reports || heard.about(killswitch.ErrNotSwitched) > 0 {
					t.Errorf("reports: %v", heard.all())
				}
				waiting := 0
				if tc.name == "it never is" {
					waiting = 2
				}
				if stats, err := relay.Stats(t.Context()); err != nil || stats.RecordsWaiting != waiting {
					t.Errorf("%+v, %v", stats, err)
				}
				if health := relay.Health(t.Context()); (len(health) > 0) != (waiting > 0) {
					t.Errorf("%+v", health)
				}
				// The next process makes the record, and does not switch again.
				closed(t, relay)
				recorded.fail = nil
				newRelay(t, config)
				time.Sleep(time.Minute)
				if n, m := flags.count(), len(recorded.all()); n != 2 || m != tc.records+waiting {
					t.Errorf("after a restart %d switches, %d records", n, m)
				}
			})
		})
	}
}
