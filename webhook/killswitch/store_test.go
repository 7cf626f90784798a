package killswitch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// stuckStore is a store whose Add fails, or hangs until it is released.
type stuckStore struct {
	queue.Store
	release chan struct{}
	fail    error
	obey    bool // the context
}

func (s *stuckStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	select {
	case <-s.release:
		return s.Store.Add(ctx, name, a)
	default:
	}
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
	return s.Store.Add(context.WithoutCancel(ctx), name, a)
}

// TestStoreThatDoesNotTakeIt switches from memory, says so, and has the records
// and the journal right once the store is back.
func TestStoreThatDoesNotTakeIt(t *testing.T) {
	for name, stuck := range map[string]*stuckStore{
		"fails": {fail: errors.New("disk full")}, "hangs": {}, "hangs until told": {obey: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stuck.Store, stuck.release = newStore(t), make(chan struct{})
				var flags switches
				var heard reports
				var recorded records
				relay := newRelay(t, killswitch.Config{
					Rules: ruled("f"), Togglers: by(&flags), Store: stuck, OnReport: heard.add, Emitter: &recorded, CoolDown: -1,
				})
				for i := range 12 {
					start := time.Now()
					if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 || time.Since(start) > 700*time.Millisecond {
						t.Errorf("status %d after %v", status, time.Since(start))
					}
					if n := flags.count(); n != i+1 {
						t.Errorf("%d switches", n)
					}
				}
				if n := heard.about(killswitch.ErrStore); n < 12 {
					t.Errorf("reports: %v", heard.all())
				}
				if stats, err := relay.Stats(t.Context()); err != nil || stats.InMemory != 12 {
					t.Errorf("%+v, %v", stats, err)
				}
				time.Sleep(10 * time.Second)
				close(stuck.release)
				time.Sleep(time.Minute)
				// Where it is open whether the store had it, a flag is switched off once more.
				if n := flags.count(); n < 12 || len(recorded.all()) != 12 {
					t.Errorf("%d switches, %d records", n, len(recorded.all()))
				}
				if stats, err := relay.Stats(t.Context()); err != nil || stats.Waiting != 0 || stats.InMemory != 0 || stats.SwitchedOff != 1 {
					t.Errorf("%+v, %v", stats, err)
				}
			})
		})
	}
}

// TestSwitchWhoseAnswerToAddIsLost has the store commit and not say so.
func TestSwitchWhoseAnswerToAddIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var heard reports
		var recorded records
		store := &forgetfulStore{Store: newStore(t)}
		relay := newRelay(t, killswitch.Config{Rules: ruled("f", "g"), Togglers: by(&flags), Store: store, OnReport: heard.add, Emitter: &recorded, CapPerHour: 2})
		for _, name := range []string{"f", "g"} {
			store.lose.Store(2)
			deliver(relay, signed(eventAlert(name, time.Now())))
			time.Sleep(10 * time.Second)
		}
		if n := flags.count(); n != 2 && n != 4 || len(recorded.all()) != 2 || heard.about(killswitch.ErrNotSwitched) > 0 {
			t.Errorf("%d switches, %d records, reports %v", n, len(recorded.all()), heard.all())
		}
		if stats, err := relay.Stats(t.Context()); err != nil || stats.Waiting != 0 || stats.InMemory != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

type forgetfulStore struct {
	queue.Store
	lose atomic.Int64
}

func (s *forgetfulStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	n, err := s.Store.Add(ctx, name, a)
	if err == nil && s.lose.Add(-1) >= 0 {
		return 0, errDown
	}
	return n, err
}

// TestOnlyTheJournalSwitchesOn has the store hang: nothing is switched on from
// memory.
func TestOnlyTheJournalSwitchesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &stuckStore{Store: newStore(t), release: make(chan struct{}), obey: true}
		var flags switches
		relay := newRelay(t, killswitch.Config{Rules: ruledBack("m"), Togglers: by(&flags), Store: stuck})
		deliver(relay, signed(metricAlert("m", "critical", time.Now())))
		time.Sleep(time.Second)
		deliver(relay, signed(metricAlert("m", "resolved", time.Now())))
		time.Sleep(time.Minute)
		if flags.isOn("m") {
			t.Error("switched on from memory")
		}
		close(stuck.release)
		time.Sleep(time.Minute)
		if !flags.isOn("m") {
			t.Error("not switched on when the store is back")
		}
	})
}

// TestBurst has 30 right alerts at once at a healthy store: none is said to be in
// memory only, and a process that dies after its answers has lost none.
func TestBurst(t *testing.T) {
	for _, n := range []int{12, 30} {
		synctest.Test(t, func(t *testing.T) {
			h := &history{store: newStore(t)}
			names := flagNames(n)
			p := &process{Store: h.store, h: h}
			var heard reports
			h.slow.Store(true)
			h.down.Store(true)
			config := killswitch.Config{Rules: ruled(names...), Togglers: by(p), Store: p, Emitter: p, OnReport: heard.add}
			p.relay = newRelay(t, config)
			var wg sync.WaitGroup
			for _, name := range names {
				wg.Go(func() {
					if status := deliver(p.relay, signed(eventAlert(name, time.Now()))); status != 202 {
						t.Errorf("status %d", status)
					}
				})
			}
			wg.Wait()
			p.dead.Store(true) // kill -9
			if heard.about(killswitch.ErrStore) > 0 {
				t.Errorf("a healthy store is said to fail: %v", heard.all())
			}
			h.down.Store(false)
			next := &process{Store: h.store, h: h}
			config.Togglers, config.Store, config.Emitter = by(next), next, next
			newRelay(t, config)
			time.Sleep(30 * time.Second)
			lost := 0
			for _, name := range names {
				if h.flags.isOn(name) {
					lost++
				}
			}
			if lost > 0 || len(h.recorded.all()) != n {
				t.Errorf("%d of %d lost, %d records", lost, n, len(h.recorded.all()))
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_ = p.relay.Close(ended)
		})
	}
}

// TestSIGTERMWhileTheFlagSystemHangs ends within its deadline, and the journal has
// what was in the air.
func TestSIGTERMWhileTheFlagSystemHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := flagNames(53)
		flags := switches{fail: hanging}
		store := newStore(t)
		config := killswitch.Config{Rules: ruled(names...), Togglers: by(&flags), Store: store}
		relay := newRelay(t, config)
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() { deliver(relay, signed(eventAlert(name, time.Now()))) })
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := relay.Close(ctx); err != nil || time.Since(start) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		flags.setFail(nil)
		newRelay(t, config)
		time.Sleep(5 * time.Second) // what was given back is taken at once
		if n := flags.count(); n != 53 {
			t.Errorf("%d switches by the next process", n)
		}
	})
}

func TestCloseWithoutAStore(t *testing.T) {
	t.Run("tries until it works", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			flags := switches{fail: func(_ context.Context, call int, _ killswitch.Switch) error {
				if call < 4 {
					return errDown
				}
				return nil
			}}
			relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags)})
			if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
				t.Errorf("status %d", status)
			}
			if err := relay.Close(t.Context()); err != nil || flags.count() != 1 {
				t.Errorf("%v after %d switches", err, flags.count())
			}
			closed(t, relay)
			if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 503 {
				t.Errorf("status %d after the end", status)
			}
		})
	})
	t.Run("reports what is lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			flags := switches{fail: hanging}
			var heard reports
			relay := newRelay(t, killswitch.Config{Rules: ruled("f", "g"), Togglers: by(&flags), OnReport: heard.add})
			for _, name := range []string{"f", "g"} {
				deliver(relay, signed(eventAlert(name, time.Now())))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()
			if err := relay.Close(ctx); !errors.Is(err, killswitch.ErrNotSwitched) {
				t.Errorf("%v", err)
			}
			if took := time.Since(start); took > 5*time.Second || heard.about(killswitch.ErrNotSwitched) != 2 {
				t.Errorf("it took %v, reports %v", took, heard.all())
			}
		})
	})
	t.Run("despite a deaf toggler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			flags := switches{fail: func(context.Context, int, killswitch.Switch) error { <-release; return nil }}
			relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags)})
			deliver(relay, signed(eventAlert("f", time.Now())))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := relay.Close(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			close(release)
			_ = relay.Close(t.Context())
		})
	})
}

// TestStoreThatIsAwayAtTheStart keeps no kill switch from starting.
func TestStoreThatIsAwayAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{store: newStore(t)}
		p := &process{Store: h.store, h: h}
		p.hangs.Store(true)
		var heard reports
		start := time.Now()
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(p), Store: p, Emitter: p, OnReport: heard.add})
		if took := time.Since(start); took > time.Second || heard.about(killswitch.ErrStore) != 1 {
			t.Errorf("it took %v, reports %v", took, heard.all())
		}
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 || h.flags.isOn("f") {
			t.Errorf("status %d", status)
		}
		time.Sleep(5 * time.Minute)
		if n := heard.about(killswitch.ErrStore); n > 3 {
			t.Errorf("%d reports of one outage", n)
		}
		if health := relay.Health(t.Context()); len(health) == 0 || health[0].Restart {
			t.Errorf("%+v", health)
		}
		p.hangs.Store(false)
		time.Sleep(time.Minute)
		if health := relay.Health(t.Context()); len(health) > 0 || len(h.recorded.all()) != 1 {
			t.Errorf("%+v, %d records", health, len(h.recorded.all()))
		}
	})
}

// TestRestoreEndsTheCoolDown has the same alert act again once a person has
// restored the flag, from another process.
func TestRestoreEndsTheCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var decided decisions
		var recorded records
		store := newStore(t)
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnDecision: decided.add, Store: store, Emitter: &recorded})
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonCoolingDown)
		time.Sleep(time.Second)
		journal := killswitch.OpenJournal(store, testQueue)
		off, err := journal.SwitchedOff(t.Context())
		if err != nil || len(off) != 1 || off[0].Alert != "f" || off[0].Flag != "f" || off[0].Was != killswitch.StateOn || time.Since(off[0].Since) > 2*time.Second {
			t.Fatalf("%+v, %v", off, err)
		}
		restored, err := journal.Restore(t.Context(), killswitch.Restoration{Flag: "f", By: "ada@example.com", Toggler: &flags, Emitter: &recorded, Logger: silent})
		if err != nil || !restored.On || !flags.isOn("f") {
			t.Fatalf("%+v, %v, on=%t", restored, err, flags.isOn("f"))
		}
		changes := recorded.all()
		if len(changes) != 2 || changes[1].CreatedBy.ID != "ada@example.com" || changes[1].CreatedBy.Type != "email" || changes[1].Flag != "f" {
			t.Errorf("%+v", changes)
		}
		if off, err := journal.SwitchedOff(t.Context()); err != nil || len(off) > 0 {
			t.Errorf("%+v, %v", off, err)
		}
		// At once: what the relay remembers is old, and to ignore it asks the store.
		expect(t, relay, &decided, eventAlert("f", time.Now()), 200, killswitch.ReasonActs)
		if flags.isOn("f") {
			t.Error("the alert did not act")
		}
		if _, err := journal.Restore(t.Context(), killswitch.Restoration{Flag: "g", By: "Ada", Toggler: &flags, Logger: silent}); !errors.Is(err, killswitch.ErrNotSwitchedOff) {
			t.Errorf("%v", err)
		}
	})
}

// TestRestoreGoesBackToTheStateBefore has flags that were off, or of which that is
// not known.
func TestRestoreGoesBackToTheStateBefore(t *testing.T) {
	for name, was := range map[string]killswitch.State{"was on": killswitch.StateOn, "was off": killswitch.StateOff, "unknown": killswitch.StateUnknown} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var flags switches
				flags.states = map[string]bool{"f": was == killswitch.StateOff}
				toggler := toggleFunc(func(ctx context.Context, s killswitch.Switch) (killswitch.State, error) {
					before, err := flags.Toggle(ctx, s)
					if was == killswitch.StateUnknown {
						before = was
					}
					return before, err
				})
				store := newStore(t)
				relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(toggler), Store: store, CoolDown: -1})
				for range 2 { // the second finds it off, which is the relay's doing
					deliver(relay, signed(eventAlert("f", time.Now())))
					time.Sleep(time.Minute)
				}
				journal := killswitch.OpenJournal(store, testQueue)
				ask := killswitch.Restoration{Flag: `f environment=production`, By: "Ada", Toggler: toggler, Logger: silent}
				restored, err := journal.Restore(t.Context(), ask)
				switch was {
				case killswitch.StateOn:
					if err != nil || !restored.On || !flags.isOn("f") {
						t.Errorf("%+v, %v", restored, err)
					}
				case killswitch.StateOff:
					if err != nil || restored.On || flags.isOn("f") {
						t.Errorf("%+v, %v", restored, err)
					}
				default:
					if !errors.Is(err, killswitch.ErrFormerState) || flags.isOn("f") {
						t.Errorf("%+v, %v", restored, err)
					}
					ask.Force = true
					if restored, err := journal.Restore(t.Context(), ask); err != nil || !restored.On || !flags.isOn("f") {
						t.Errorf("forced: %+v, %v", restored, err)
					}
				}
			})
		})
	}
}

// flagNames are n flags.
func flagNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, "flag-"+string(rune('a'+i/26))+string(rune('a'+i%26)))
	}
	return names
}

// slowDisk is a store that has one disk, which takes its time for each writing.
type slowDisk struct {
	queue.Store
	disk chan struct{}
}

// write waits for the disk, which somebody else may be using.
func (s *slowDisk) write() {
	s.disk <- struct{}{}
	time.Sleep(15 * time.Millisecond)
	<-s.disk
}

func (s *slowDisk) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	s.write()
	return s.Store.Add(ctx, name, a)
}

func (s *slowDisk) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	s.write()
	return s.Store.Settle(ctx, name, owner, outcomes...)
}

func (s *slowDisk) Emit(context.Context, ...webhook.Change) error {
	s.write()
	return nil
}

// TestBurstOnASlowDisk sends 400 alerts within a second to a relay whose store can
// write 66 times in that second, the flag log's records included. The journal has
// each of them before its answer is due.
func TestBurstOnASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alerts = 400
		disk := &slowDisk{newStore(t), make(chan struct{}, 1)}
		var flags switches
		var heard reports
		var names []string
		for i := range alerts {
			names = append(names, fmt.Sprint("flag-", i))
		}
		relay := newRelay(t, killswitch.Config{
			Rules: ruled(names...), Togglers: by(&flags), Store: disk, Emitter: disk, OnReport: heard.add,
		})
		var all sync.WaitGroup
		for i, name := range names {
			if i%8 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
			all.Go(func() {
				if status := deliver(relay, signed(eventAlert(name, time.Now()))); status != 200 {
					t.Errorf("%s: status %d", name, status)
				}
			})
		}
		all.Wait()
		if n := heard.about(killswitch.ErrStore); n > 0 {
			t.Errorf("%d of %d switches were only in memory when their answer was due", n, alerts)
		}
		closed(t, relay)
	})
}

// distantStore takes its time.
type distantStore struct {
	queue.Store
	add, note time.Duration
}

func (s distantStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	time.Sleep(s.add)
	return s.Store.Add(ctx, name, a)
}

func (s distantStore) Notes(ctx context.Context, name string, notes ...string) ([]queue.Note, error) {
	read, err := s.Store.Notes(ctx, name, notes...)
	time.Sleep(s.note)
	return read, err
}

// TestBusyRelayLetsAnotherWrite has a relay with an alert every few milliseconds
// beside a slower one on the same store. The slower one's alerts come to be in the
// journal in time all the same, and nothing is lost when it dies after its answer.
func TestBusyRelayLetsAnotherWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		names := flagNames(1000)
		hangs := switches{fail: hanging}
		var heard reports
		near := newRelay(t, killswitch.Config{Rules: ruled(names...), Togglers: by(&switches{}), Store: distantStore{store, 10 * time.Millisecond, time.Millisecond}})
		far := newRelay(t, killswitch.Config{
			Rules: ruled(names...), Togglers: by(&hangs), OnReport: heard.add,
			Store: distantStore{store, 20 * time.Millisecond, 30 * time.Millisecond},
		})
		var all sync.WaitGroup
		for i, name := range names {
			relay := near
			if i%100 == 50 {
				relay = far
			}
			all.Go(func() { deliver(relay, signed(eventAlert(name, time.Now()))) })
			time.Sleep(5 * time.Millisecond)
		}
		all.Wait()
		if n := heard.about(killswitch.ErrStore); n > 0 {
			t.Errorf("%d of 10 switches were only in memory for longer than an answer may take", n)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = far.Close(ended)
	})
}

// sharedDisk is a store that several relays share, in which every call costs time for
// the entries and the bytes that it moves, and in which one can write at a time.
type sharedDisk struct {
	queue.Store
	disk chan struct{}
}

func (s *sharedDisk) spend(entries, bytes int) {
	time.Sleep(5*time.Millisecond + time.Duration(entries)*30*time.Microsecond + time.Duration(bytes)*20*time.Nanosecond)
}

func (s *sharedDisk) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	s.disk <- struct{}{}
	defer func() { <-s.disk }()
	bytes := 0
	for _, item := range a.Items {
		bytes += len(item.Body)
	}
	for _, note := range a.Notes {
		bytes += len(note.Body)
	}
	s.spend(len(a.Items)+len(a.Notes), bytes)
	return s.Store.Add(ctx, name, a)
}

func (s *sharedDisk) Notes(ctx context.Context, name string, names ...string) ([]queue.Note, error) {
	notes, err := s.Store.Notes(ctx, name, names...)
	bytes := 0
	for _, note := range notes {
		bytes += len(note.Body)
	}
	s.spend(len(notes), bytes)
	return notes, err
}

func (s *sharedDisk) List(ctx context.Context, name string, f queue.Filter) ([]queue.Entry, error) {
	entries, err := s.Store.List(ctx, name, f)
	s.spend(len(entries), 500*len(entries))
	return entries, err
}

func (s *sharedDisk) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	s.disk <- struct{}{}
	defer func() { <-s.disk }()
	s.spend(len(outcomes), 0)
	return s.Store.Settle(ctx, name, owner, outcomes...)
}

// TestBurstAtTwoRelays sends alerts about 1,500 flags at once to two relays on one
// disk, after as many that are switched off already. The journal has each before its
// answer is due, and no relay waits for the other.
func TestBurstAtTwoRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alerts = 1500
		names := make([]string, 2*alerts)
		for i := range names {
			names[i] = fmt.Sprint("flag-", i)
		}
		store := queueOf(t, 10*alerts)
		disk := &sharedDisk{store, make(chan struct{}, 1)}
		var flags switches
		var heard reports
		var relays [2]*killswitch.Relay
		for i := range relays {
			relays[i] = newRelay(t, killswitch.Config{Rules: ruled(names...), Togglers: by(&flags), Store: disk, OnReport: heard.add})
		}
		for wave := range 2 {
			var all sync.WaitGroup
			for i, name := range names[wave*alerts:][:alerts] {
				all.Go(func() {
					if status := deliver(relays[i%2], signed(eventAlert(name, time.Now()))); status != 200 {
						t.Errorf("%s: status %d", name, status)
					}
				})
			}
			all.Wait()
			if n := heard.about(killswitch.ErrStore); n > 0 {
				t.Fatalf("wave %d: %d of %d switches were only in memory when their answer was due", wave, n, alerts)
			}
			time.Sleep(time.Minute)
		}
		if stats, err := relays[0].Stats(t.Context()); err != nil || stats.Waiting != 0 || stats.SwitchedOff != 2*alerts || flags.count() != 2*alerts {
			t.Errorf("%+v, %v, %d switches", stats, err, flags.count())
		}
	})
}

// TestHealthOfAStoreThatTakesNothing has a store that can be asked and takes
// nothing, as a locked one does.
func TestHealthOfAStoreThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &stuckStore{Store: newStore(t), release: make(chan struct{}), obey: true}
		var flags switches
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), Store: stuck})
		deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(5 * time.Second)
		if code, text := get(relay.ServeHealth); code != 503 || !strings.HasPrefix(text, "page: the store takes nothing: 1 switches are only in memory") {
			t.Errorf("%d %s", code, text)
		}
		if _, text := get(relay.ServeMetrics); !strings.Contains(text, "killswitch_store_up 0\n") {
			t.Error(text)
		}
		close(stuck.release)
		time.Sleep(5 * time.Second)
		if code, text := get(relay.ServeHealth); code != 200 {
			t.Errorf("%d %s", code, text)
		}
	})
}

// TestTogglerThatWasRenamed leaves a switch in the queue of a toggler that the
// next relay does not have.
func TestTogglerThatWasRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		flags := switches{fail: failing(errDown)}
		before := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), Store: store})
		deliver(before, signed(eventAlert("f", time.Now())))
		closed(t, before)
		after := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: map[string]killswitch.Toggler{"renamed": &flags}, Store: store})
		time.Sleep(3 * time.Minute)
		if code, text := get(after.ServeHealth); code != 503 || !strings.Contains(text, "was a toggler renamed?") {
			t.Errorf("%d %s", code, text)
		}
	})
}

// TestTogglerThatDoesNotReturn has one that does not heed its context. A person is
// told; what else could be done about it is none of the relay's doing.
func TestTogglerThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		toggler := toggleFunc(func(context.Context, killswitch.Switch) (killswitch.State, error) {
			<-release
			return killswitch.StateOn, nil
		})
		var heard reports
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(toggler), OnReport: heard.add})
		deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(time.Minute)
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, killswitch.ErrDelayed) || !strings.Contains(list[0].Err.Error(), "does not return") {
			t.Errorf("reports: %v", list)
		}
		close(release)
	})
}
