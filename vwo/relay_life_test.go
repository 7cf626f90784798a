package vwo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// forgetfulStore loses the turn instead of settling, as a database does that
// goes away between the switch and the settling.
type forgetfulStore struct {
	webhook.Store
	forget func() bool
}

func (s forgetfulStore) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	turn, err := s.Store.Turn(ctx, queue)
	return forgetfulTurn{turn, s.forget}, err
}

type forgetfulTurn struct {
	webhook.Turn
	forget func() bool
}

func (t forgetfulTurn) Settle(ctx context.Context, outcomes ...webhook.Outcome) error {
	if t.forget() {
		return webhook.ErrTurnLost
	}
	return t.Turn.Settle(ctx, outcomes...)
}

// TestCrashBetweenSwitchAndSettle has the next process do it again, with the
// very same record, which the emitter's store folds into one.
func TestCrashBetweenSwitchAndSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore(t)
		var flags switches
		var recorded records
		config := vwo.RelayConfig{Rules: ruled("f", "g"), Toggler: &flags, Emitter: &recorded}
		config.Store = forgetfulStore{store, func() bool { return true }}
		first := newRelay(t, config)
		for _, name := range []string{"f", "g"} {
			if status := deliver(first, signed(eventAlert(name, time.Now()))); status != 200 {
				t.Fatalf("status %d", status)
			}
			time.Sleep(time.Second)
		}
		// The first process knows what it has done, whatever the store says.
		if n := flags.count(); n != 2 {
			t.Errorf("%d switches", n)
		}
		if err := first.Close(t.Context()); err != nil {
			t.Error(err)
		}
		config.Store = store
		second := newRelay(t, config)
		time.Sleep(5 * time.Second)
		if n := flags.count(); n != 4 {
			t.Errorf("%d switches", n)
		}
		changes := recorded.all()
		if len(changes) != 4 {
			t.Fatalf("%d records", len(changes))
		}
		// The flags are side by side, so that either may come first.
		slices.SortFunc(changes[2:], func(a, b webhook.Change) int { return strings.Compare(a.Flag, b.Flag) })
		if diff := cmp.Diff(changes[:2], changes[2:]); diff != "" || changes[0].ChangeID == changes[1].ChangeID {
			t.Errorf("the second record of a switch differs from the first: %s", diff)
		}
		if stats, err := second.Stats(t.Context()); err != nil || stats != (vwo.Stats{}) {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

// A turn that is lost now and then neither repeats nor loses a switch.
func TestTurnsGetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		store := forgetfulStore{newMemoryStore(t), func() bool { calls++; return calls%3 == 0 }}
		var flags switches
		var recorded records
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Emitter: &recorded, Store: store, CoolDown: -1})
		for range 40 {
			deliver(relay, signed(eventAlert("f", time.Now())))
		}
		time.Sleep(time.Minute)
		if n := flags.count(); n != 40 || len(recorded.all()) != 40 {
			t.Errorf("%d switches, %d records", n, len(recorded.all()))
		}
	})
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
			relay := newRelay(t, vwo.RelayConfig{
				Rules:   []vwo.Rule{{Alert: name, Project: "4505", Target: vwo.Target{Environment: "production", Feature: "17"}, Flag: "new_checkout"}},
				Toggler: &flags, Emitter: &recorded,
			})
			if status := deliver(relay, signed(eventAlert(name, time.Now()))); status != 200 {
				t.Fatalf("status %d", status)
			}
			synctest.Wait()
			changes := recorded.all()
			if len(changes) != 1 || changes[0].CreatedBy != (webhook.Author{ID: want, Type: webhook.AuthorName}) || changes[0].Flag != "new_checkout" {
				t.Errorf("%+v", changes)
			}
		})
	}
}

func TestRecordThatIsNotTaken(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		calls int // how often it fails; 0 is for ever
		want  int // records
	}{
		{"in the end it is", errDown, 3, 1},
		{"it never is", errDown, 0, 0},
		{"it is invalid", &webhook.ChangeError{Field: "Flag", Reason: "is too long"}, 0, 0},
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
				relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Emitter: &recorded, OnReport: heard.add, Store: newMemoryStore(t), CoolDown: -1})
				if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
					t.Errorf("status %d", status)
				}
				// The flag is free meanwhile.
				if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
					t.Errorf("status %d", status)
				}
				time.Sleep(5 * time.Minute)
				if n := flags.count(); n != 2 {
					t.Errorf("%d switches", n)
				}
				if n := len(recorded.all()); n != 2*tc.want {
					t.Errorf("%d records", n)
				}
				list := heard.all()
				if len(list) != 2-2*tc.want {
					t.Fatalf("reports: %v", list)
				}
				for _, report := range list {
					if !errors.Is(report.Err, vwo.ErrNotRecorded) || errors.Is(report.Err, vwo.ErrNotSwitched) {
						t.Errorf("%v", report.Err)
					}
				}
			})
		})
	}
}

func TestCloseWaitsForWhatIsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int) error {
			if call < 4 {
				return errDown
			}
			return nil
		}}
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags})
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
			t.Errorf("status %d", status)
		}
		if err := relay.Close(t.Context()); err != nil || flags.count() != 1 {
			t.Errorf("%v after %d switches", err, flags.count())
		}
		if err := relay.Close(t.Context()); err != nil {
			t.Errorf("the second time: %v", err)
		}
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 503 {
			t.Errorf("status %d after the end", status)
		}
	})
}

func TestCloseInAHurryReportsWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f", "g"), Toggler: &flags, OnReport: heard.add})
		for _, name := range []string{"f", "g"} {
			deliver(relay, signed(eventAlert(name, time.Now())))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if err := relay.Close(ctx); !errors.Is(err, vwo.ErrNotSwitched) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := len(heard.all()); n != 2 {
			t.Errorf("%d reports", n)
		}
	})
}

func TestCloseLeavesTheRestInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore(t)
		flags := switches{fail: func(context.Context, int) error { return errDown }}
		var heard reports
		config := vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, OnReport: heard.add, Store: store}
		relay := newRelay(t, config)
		deliver(relay, signed(eventAlert("f", time.Now())))
		start := time.Now()
		if err := relay.Close(t.Context()); err != nil || time.Since(start) > 31*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if stats, err := store.Stats(t.Context(), "vwo.relay"); stats.Waiting != 1 || err != nil || len(heard.all()) > 0 {
			t.Errorf("%+v, %v, reports %v", stats, err, heard.all())
		}
		flags.fail = nil
		newRelay(t, config)
		time.Sleep(2 * time.Second)
		if flags.count() != 1 {
			t.Error("the next process did not do it")
		}
	})
}

// A toggler that honours no context cannot keep Close.
func TestCloseDespiteADeafToggler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		flags := switches{fail: func(context.Context, int) error { <-release; return nil }}
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags})
		deliver(relay, signed(eventAlert("f", time.Now())))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := relay.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		close(release)
		if err := relay.Close(t.Context()); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// A store that is gone is told of once, and found again.
func TestStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flakyTurns{Store: newMemoryStore(t)}
		var flags switches
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, OnReport: heard.add, Store: store})
		time.Sleep(5 * time.Minute)
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrStore) {
			t.Errorf("reports: %v", list)
		}
		store.works.Store(true)
		time.Sleep(time.Minute)
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 || flags.count() != 1 {
			t.Errorf("status %d, %d switches", status, flags.count())
		}
	})
}

// TestLogsShowNoSecretsNorPeople reads everything that is written about a
// hundred alerts of every kind.
func TestLogsShowNoSecretsNorPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		var heard reports
		store := newMemoryStore(t)
		evil := "evil\n{\"level\":\"ERROR\"}\x1b[2J\u202e" + strings.Repeat("long ", 100)
		notFound := answerOf(t, 404)
		flags := switches{fail: func(_ context.Context, call int) error {
			if call%3 == 0 {
				return notFound
			}
			return nil
		}}
		relay := newRelay(t, vwo.RelayConfig{
			Rules: ruled("f", evil[:0]+"g"), Toggler: &flags, Logger: logTo(&log), OnReport: heard.add, CoolDown: -1, Store: store,
			Header: "X-Key", HeaderValues: []vwo.Token{vwo.NewToken(treasure)},
		})
		for i := range 100 {
			body := eventAlert([]string{"f", "g", evil, "h"}[i%4], time.Now())
			if i%10 == 3 {
				body = body[:len(body)-5]
			}
			r := signed(body)
			r.Header.Set("X-Key", treasure)
			if i%7 == 0 {
				r.Header.Set("X-Key", "wrong-"+treasure)
			}
			deliver(relay, r)
		}
		time.Sleep(time.Minute)
		dead, err := store.Dead(t.Context(), "vwo.relay", "", 100)
		if err != nil || len(dead) == 0 {
			t.Fatalf("%d dead, %v", len(dead), err)
		}
		out := log.String()
		for _, d := range dead {
			out += string(d.Body) + d.Reason
		}
		for _, report := range heard.all() {
			out += fmt.Sprintf("%+v %v", report, report.Err)
		}
		noToken(t, out)
		for _, hidden := range []string{"jane", "203.0.113.7", "card declined", "client-secret", "evil\n", "\x1b", "\u202e", "\\u001b"} {
			if strings.Contains(out, hidden) {
				t.Errorf("%q shows", hidden)
			}
		}
		if strings.Contains(out, strings.Repeat("long ", 25)) {
			t.Error("foreign text is not cut")
		}
		for _, seen := range []string{"no rule matches", "a rule matches", "the second header", "the body cannot be read", "vwo relay: switched", "needs attention"} {
			if !strings.Contains(out, seen) {
				t.Errorf("the log does not say %q", seen)
			}
		}
		if n := strings.Count(out, `"decision"`); n != 100 {
			t.Errorf("%d decisions in the log", n)
		}
	})
}

// Callbacks that panic stop nothing.
func TestCallbacksThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int) error {
			if call == 1 {
				return vwo.ErrNotFound
			}
			return nil
		}}
		relay := newRelay(t, vwo.RelayConfig{
			Rules: ruled("f"), Toggler: &flags,
			OnReport: func(vwo.Report) { panic("report") }, OnDecision: func(vwo.Decision) { panic("decision") },
		})
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
			t.Errorf("status %d", status)
		}
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
			t.Errorf("status %d", status)
		}
	})
}

// TestRepeatAfterCrashKeepsTheFirstAcceptance has the same body come again while
// what an earlier process has accepted still waits in the store.
func TestRepeatAfterCrashKeepsTheFirstAcceptance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore(t)
		var flags switches
		var recorded records
		config := vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Emitter: &recorded}
		config.Store = forgetfulStore{store, func() bool { return true }}
		first := newRelay(t, config)
		body := eventAlert("f", time.Now())
		deliver(first, signed(body))
		if err := first.Close(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		config.Store = &lateTurns{Store: store}
		second := newRelay(t, config)
		deliver(second, signed(body)) // before the store is read
		time.Sleep(time.Minute)
		changes := recorded.all()
		if len(changes) != 2 || changes[0] != changes[1] {
			t.Errorf("%+v", changes)
		}
	})
}

// lateTurns is a store whose Enqueue gives the lane time to take what is there.
type lateTurns struct{ webhook.Store }

func (l *lateTurns) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	time.Sleep(100 * time.Millisecond)
	return l.Store.Turn(ctx, queue)
}

func (l *lateTurns) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	time.Sleep(200 * time.Millisecond)
	return l.Store.Enqueue(ctx, queue, items...)
}

// hungStore is a store whose turns hang in Take while on is set.
type hungStore struct {
	webhook.Store
	on *atomic.Bool
}

func (s hungStore) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	turn, err := s.Store.Turn(ctx, queue)
	return hungTurn{turn, s.on}, err
}

type hungTurn struct {
	webhook.Turn
	on *atomic.Bool
}

func (t hungTurn) Take(ctx context.Context, limit int) ([]webhook.Item, error) {
	if t.on.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return t.Turn.Take(ctx, limit)
}

// TestStoreThatHangsIsReported has the store hang when an alert waits in it for
// the next try.
func TestStoreThatHangsIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on atomic.Bool
		flags := switches{fail: func(_ context.Context, call int) error {
			if call == 1 {
				on.Store(true)
				return errDown
			}
			return nil
		}}
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: hungStore{newMemoryStore(t), &on}, OnReport: heard.add})
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
			t.Errorf("status %d", status)
		}
		time.Sleep(time.Minute)
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrStore) {
			t.Errorf("reports: %v", list)
		}
		on.Store(false)
		time.Sleep(2 * time.Minute)
		if n := flags.count(); n != 1 {
			t.Errorf("%d switches when it is back", n)
		}
	})
}
