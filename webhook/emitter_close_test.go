package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestEmitterCloseDrains(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{Linger: time.Hour}}, func(t *testing.T, r *rig) {
		r.emit(numberedChanges(1234)...)
		for range 2 {
			r.close()
		}
		if got := len(r.server.Changes()); got != 1234 {
			t.Errorf("%d of 1234 stored", got)
		}
	})
}

func TestEmitterCloseHonoursItsContext(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		r.server.FailAlways(webhooktest.Hold(nil))
		r.emit(numberedChanges(10)...)
		if _, err := r.server.WaitReceived(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := r.emitter.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stays in the store") {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		if again := r.emitter.Close(t.Context()); again == nil || again.Error() != err.Error() {
			t.Errorf("Close again: %v", again)
		}
		r.counts(10, 0)

		// The next emitter on the store delivers.
		r.server.Recover()
		next, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := len(r.server.Changes()); got != 10 {
			t.Errorf("%d of 10 stored", got)
		}
	})
}

// TestEmitterCloseEndsItsGoroutines, whatever state it is closed in: a bubble
// with a goroutine left in it fails.
func TestEmitterCloseEndsItsGoroutines(t *testing.T) {
	for name, fault := range map[string]webhooktest.Fault{
		"idle": {}, "outage": webhooktest.Status(503), "no answer": webhooktest.Hold(nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := newPair(t, webhooktest.Config{InMemory: true}, nil)
				store := newMemory(t, queue.MemoryConfig{})
				server.FailAlways(fault)
				emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{OnEvent: func(webhook.Event) {}})
				if err != nil {
					t.Fatal(err)
				}
				if name != "idle" {
					if err := emitter.Emit(t.Context(), numberedChanges(10)...); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				emitter.Close(ctx)
				server.Close()
			})
		})
	}
}

// TestEmitterCloseWithoutTheLease: it waits for the emitter that has it, for what
// waited when it was closed and no longer.
func TestEmitterCloseWithoutTheLease(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		synctest.Wait() // r.emitter has looked
		second, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		r.server.FailAlways(webhooktest.Status(503))
		if err := second.Emit(t.Context(), numberedChanges(3)...); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Second, r.server.Recover)
		start := time.Now()
		if err := second.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took < 10*time.Second || took > time.Minute {
			t.Errorf("Close took %v", took)
		}
		if got := len(r.server.Changes()); got != 3 {
			t.Errorf("%d of 3 stored when Close returned", got)
		}
	})
}

// TestEmitterCloseAmongBusyOnes: what others accept meanwhile is theirs.
func TestEmitterCloseAmongBusyOnes(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		synctest.Wait()
		second, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() {
			for ctx.Err() == nil {
				if r.emitter.Emit(ctx, numberedlessChanges(1)...) != nil {
					return
				}
				time.Sleep(10 * time.Millisecond) // below the linger: something waits at all times
			}
		})
		time.Sleep(time.Second)
		if err := second.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		cancel()
		busy.Wait()
	})
}

// TestEmitterCloseWithTheLeaseAmongBusyOnes: another emitter accepts changes
// faster than Sentry answers, so that the queue is never empty.
func TestEmitterCloseWithTheLeaseAmongBusyOnes(t *testing.T) {
	emitterTest(t, rigConfig{client: answersAfter(100 * time.Millisecond)}, func(t *testing.T, r *rig) {
		synctest.Wait() // r.emitter has looked
		second, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() {
			for second.Emit(ctx, numberedlessChanges(1)...) == nil {
				time.Sleep(50 * time.Millisecond)
			}
		})
		time.Sleep(time.Second)
		r.emit(numberedChanges(250)...)
		start := time.Now()
		deadline, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := r.emitter.Close(deadline); err != nil {
			t.Errorf("Close after %v: %v", time.Since(start), err)
		}
		if got := countNumbered(r.server.Changes()); got != 250 {
			t.Errorf("%d of 250 stored when Close returned", got)
		}
		cancel()
		busy.Wait()
		if err := second.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// answersAfter makes each request take a while.
func answersAfter(wait time.Duration) func(*webhook.Config) {
	return func(config *webhook.Config) {
		client := *config.HTTPClient
		client.Transport = slowTransport{client.Transport, wait}
		config.HTTPClient = &client
	}
}

type slowTransport struct {
	next http.RoundTripper
	wait time.Duration
}

func (s slowTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	time.Sleep(s.wait)
	return s.next.RoundTrip(request)
}

// countNumbered counts the changes that numberedChanges has made: the other
// ChangeIDs are large.
func countNumbered(changes []webhook.Change) int {
	n := 0
	for _, change := range changes {
		if change.ChangeID <= 1000 {
			n++
		}
	}
	return n
}

// TestEmitterCloseWithoutTheLeaseHonoursItsContext leaves an outage to the other.
func TestEmitterCloseWithoutTheLeaseHonoursItsContext(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		synctest.Wait()
		second, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		r.server.FailAlways(webhooktest.Status(503))
		if err := second.Emit(t.Context(), numberedChanges(3)...); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := second.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		r.server.Recover()
		r.close()
		if got := len(r.server.Changes()); got != 3 {
			t.Errorf("%d of 3 stored", got)
		}
	})
}

func TestEmitterEmitDuringClose(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		accepted := make(chan int)
		go func() {
			n := 0
			for _, change := range numberedChanges(1000) {
				switch err := r.emitter.Emit(t.Context(), change); {
				case err == nil:
					n++
				case !errors.Is(err, webhook.ErrEmitterClosed):
					t.Errorf("Emit: %v", err)
				}
				time.Sleep(time.Millisecond)
			}
			accepted <- n
		}()
		time.Sleep(300 * time.Millisecond)
		r.close()
		n := <-accepted
		if got := len(r.server.Changes()); got != n || n < 200 || n > 400 {
			t.Errorf("accepted %d, stored %d", n, got)
		}
	})
}

// TestEmitterCloseWaitsForEmit: what a slow store takes while Close is called is
// accepted, so that it is delivered.
func TestEmitterCloseWaitsForEmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{store: slowStore{newMemory(t, queue.MemoryConfig{})}})
		accepted := make(chan error, 1)
		go func() { accepted <- r.emitter.Emit(t.Context(), someChange("flag")) }()
		synctest.Wait()
		r.close()
		if err := <-accepted; err != nil || len(r.server.Changes()) != 1 {
			t.Errorf("accepted: %v, delivered: %d", err, len(r.server.Changes()))
		}
	})
}

type slowStore struct{ queue.Store }

func (s slowStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	time.Sleep(3 * time.Second)
	return s.Store.Add(ctx, name, a)
}

func TestEmitterFlush(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{Linger: time.Hour}}, func(t *testing.T, r *rig) {
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Errorf("nothing to flush: %v", err)
		}
		start := time.Now()
		r.emit(numberedChanges(250)...)
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(r.server.Changes()); got != 250 || time.Since(start) > time.Second {
			t.Errorf("%d of 250 stored after %v", got, time.Since(start))
		}

		r.server.FailAlways(webhooktest.Status(503))
		r.emit(someChange("flag"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.emitter.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush in an outage: %v", err)
		}
		r.server.Recover()
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Errorf("Flush after an outage: %v", err)
		}
		r.counts(0, 0)
	})
}

// TestEmitterFlushUnderLoad: Flush waits for what was there, not for ever.
func TestEmitterFlushUnderLoad(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{BatchSize: 10}}, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			for ctx.Err() == nil {
				// More than one request takes away.
				if r.emitter.Emit(ctx, numberedlessChanges(30)...) != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(10 * time.Millisecond)
		r.server.Fail(webhooktest.Status(503))
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func numberedlessChanges(n int) []webhook.Change {
	changes := make([]webhook.Change, n)
	for i := range changes {
		changes[i] = someChange("flag")
	}
	return changes
}
