package killswitch_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// distantStore takes its time.
type distantStore struct {
	queue.Store
	add, note time.Duration
}

func (s distantStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	time.Sleep(s.add)
	return s.Store.Add(ctx, name, a)
}

func (s distantStore) Note(ctx context.Context, name, note string) (queue.Note, error) {
	read, err := s.Store.Note(ctx, name, note)
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

// TestRelayThatDiesInItsTurn leaves a turn behind that nobody ends: it holds up no
// answer, and one write at most.
func TestRelayThatDiesInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		left := queue.Note{Name: "turn", Body: []byte("somebody who has died")}
		if _, err := store.Add(t.Context(), testQueue, queue.Addition{Note: &left}); err != nil {
			t.Fatal(err)
		}
		var heard reports
		relay := newRelay(t, killswitch.Config{Rules: ruled("f", "g"), Togglers: by(&switches{}), Store: store, OnReport: heard.add})
		for i, name := range []string{"f", "g"} {
			start := time.Now()
			status := deliver(relay, signed(eventAlert(name, time.Now())))
			if took := time.Since(start); status != 200 || i == 0 && took < 250*time.Millisecond || took > 400*time.Millisecond || i == 1 && took > 50*time.Millisecond {
				t.Errorf("alert %d: status %d after %v", i, status, took)
			}
		}
		if len(heard.all()) > 0 {
			t.Errorf("reports: %v", heard.all())
		}
	})
}
