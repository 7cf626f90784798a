package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

func (s *suite) turnIsExclusive() {
	store := s.open()
	s.exclusive(store, store)
}

// exclusive checks that while the turn is held through one store, nobody gets
// it through the other, and that its release lets one waiter in.
func (s *suite) exclusive(holder, other webhook.Store) {
	s.Helper()
	first, err := holder.Turn(s.Context(), queue)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
	defer cancel()
	if second, err := other.Turn(ctx, queue); err == nil {
		s.release(second)
		s.Fatal("two takers have the turn")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("waiting for the turn ended with %v, want the context's error", err)
	}

	type result struct {
		turn webhook.Turn
		err  error
	}
	got := make(chan result)
	go func() {
		turn, err := other.Turn(s.Context(), queue)
		got <- result{turn, err}
	}()
	if err := first.Release(); err != nil {
		s.Errorf("Release: %v", err)
	}
	select {
	case r := <-got:
		if r.err != nil {
			s.Fatal(r.err)
		}
		if err := r.turn.Release(); err != nil {
			s.Errorf("Release: %v", err)
		}
	case <-time.After(patience):
		s.Fatal("a released turn does not pass on")
	}
}

func (s *suite) turnReleased() {
	store := s.open()
	s.enqueue(store, item("a"))
	turn := s.turn(store)
	s.holds(turn, "a")
	for range 2 {
		if err := turn.Release(); err != nil {
			s.Errorf("Release: %v", err)
		}
	}
	next := s.turn(store)
	if _, err := turn.Take(s.Context(), 1); !errors.Is(err, webhook.ErrTurnLost) {
		s.Errorf("Take under a turn that is over: %v", err)
	}
	if err := turn.Settle(s.Context(), done("a")); !errors.Is(err, webhook.ErrTurnLost) {
		s.Errorf("Settle under a turn that is over: %v", err)
	}
	if err := turn.Release(); err != nil {
		s.Errorf("Release: %v", err)
	}
	if err := next.Settle(s.Context(), done("a"), webhook.Outcome{ID: "a", State: 7}); err == nil {
		s.Error("an unknown ItemState was settled")
	}
	s.holds(next, "a")
}

func (s *suite) contexts() {
	store := s.open()
	turn := s.turn(store)
	s.enqueue(store, item("a"), item("b"))
	s.settle(turn, died("b", "why"))

	ended, cancel := context.WithCancel(s.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"ended": ended, "nil": nil} {
		_, enqueue := store.Enqueue(ctx, queue, item("c"))
		_, get := store.Turn(ctx, "another")
		_, dead := store.Dead(ctx, queue, "", 1)
		_, replay := store.Replay(ctx, queue)
		_, stats := store.Stats(ctx, queue)
		_, take := turn.Take(ctx, 1)
		settle := turn.Settle(ctx, done("a"))
		for call, err := range map[string]error{
			"Enqueue": enqueue, "Turn": get, "Dead": dead, "Replay": replay, "Stats": stats, "Take": take, "Settle": settle,
		} {
			if err == nil || name == "ended" && !errors.Is(err, context.Canceled) {
				s.Errorf("%s with a context that is %s: %v", call, name, err)
			}
		}
	}
	s.holds(turn, "a")
	s.counts(store, 1, 1)
}

func (s *suite) closed() {
	store := s.config.Open(s.T, Options{Dir: s.dir, DedupeWindow: time.Hour})
	s.enqueue(store, item("a"))
	turn, err := store.Turn(s.Context(), queue)
	if err != nil {
		s.Fatal(err)
	}
	waiter := make(chan error, 1)
	go func() {
		_, err := store.Turn(s.Context(), queue)
		waiter <- err
	}()
	s.close(store)
	s.close(store) // may be called again
	select {
	case err := <-waiter:
		if !errors.Is(err, webhook.ErrStoreClosed) {
			s.Errorf("who waited for a turn got %v", err)
		}
	case <-time.After(patience):
		s.Fatal("who waited for a turn waits still")
	}
	_, enqueue := store.Enqueue(s.Context(), queue, item("b"))
	_, get := store.Turn(s.Context(), queue)
	_, dead := store.Dead(s.Context(), queue, "", 1)
	_, replay := store.Replay(s.Context(), queue)
	_, stats := store.Stats(s.Context(), queue)
	_, take := turn.Take(s.Context(), 1)
	settle := turn.Settle(s.Context(), done("a"))
	for call, err := range map[string]error{
		"Enqueue": enqueue, "Turn": get, "Dead": dead, "Replay": replay, "Stats": stats, "Take": take, "Settle": settle,
	} {
		if !errors.Is(err, webhook.ErrStoreClosed) {
			s.Errorf("%s on a closed store: %v", call, err)
		}
	}
	if err := turn.Release(); err != nil {
		s.Errorf("Release on a closed store: %v", err)
	}
}

// manyTakers has several takers settle what several others enqueue: each item
// once, in order per key.
func (s *suite) manyTakers() {
	store := s.open()
	s.race([]webhook.Store{store, store, store}, 120)
}

// race lets one producer and one taker per store work on a queue at once.
func (s *suite) race(stores []webhook.Store, each int) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		taken = make(map[string][]string) // by key
		count int
	)
	for p, store := range stores {
		key := string(rune('A' + p))
		wg.Go(func() {
			for i := range each {
				if _, err := store.Enqueue(s.Context(), queue, webhook.Item{ID: numbered(key, i), Key: key}); err != nil {
					s.Errorf("Enqueue: %v", err)
					return
				}
			}
		})
		wg.Go(func() {
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
				mu.Lock()
				complete := count == each*len(stores)
				mu.Unlock()
				if complete {
					return
				}
				turn, err := store.Turn(s.Context(), queue)
				if err != nil {
					s.Errorf("Turn: %v", err)
					return
				}
				items, err := turn.Take(s.Context(), 10)
				var outcomes []webhook.Outcome
				mu.Lock()
				for _, item := range items {
					taken[item.Key] = append(taken[item.Key], item.ID)
					outcomes = append(outcomes, done(item.ID))
				}
				count += len(items)
				mu.Unlock()
				if err := errors.Join(err, turn.Settle(s.Context(), outcomes...), turn.Release()); err != nil {
					s.Errorf("a turn: %v", err)
					return
				}
			}
			s.Error("not all items were taken in time")
		})
	}
	wg.Wait()
	for key, ids := range taken {
		for i, id := range ids {
			if id != numbered(key, i) {
				s.Fatalf("key %s: item %d is %q, out of order or twice", key, i, id)
			}
		}
	}
	s.counts(stores[0], 0, 0)
}
