package vwo_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
)

var errGone = errors.New("the database is gone")

// mortalStore fails from a moment on, also under a turn.
type mortalStore struct {
	webhook.Store
	dead *atomic.Bool
	// lost makes what fails under a turn a lost turn, as a broken connection is.
	lost bool
}

func (s mortalStore) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	if s.dead.Load() {
		return nil, errGone
	}
	turn, err := s.Store.Turn(ctx, queue)
	return mortalTurn{turn, s}, err
}

type mortalTurn struct {
	webhook.Turn
	store mortalStore
}

func (t mortalTurn) failure() error {
	switch {
	case !t.store.dead.Load():
		return nil
	case t.store.lost:
		return webhook.ErrTurnLost
	}
	return errGone
}

func (t mortalTurn) Take(ctx context.Context, limit int) ([]webhook.Item, error) {
	if err := t.failure(); err != nil {
		return nil, err
	}
	return t.Turn.Take(ctx, limit)
}

func (t mortalTurn) Settle(ctx context.Context, outcomes ...webhook.Outcome) error {
	if err := t.failure(); err != nil {
		return err
	}
	return t.Turn.Settle(ctx, outcomes...)
}

// TestStoreThatFailsAfterwards has the store fail when it has taken an alert
// whose flag could not be switched at once.
func TestStoreThatFailsAfterwards(t *testing.T) {
	for name, lost := range map[string]bool{"error": false, "broken connection": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dead atomic.Bool
				flags := switches{fail: func(_ context.Context, call int) error {
					if call == 1 {
						dead.Store(true)
						return errDown
					}
					return nil
				}}
				var records recorder
				relay := newRelay(t, vwo.RelayConfig{
					Rules: ruled("f"), Toggler: &flags, Store: mortalStore{newMemoryStore(t), &dead, lost}, Emitter: &records,
				})
				if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 && status != 200 {
					t.Errorf("status %d", status)
				}
				time.Sleep(20 * time.Second)
				if n := flags.count(); n != 1 {
					t.Errorf("%d switches while the store is gone, want 1", n)
				}
				dead.Store(false)
				time.Sleep(5 * time.Minute)
				if n, m := flags.count(), records.count(); n != 1 || m != 1 {
					t.Errorf("%d switches and %d records when it is back, want one each", n, m)
				}
				stats, err := relay.Stats(t.Context())
				if err != nil || stats.Waiting != 0 || !stats.OldestWaiting.IsZero() {
					t.Errorf("stats %+v, %v", stats, err)
				}
			})
		})
	}
}

type recorder struct{ n atomic.Int64 }

func (r *recorder) Emit(_ context.Context, changes ...webhook.Change) error {
	r.n.Add(int64(len(changes)))
	return nil
}

func (r *recorder) count() int { return int(r.n.Load()) }

// TestAnotherRelayIsStuck has somebody else hold the queue and do nothing.
func TestAnotherRelayIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore(t)
		turn, err := store.Turn(t.Context(), "vwo.relay")
		if err != nil {
			t.Fatal(err)
		}
		var flags switches
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, Store: store, OnReport: heard.add})
		accepted := time.Now()
		if status := deliver(relay, signed(eventAlert("f", accepted))); status != 202 {
			t.Errorf("status %d", status)
		}
		time.Sleep(10 * time.Minute)
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrDelayed) {
			t.Errorf("reports: %v", list)
		}
		if stats, err := relay.Stats(t.Context()); err != nil || stats.Waiting != 1 || !stats.OldestWaiting.Equal(accepted) {
			t.Errorf("stats %+v, %v", stats, err)
		}
		if err := turn.Release(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if n := flags.count(); n != 1 {
			t.Errorf("%d switches when the turn is free", n)
		}
	})
}

// TestRefusedTokenIsReportedAtOnce does not wait for MaxAge to say so.
func TestRefusedTokenIsReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int) error {
			if call < 4 {
				return vwo.ErrUnauthorized
			}
			return nil
		}}
		var heard reports
		relay := newRelay(t, vwo.RelayConfig{Rules: ruled("f"), Toggler: &flags, OnReport: heard.add})
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
			t.Errorf("status %d", status)
		}
		if list := heard.all(); len(list) != 1 || !errors.Is(list[0].Err, vwo.ErrDelayed) || !errors.Is(list[0].Err, vwo.ErrUnauthorized) {
			t.Errorf("reports: %v", list)
		}
		time.Sleep(time.Minute)
		if list := heard.all(); len(list) != 1 || flags.count() != 1 {
			t.Errorf("%d reports, %d switches", len(list), flags.count())
		}
	})
}
