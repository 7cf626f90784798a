package queuetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func (s *suite) leaseIsExclusive() {
	store := s.open()
	s.lease(store, "me")
	s.waits(store, "you", s.unit())
	s.lease(store, "me") // renewed
	if wait, err := store.Lease(s.Context(), "another lease", "you", s.unit()); wait != 0 || err != nil {
		s.Errorf("another lease: %v, %v", wait, err)
	}
	s.waits(store, "you", s.unit())
	if stats := s.counts(store, 0, 0); !stats.Held || stats.Rest != 0 {
		s.Errorf("Stats: %+v", stats)
	}
}

func (s *suite) leaseEnds() {
	store := s.open()
	s.lease(store, "me")
	// Asking does not prolong it, for however long.
	if wait, err := store.Lease(s.Context(), name, "you", 5*s.unit()); wait <= 0 || wait > s.unit() || err != nil {
		s.Fatalf("Lease: wait %v, %v", wait, err)
	}
	s.pass(1)
	if s.counts(store, 0, 0).Held {
		s.Error("Stats: held, after the lease has ended")
	}
	s.lease(store, "you")
	s.waits(store, "me", s.unit())
	s.pass(1)
	s.lease(store, "you") // nobody else has taken it
	s.waits(store, "me", s.unit())
}

func (s *suite) leaseRenewed() {
	store := s.open()
	if wait, err := store.Lease(s.Context(), name, "me", 2*s.unit()); wait != 0 || err != nil {
		s.Fatal(wait, err)
	}
	s.pass(1)
	s.waits(store, "you", s.unit())
	if wait, err := store.Lease(s.Context(), name, "me", 2*s.unit()); wait != 0 || err != nil {
		s.Fatal(wait, err)
	}
	s.pass(1)
	s.waits(store, "you", s.unit())
	s.lease(store, "me") // shorter than it was
	s.pass(1)
	s.lease(store, "you")
}

func (s *suite) leaseReleased() {
	store := s.open()
	s.release(store, "me", s.unit()) // which was never taken
	s.lease(store, "me")
	s.release(store, "you", s.unit())
	s.waits(store, "you", s.unit())
	s.release(store, "me", 0)
	if s.counts(store, 0, 0).Held {
		s.Error("Stats: held, after the lease was given back")
	}
	s.lease(store, "you")
	s.release(store, "me", s.unit()) // for the second time
	s.waits(store, "me", s.unit())
	s.release(store, "you", 0)
	s.lease(store, "me")
}

func (s *suite) rest() {
	store := s.open()
	s.lease(store, "me")
	s.release(store, "me", 2*s.unit())
	for _, owner := range []string{"me", "you"} {
		s.waits(store, owner, 2*s.unit())
	}
	if stats := s.counts(store, 0, 0); stats.Held || stats.Rest <= s.unit() || stats.Rest > 2*s.unit() {
		s.Errorf("Stats: %+v", stats)
	}
	s.pass(1)
	s.waits(store, "me", s.unit())
	s.pass(1)
	if stats := s.counts(store, 0, 0); stats.Held || stats.Rest != 0 {
		s.Errorf("Stats after the rest: %+v", stats)
	}
	s.lease(store, "you")
	s.pass(1)
	s.release(store, "you", s.unit()) // it has run out, and nobody else has it
	s.waits(store, "me", s.unit())
}

func (s *suite) resumes() {
	store := s.open()
	resume := func() {
		s.Helper()
		if err := store.Resume(s.Context(), name); err != nil {
			s.Fatalf("Resume: %v", err)
		}
	}
	resume() // which was never taken
	s.lease(store, "me")
	resume()
	s.waits(store, "you", s.unit()) // who has it keeps it
	s.release(store, "me", 3*s.unit())
	s.waits(store, "you", 3*s.unit())
	resume()
	if stats := s.counts(store, 0, 0); stats.Rest != 0 {
		s.Errorf("Stats: %+v", stats)
	}
	s.lease(store, "you")
}

func (s *suite) leaseRace() {
	store := s.open()
	s.leaseRaceOn(store, store)
}

// leaseRaceOn asks for one lease after the other from all sides at once.
func (s *suite) leaseRaceOn(stores ...queue.Store) {
	s.Helper()
	for round := range 20 {
		var got atomic.Int32
		var all sync.WaitGroup
		for i, store := range stores {
			for j := range 3 {
				all.Go(func() {
					wait, err := store.Lease(s.Context(), fmt.Sprint("lease ", round), fmt.Sprint("owner ", i, j), time.Hour)
					if err != nil {
						s.Errorf("Lease: %v", err)
					}
					if wait == 0 {
						got.Add(1)
					}
				})
			}
		}
		all.Wait()
		if n := got.Load(); n != 1 {
			s.Fatalf("%d owners got a lease", n)
		}
	}
}

// clockSetBack sets the clock back by days: whatever was to end soon ends at
// once instead of days later.
func (s *suite) clockSetBack() {
	store := s.open()
	s.add(store, item("waits"), item("put off"))
	s.adds(store, 1, queue.Addition{Items: []queue.Item{item("held")}, Owner: "dead process", Hold: s.unit()})
	s.lease(store, "dead process")
	s.settle(store, "dead process", later(s.entry(store, "put off"), s.unit()))
	if wait, err := store.Lease(s.Context(), "rests", "me", s.unit()); wait != 0 || err != nil {
		s.Fatal(wait, err)
	}
	if err := store.Release(s.Context(), "rests", "me", s.unit()); err != nil {
		s.Fatal(err)
	}
	s.isDue(store, "waits")
	s.config.Shift(s.T, store, -48*s.unit())
	for _, e := range s.isDue(store, "waits", "put off", "held") {
		if e.Due.After(time.Now().Add(time.Minute)) {
			s.Errorf("%q is due, in %v", e.ID, time.Until(e.Due))
		}
	}
	if stats := s.counts(store, 3, 0); stats.Held || stats.Oldest.After(time.Now().Add(time.Minute)) {
		s.Errorf("Stats: %+v", stats)
	}
	s.lease(store, "me")
	s.waits(store, "you", s.unit())
	if wait, err := store.Lease(s.Context(), "rests", "you", s.unit()); wait != 0 || err != nil {
		s.Errorf("a rest: %v, %v", wait, err)
	}
}
