package webhook_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestEmitterFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		small := newMemoryStore(t, webhook.MemoryStoreConfig{Capacity: 10})
		r := newRig(t, rigConfig{store: small})
		r.server.FailAlways(webhooktest.Status(503))
		r.emit(numberedChanges(10)...)
		more := someChange("flag")
		if err := r.emitter.Emit(t.Context(), more); !errors.Is(err, webhook.ErrStoreFull) {
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
		if err := r.emitter.Emit(t.Context(), someChange("flag")); !errors.Is(err, webhook.ErrStoreClosed) {
			t.Errorf("Emit: %v", err)
		}
		if err := r.emitter.Close(t.Context()); !errors.Is(err, webhook.ErrStoreClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

// shakyStore fails as told. What it does not fail it does.
type shakyStore struct {
	webhook.Store
	failTurn, failTake, failSettle, loseSettle, failEnqueue atomic.Int32 // how often
}

var errShaky = errors.New("the database is gone")

func due(n *atomic.Int32) bool { return n.Add(-1) >= 0 }

func (s *shakyStore) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	if due(&s.failEnqueue) {
		return 0, errShaky
	}
	return s.Store.Enqueue(ctx, queue, items...)
}

func (s *shakyStore) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	if due(&s.failTurn) {
		return nil, errShaky
	}
	turn, err := s.Store.Turn(ctx, queue)
	return &shakyTurn{turn, s}, err
}

type shakyTurn struct {
	webhook.Turn
	store *shakyStore
}

func (t *shakyTurn) Take(ctx context.Context, limit int) ([]webhook.Item, error) {
	if due(&t.store.failTake) {
		return nil, errShaky
	}
	return t.Turn.Take(ctx, limit)
}

func (t *shakyTurn) Settle(ctx context.Context, outcomes ...webhook.Outcome) error {
	if due(&t.store.failSettle) {
		return errShaky
	}
	if due(&t.store.loseSettle) {
		return errors.Join(webhook.ErrTurnLost, errShaky)
	}
	return t.Turn.Settle(ctx, outcomes...)
}

// TestEmitterShakyStore: whatever fails in the store, everything is delivered,
// and nothing twice.
func TestEmitterShakyStore(t *testing.T) {
	for name, shake := range map[string]func(*shakyStore){
		"turn":      func(s *shakyStore) { s.failTurn.Store(5) },
		"take":      func(s *shakyStore) { s.failTake.Store(5) },
		"settle":    func(s *shakyStore) { s.failSettle.Store(5) },
		"turn lost": func(s *shakyStore) { s.loseSettle.Store(5) },
		"all together": func(s *shakyStore) {
			s.failTurn.Store(3)
			s.failTake.Store(3)
			s.failSettle.Store(3)
			s.loseSettle.Store(3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &shakyStore{Store: newMemoryStore(t, webhook.MemoryStoreConfig{})}
				shake(store)
				r := newRig(t, rigConfig{store: store})
				changes := numberedChanges(350)
				r.emit(changes...)
				store.failEnqueue.Store(1)
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
		store := &shakyStore{Store: newMemoryStore(t, webhook.MemoryStoreConfig{})}
		r := newRig(t, rigConfig{store: store})
		store.failTake.Store(1 << 30)
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
		r := newRig(t, rigConfig{store: futureStore{newMemoryStore(t, webhook.MemoryStoreConfig{})}})
		if stats, err := r.emitter.Stats(t.Context()); err != nil || stats.OldestAge != 0 {
			t.Errorf("stats: %+v, %v", stats, err)
		}
	})
}

type futureStore struct{ webhook.Store }

func (futureStore) Stats(context.Context, string) (webhook.StoreStats, error) {
	return webhook.StoreStats{Waiting: 1, OldestWaiting: time.Now().Add(time.Hour).Round(0)}, nil
}
