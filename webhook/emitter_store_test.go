package webhook_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestEmitterFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		small := newMemory(t, queue.MemoryConfig{Capacity: 10})
		r := newRig(t, rigConfig{store: small})
		r.server.FailAlways(webhooktest.Status(503))
		r.emit(numberedChanges(10)...)
		more := someChange("flag")
		if err := r.emitter.Emit(t.Context(), more); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("Emit into a full store: %v", err)
		}
		r.server.Recover()
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.emit(more)
		r.close()
		if got := len(r.server.Changes()); got != 11 {
			t.Errorf("%d of 11 stored", got)
		}
	})
}

func TestEmitterStoreClosedUnderIt(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		r.server.FailAlways(webhooktest.Status(503))
		r.emit(someChange("flag"))
		synctest.Wait()
		r.store.Close()
		if err := r.emitter.Emit(t.Context(), someChange("flag")); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Emit: %v", err)
		}
		if err := r.emitter.Close(t.Context()); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

// shakyStore fails as told. What it does not fail it does.
type shakyStore struct {
	queue.Store
	failAdd, failLease, failDue, failSettle, loseSettle, failRelease atomic.Int32 // how often
}

var errShaky = errors.New("the database is gone")

func due(n *atomic.Int32) bool { return n.Add(-1) >= 0 }

func (s *shakyStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	if due(&s.failAdd) {
		return 0, errShaky
	}
	return s.Store.Add(ctx, name, a)
}

func (s *shakyStore) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if due(&s.failLease) {
		return 0, errShaky
	}
	return s.Store.Lease(ctx, name, owner, ttl)
}

func (s *shakyStore) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	if due(&s.failRelease) {
		return errShaky
	}
	return s.Store.Release(ctx, name, owner, rest)
}

func (s *shakyStore) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if due(&s.failDue) {
		return nil, errShaky
	}
	return s.Store.Due(ctx, name, after, limit)
}

func (s *shakyStore) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	if due(&s.failSettle) {
		return errShaky
	}
	err := s.Store.Settle(ctx, name, owner, outcomes...)
	if due(&s.loseSettle) {
		return errShaky // after the commit
	}
	return err
}

// TestEmitterShakyStore: whatever fails in the store, everything is delivered,
// and nothing twice.
func TestEmitterShakyStore(t *testing.T) {
	for name, shake := range map[string]func(*shakyStore){
		"lease":       func(s *shakyStore) { s.failLease.Store(5) },
		"due":         func(s *shakyStore) { s.failDue.Store(5) },
		"settle":      func(s *shakyStore) { s.failSettle.Store(5) },
		"settle lost": func(s *shakyStore) { s.loseSettle.Store(5) },
		"all together": func(s *shakyStore) {
			s.failLease.Store(3)
			s.failDue.Store(3)
			s.failSettle.Store(3)
			s.loseSettle.Store(3)
			s.failRelease.Store(3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &shakyStore{Store: newMemory(t, queue.MemoryConfig{})}
				shake(store)
				r := newRig(t, rigConfig{store: store})
				changes := numberedChanges(350)
				r.emit(changes...)
				store.failAdd.Store(1)
				if err := r.emitter.Emit(t.Context(), someChange("x")); !errors.Is(err, errShaky) {
					t.Errorf("Emit into a store that fails: %v", err)
				}
				r.close()
				got := r.server.Changes()
				if len(got) != 350 {
					t.Fatalf("%d stored, want 350", len(got))
				}
				for i := range got {
					if got[i] != changes[i] {
						t.Fatalf("change %d is out of order", i)
					}
				}
				if r.kinds()[webhook.EventPaused] == 0 || r.kinds()[webhook.EventResumed] == 0 {
					t.Errorf("events: %v", r.kinds())
				}
			})
		})
	}
}

// TestEmitterClosedWhileTheStoreHangs: Close does not wait for a database that
// does not answer.
func TestEmitterClosedWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shakyStore{Store: newMemory(t, queue.MemoryConfig{})}
		r := newRig(t, rigConfig{store: store})
		store.failDue.Store(1 << 30)
		r.emit(someChange("flag"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.emitter.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestEmitterOldestAgeWithAClockSetBack: an age is never negative.
func TestEmitterOldestAgeWithAClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{store: futureStore{newMemory(t, queue.MemoryConfig{})}})
		if stats, err := r.emitter.Stats(t.Context()); err != nil || stats.OldestAge != 0 {
			t.Errorf("stats: %+v, %v", stats, err)
		}
	})
}

type futureStore struct{ queue.Store }

func (futureStore) Stats(context.Context, string, int) (queue.Stats, error) {
	return queue.Stats{Waiting: 1, Oldest: time.Now().Add(time.Hour).Round(0)}, nil
}
