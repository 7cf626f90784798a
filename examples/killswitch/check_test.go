package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// asked is a flag system that can be asked.
type asked struct {
	refuses atomic.Bool
	times   atomic.Int32
}

func (*asked) Toggle(context.Context, killswitch.Switch) (killswitch.State, error) {
	return killswitch.StateUnknown, nil
}

func (a *asked) Check(context.Context, ...killswitch.Target) error {
	a.times.Add(1)
	if a.refuses.Load() {
		return errors.New("the token is refused")
	}
	return nil
}

// checking runs a checker over a flag system until stop is called.
func checking(t *testing.T, store queue.Store, flags *asked) (c *checker, stop func()) {
	t.Helper()
	c = newChecker(&parts{
		store: store, togglers: map[string]killswitch.Toggler{"flags": flags},
		rules: []killswitch.Rule{{Alert: "a", Project: "shop", Toggler: "flags", Target: killswitch.Target{Flag: "f"}}},
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	return c, func() { cancel(); <-done }
}

func sharedStore(t *testing.T) queue.Store {
	t.Helper()
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// TestChecksAgain has a flag system refuse and accept the token in turn: the
// health follows, though no alert comes.
func TestChecksAgain(t *testing.T) {
	for name, store := range map[string]func(*testing.T) queue.Store{"with a store": sharedStore, "without": func(*testing.T) queue.Store { return nil }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flags := &asked{}
				flags.refuses.Store(true)
				c, stop := checking(t, store(t), flags)
				defer stop()
				red := func(want bool, after time.Duration) {
					t.Helper()
					time.Sleep(after)
					synctest.Wait()
					if got := len(c.troubles()) > 0; got != want {
						t.Errorf("red %t, want %t, asked %d times", got, want, flags.times.Load())
					}
				}
				red(true, time.Second)
				flags.refuses.Store(false) // it was a short outage
				red(false, 31*time.Second)
				flags.refuses.Store(true) // months later the token ends
				red(true, 61*time.Minute)
				red(true, 24*time.Hour)
				flags.refuses.Store(false)
				red(false, 16*time.Minute)
				if n := flags.times.Load(); n > 130 {
					t.Errorf("asked %d times", n)
				}
			})
		})
	}
}

// TestChecksAfterARestart restarts a service with a token that is refused, right
// after a check that went well: the new process asks for itself.
func TestChecksAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, flags := sharedStore(t), &asked{}
		_, stop := checking(t, store, flags)
		time.Sleep(time.Second)
		stop()
		flags.refuses.Store(true)
		c, stop := checking(t, store, flags)
		time.Sleep(time.Second)
		if len(c.troubles()) != 1 {
			t.Errorf("%v", c.troubles())
		}
		stop()
	})
}

// TestChecksAfterACrash has a process die right after a check that went well,
// which another one heeds for a quarter of an hour: who has not asked yet does not
// wait for that, for the dead one may have had another token.
func TestChecksAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, flags := sharedStore(t), &asked{}
		lease := leaseOf("flags")
		if _, err := store.Lease(t.Context(), lease, "dead", checkWithin); err != nil {
			t.Fatal(err)
		}
		if err := store.Release(t.Context(), lease, "dead", checkAgain); err != nil {
			t.Fatal(err)
		}
		flags.refuses.Store(true)
		c, stop := checking(t, store, flags)
		defer stop()
		time.Sleep(checkFirst + time.Second)
		if n := flags.times.Load(); n != 1 || len(c.troubles()) != 1 {
			t.Errorf("asked %d times: %v", n, c.troubles())
		}
	})
}

// TestFirstChecksTakeTurns starts ten services at the same time: each asks once
// within a few minutes, and never two at a time.
func TestFirstChecksTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, flags := sharedStore(t), &asked{}
		for range 10 {
			_, stop := checking(t, store, flags)
			defer stop()
		}
		time.Sleep(checkFirst - time.Second)
		if n := flags.times.Load(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		time.Sleep(checkFirst)
		if n := flags.times.Load(); n < 2 || n > 10 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestOneChecksAtATime starts two services on one store: one asks, and the other
// later, so that the health of each is its own.
func TestOneChecksAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, flags := sharedStore(t), &asked{}
		_, first := checking(t, store, flags)
		defer first()
		time.Sleep(time.Second)
		second, stop := checking(t, store, flags)
		defer stop()
		time.Sleep(time.Minute)
		if n := flags.times.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		flags.refuses.Store(true)
		time.Sleep(checkAgain)
		if len(second.troubles()) != 1 {
			t.Errorf("%v", second.troubles())
		}
	})
}
