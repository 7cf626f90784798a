package vwo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// expect delivers a body and checks status and reason.
func expect(t *testing.T, relay *vwo.Relay, decided *decisions, body []byte, status int, reason vwo.Reason) {
	t.Helper()
	got := deliver(relay, signed(body))
	if d := decided.last(); got != status || d.Reason != reason {
		t.Errorf("answered %d (%s), want %d (%s)", got, d.Reason, status, reason)
	}
}

func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		store := newMemoryStore(t)
		config := vwo.RelayConfig{Rules: ruled("f", "g"), Toggler: &flags, OnDecision: decided.add, Store: store}
		relay := newRelay(t, config)
		first := eventAlert("f", time.Now())
		expect(t, relay, &decided, first, 200, vwo.ReasonActs)
		expect(t, relay, &decided, first, 200, vwo.ReasonRepeat)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonCoolingDown)
		expect(t, relay, &decided, eventAlert("g", time.Now()), 200, vwo.ReasonActs)

		time.Sleep(4 * time.Minute)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonCoolingDown)
		expect(t, relay, &decided, first, 200, vwo.ReasonRepeat)
		time.Sleep(61 * time.Second)
		expect(t, relay, &decided, first, 200, vwo.ReasonRepeat)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonActs)

		// The body outlives the process in the store, and its time after that.
		if err := relay.Close(t.Context()); err != nil {
			t.Error(err)
		}
		relay = newRelay(t, config)
		expect(t, relay, &decided, first, 200, vwo.ReasonRepeat)
		time.Sleep(15 * time.Minute)
		expect(t, relay, &decided, first, 200, vwo.ReasonOld)
		if n := flags.count(); n != 3 {
			t.Errorf("%d switches", n)
		}
	})
}

func TestOneBodyAtManyDoorsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		store := newMemoryStore(t)
		var relays []*vwo.Relay
		for range 3 {
			relays = append(relays, newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: store, CoolDown: -1}))
		}
		body := eventAlert("f", time.Now())
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() { deliver(relays[i%3], signed(body)) })
		}
		wg.Wait()
		time.Sleep(3 * time.Second)
		if n := flags.count(); n != 1 {
			t.Errorf("%d switches", n)
		}
	})
}

func TestCapPerHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		var told reports
		relay := newRelay(t, vwo.RelayConfig{
			Rules: ruled("f"), Toggler: &flags, OnDecision: decided.add, OnReport: told.add, CoolDown: -1, CapPerHour: 3,
		})
		for range 3 {
			expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonActs)
			time.Sleep(10 * time.Minute)
		}
		for range 5 {
			expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonCap)
		}
		if list := told.all(); len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrCapReached) {
			t.Errorf("reports: %v", list)
		}
		time.Sleep(31 * time.Minute)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonActs)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonCap)
	})
}

// TestSwitchingBackOn follows alarm and recovery, in and out of order.
func TestSwitchingBackOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		rules := ruled("m")
		rules = append(rules, vwo.Rule{Alert: "m", Project: "shop", When: []vwo.Trigger{vwo.MetricAlertResolved}, Target: flagOf("m"), SwitchOn: true})
		relay := newRelay(t, vwo.RelayConfig{Rules: rules, Toggler: &flags, OnDecision: decided.add})
		start := time.Now()
		time.Sleep(time.Minute)
		expect(t, relay, &decided, metricAlert("m", "critical", time.Now()), 200, vwo.ReasonActs)
		expect(t, relay, &decided, metricAlert("m", "resolved", start), 200, vwo.ReasonOvertaken)
		time.Sleep(time.Minute)
		expect(t, relay, &decided, metricAlert("m", "resolved", time.Now()), 200, vwo.ReasonActs)
		expect(t, relay, &decided, metricAlert("m", "critical", start), 200, vwo.ReasonOvertaken)
		time.Sleep(time.Second)
		// The same alert within its cool-down is news, for it had recovered.
		expect(t, relay, &decided, metricAlert("m", "critical", time.Now()), 200, vwo.ReasonActs)
		done, _ := flags.all()
		var states []bool
		for _, s := range done {
			states = append(states, s.enabled)
		}
		if !slices.Equal(states, []bool{false, true, false}) {
			t.Errorf("the flag was set to %v", states)
		}
	})
}

func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var recorded records
		var decided decisions
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Emitter: &recorded, OnDecision: decided.add, DryRun: true})
		body := eventAlert("f", time.Now())
		expect(t, relay, &decided, body, 200, vwo.ReasonDryRun)
		expect(t, relay, &decided, body, 200, vwo.ReasonRepeat)
		time.Sleep(time.Minute)
		if d := decided.list[0]; d.Verdict != vwo.Acted || len(d.Targets) != 1 {
			t.Errorf("%+v", d)
		}
		if _, calls := flags.all(); len(calls) > 0 || len(recorded.all()) > 0 {
			t.Error("a dry run has switched or recorded")
		}
	})
}

func TestRetriesUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int) error {
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
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f", "g"), Toggler: &flags, Emitter: &recorded, OnReport: told.add})
		start := time.Now()
		if status := deliver(relay, signed(eventAlert("f", start))); status != 202 {
			t.Errorf("status %d", status)
		}
		time.Sleep(time.Minute)
		done, calls := flags.all()
		if len(done) != 1 || len(calls) != 6 || len(told.all()) > 0 {
			t.Fatalf("%d switches in %d calls, reports %v", len(done), len(calls), told.all())
		}
		for i := 1; i < len(calls); i++ {
			gap := calls[i].at.Sub(calls[i-1].at)
			if longest := 500 * time.Millisecond << (i - 1); gap < longest/2 || gap > longest {
				t.Errorf("pause %d is %v, want %v to %v", i, gap, longest/2, longest)
			}
		}
		want := []webhook.Change{{
			Action: webhook.ActionUpdated, CreatedAt: start.UTC().Truncate(time.Microsecond), Flag: "f",
			CreatedBy: webhook.Author{ID: "f", Type: webhook.AuthorName},
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

// One flag's trouble does not keep another one waiting, and the switches of one
// flag keep their order.
func TestFlagsAreSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags toggleFunc
		var mu sync.Mutex
		var order []string
		var busy atomic.Int32
		blocked := make(chan struct{})
		flags = func(ctx context.Context, _, feature string, enabled bool) error {
			if feature == "slow" {
				if busy.Add(1) > 1 {
					t.Error("two switches of one flag at the same time")
				}
				defer busy.Add(-1)
				select {
				case <-blocked:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprintf("%s=%t", feature, enabled))
			return nil
		}
		rules := ruled("slow", "quick")
		rules = append(rules, vwo.Rule{Alert: "slow-on", Project: "shop", When: []vwo.Trigger{vwo.IssueAlertTriggered}, Target: flagOf("slow"), SwitchOn: true})
		relay := newRelay(t, vwo.RelayConfig{Rules: rules, Toggler: flags})
		var wg sync.WaitGroup
		for _, name := range []string{"slow", "slow-on", "quick"} {
			wg.Go(func() { deliver(relay, signed(eventAlert(name, time.Now()))) })
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		close(blocked)
		synctest.Wait()
		if !slices.Equal(order, []string{"quick=false", "slow=false", "slow=true"}) {
			t.Errorf("%v", order)
		}
	})
}

type toggleFunc func(ctx context.Context, environment, feature string, enabled bool) error

func (f toggleFunc) Set(ctx context.Context, environment, feature string, enabled bool) error {
	return f(ctx, environment, feature, enabled)
}

// answerOf makes the client's error for a status.
func answerOf(t *testing.T, status int) error {
	t.Helper()
	client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken(treasure), HTTPClient: &http.Client{
		Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })},
	}})
	return toggle(t.Context(), client, "e", "f", false)
}

func TestWaitsAsLongAsVWOAsks(t *testing.T) {
	for _, status := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			told := answerOf(t, status)
			flags := switches{fail: func(_ context.Context, call int) error {
				if call == 1 {
					return told
				}
				return nil
			}}
			relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags})
			deliver(relay, signed(eventAlert("f", time.Now())))
			time.Sleep(2 * time.Minute)
			_, calls := flags.all()
			if len(calls) != 2 || calls[1].at.Sub(calls[0].at) < time.Minute || calls[1].at.Sub(calls[0].at) > 61*time.Second {
				t.Errorf("%d: %+v", status, calls)
			}
		})
	}
}

func TestFailsForGood(t *testing.T) {
	for status, cause := range map[int]error{404: vwo.ErrNotFound, 400: vwo.ErrRefused} {
		synctest.Test(t, func(t *testing.T) {
			told := answerOf(t, status)
			flags := switches{fail: func(context.Context, int) error { return told }}
			var heard reports
			var recorded records
			var decided decisions
			store := newMemoryStore(t)
			relay := newRelay(t, vwo.RelayConfig{
				Rules: ruled("f"), Toggler: &flags, Emitter: &recorded, OnReport: heard.add, OnDecision: decided.add, Store: store,
			})
			if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
				t.Errorf("status %d", status)
			}
			time.Sleep(time.Minute)
			list := heard.all()
			if len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrNotSwitched) || !errors.Is(list[0].Err, cause) || list[0].Target != flagOf("f") || list[0].Attempts != 1 {
				t.Errorf("reports: %+v", list)
			}
			dead, err := store.Dead(t.Context(), "vwo.relay", "", 10)
			if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Reason, "switch it by hand") {
				t.Errorf("dead: %+v, %v", dead, err)
			}
			// It did not work, so the next alert may try within the cool-down.
			flags.fail = nil
			expect(t, relay, &decided, eventAlert("f", time.Now()), 200, vwo.ReasonActs)
			if synctest.Wait(); len(recorded.all()) != 1 {
				t.Errorf("records: %+v", recorded.all())
			}
		})
	}
}

// TestTooLate has the flag system come back after MaxAge: what people have
// restored since stays restored.
func TestTooLate(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			flags := switches{fail: func(context.Context, int) error { return errDown }}
			var heard reports
			config := vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, OnReport: heard.add, MaxAge: 10 * time.Minute}
			if durable {
				config.Store = newMemoryStore(t)
			}
			relay := newRelay(t, config)
			deliver(relay, signed(eventAlert("f", time.Now())))
			time.Sleep(9*time.Minute + 50*time.Second)
			if len(heard.all()) > 0 {
				t.Fatalf("reported before its time: %v", heard.all())
			}
			time.Sleep(time.Minute)
			_, calls := flags.all()
			list := heard.all()
			if len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrExpired) || !errors.Is(list[0].Err, vwo.ErrNotSwitched) || list[0].Attempts != len(calls) {
				t.Errorf("reports: %+v after %d calls", list, len(calls))
			}
			flags.fail = nil
			time.Sleep(time.Hour)
			if n := flags.count(); n != 0 {
				t.Errorf("switched %d times", n)
			}
			if durable { // not even when somebody replays the dead letter
				if n, err := config.Store.Replay(t.Context(), "vwo.relay"); n != 1 || err != nil {
					t.Errorf("replayed %d, %v", n, err)
				}
				time.Sleep(time.Minute)
				if n := flags.count(); n != 0 {
					t.Errorf("switched %d times after the replay", n)
				}
			}
		})
	}
}

// stuckStore is a store whose Enqueue hangs, perhaps to succeed in the end.
type stuckStore struct {
	webhook.Store
	release chan struct{}
	fail    error
	obey    bool // the context
}

func (s *stuckStore) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	if s.obey {
		select {
		case <-s.release:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	} else {
		<-s.release
	}
	return s.Store.Enqueue(context.WithoutCancel(ctx), queue, items...)
}

func TestStoreThatDoesNotTakeIt(t *testing.T) {
	for name, stuck := range map[string]*stuckStore{
		"fails": {fail: errors.New("disk full")}, "hangs": {}, "hangs until told": {obey: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stuck.Store, stuck.release = newMemoryStore(t), make(chan struct{})
				var flags switches
				var heard reports
				var recorded records
				relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: stuck, OnReport: heard.add, Emitter: &recorded, CoolDown: -1})
				start := time.Now()
				for range 12 { // more than may hang in it
					if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
						t.Errorf("status %d", status)
					}
				}
				if took := time.Since(start); took > 12*500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				list := heard.all()
				if len(list) != 12 || !errors.Is(list[0].Err, vwo.ErrStore) || list[0].Target != flagOf("f") {
					t.Errorf("reports: %v", list)
				}
				// What the store takes late is not done again.
				close(stuck.release)
				time.Sleep(time.Minute)
				if n := flags.count(); n != 12 || len(recorded.all()) != 12 {
					t.Errorf("%d switches, %d records", n, len(recorded.all()))
				}
				if stats, err := relay.Stats(t.Context()); err != nil || stats.Waiting != 0 {
					t.Errorf("%+v, %v", stats, err)
				}
			})
		})
	}
}

// TestNothingCanKeepIt fills the memory as well.
func TestNothingCanKeepIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(context.Context, int) error { return errDown }}
		var heard reports
		var decided decisions
		relay := newRelay(t, vwo.RelayConfig{
			Rules: ruled("f"), Toggler: &flags, OnReport: heard.add, OnDecision: decided.add, CoolDown: -1, CapPerHour: -1,
			AnswerWithin: time.Millisecond,
		})
		for range 10_000 {
			if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
				t.Fatalf("status %d: %+v", status, decided.last())
			}
		}
		body := eventAlert("f", time.Now())
		for range 2 { // it was not taken, so it is no repeat
			if status := deliver(relay, signed(body)); status != 503 || decided.last().Verdict != vwo.Failed {
				t.Errorf("status %d, %+v", status, decided.last())
			}
		}
		if list := heard.all(); len(list) != 2 || !errors.Is(list[0].Err, webhook.ErrStoreFull) {
			t.Errorf("reports: %v", list)
		}
		// Hurry, or the thousands are tried to the end.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := relay.Close(ctx); !errors.Is(err, vwo.ErrNotSwitched) {
			t.Errorf("%v", err)
		}
		if n := len(heard.all()); n != 10_002 {
			t.Errorf("%d reports, want one for each that was lost", n)
		}
	})
}

// TestHangingUpDoesNotReachTheStore has Sentry gone before the store is asked.
func TestHangingUpDoesNotReachTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: newMemoryStore(t), OnReport: heard.add})
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		if status := deliver(relay, signed(eventAlert("f", time.Now())).WithContext(gone)); status != 200 {
			t.Errorf("status %d", status)
		}
		if len(heard.all()) > 0 || flags.count() != 1 {
			t.Errorf("%d switches, reports %v", flags.count(), heard.all())
		}
	})
}

// TestOffWins has one alert match two rules that disagree about a flag.
func TestOffWins(t *testing.T) {
	off := vwo.Rule{Alert: "f", Project: "shop", Target: flagOf("f")}
	on := off
	on.When, on.SwitchOn = []vwo.Trigger{vwo.IssueAlertTriggered}, true
	for _, rules := range [][]vwo.Rule{{off, on}, {on, off}, {on, off, on}} {
		synctest.Test(t, func(t *testing.T) {
			var flags switches
			relay := newRelay(t, vwo.RelayConfig{Rules: rules, Toggler: &flags})
			deliver(relay, signed(eventAlert("f", time.Now())))
			if done, _ := flags.all(); len(done) != 1 || done[0].enabled {
				t.Errorf("%+v", done)
			}
		})
	}
}

// TestDryRunLeavesTheStoreAlone starts a dry run on what another relay has left.
func TestDryRunLeavesTheStoreAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(context.Context, int) error { return errDown }}
		config := vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: newMemoryStore(t)}
		relay := newRelay(t, config)
		deliver(relay, signed(eventAlert("f", time.Now())))
		if err := relay.Close(t.Context()); err != nil {
			t.Error(err)
		}
		flags.fail, config.DryRun = nil, true
		newRelay(t, config)
		time.Sleep(time.Minute)
		if flags.count() > 0 {
			t.Error("a dry run has switched")
		}
	})
}

func TestReportThatBlocksStopsNoSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &stuckStore{Store: newMemoryStore(t), release: make(chan struct{})}
		var flags switches
		block := make(chan struct{})
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: stuck, OnReport: func(vwo.Report) { <-block }})
		go deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(10 * time.Second)
		if n := flags.count(); n != 1 {
			t.Errorf("%d switches while the report blocks", n)
		}
		close(block)
		close(stuck.release)
		time.Sleep(time.Minute)
	})
}

// TestReplayedDeadLetterIsTriedAgain has a person repair what was wrong and
// replay the switch, all within MaxAge.
func TestReplayedDeadLetterIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := answerOf(t, 404)
		flags := switches{fail: func(context.Context, int) error { return told }}
		store := newMemoryStore(t)
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: store, OnReport: heard.add})
		deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(time.Minute)
		flags.fail = nil
		if n, err := store.Replay(t.Context(), "vwo.relay"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(time.Minute)
		if stats, err := relay.Stats(t.Context()); err != nil || stats != (vwo.Stats{}) || flags.count() != 1 || len(heard.all()) != 1 {
			t.Errorf("%d switches, %d reports, %+v, %v", flags.count(), len(heard.all()), stats, err)
		}
	})
}
