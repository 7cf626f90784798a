package sqlstore_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// testEmitter is an emitter with short times that keeps its events.
type testEmitter struct {
	*webhook.Emitter

	mu     sync.Mutex
	events []webhook.Event
	times  []time.Time
}

func emitterOn(tb testing.TB, store queue.Store, sink *sink, lease time.Duration) *testEmitter {
	tb.Helper()
	client, err := webhook.NewClient(webhook.Config{URL: sink.url(), Secrets: []signing.Secret{signing.NewSecret(sinkSecret)}})
	if err != nil {
		tb.Fatal(err)
	}
	e := &testEmitter{}
	e.Emitter, err = webhook.NewEmitter(client, store, webhook.EmitterConfig{
		Queue: testQueue, Linger: -1, PollInterval: 100 * time.Millisecond, Lease: lease,
		OnEvent: e.note, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func (e *testEmitter) note(event webhook.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, event)
	e.times = append(e.times, time.Now())
}

// since returns how long after a time the first event of a kind came.
func (e *testEmitter) since(kind webhook.EventKind, start time.Time) (time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.events, func(event webhook.Event) bool { return event.Kind == kind })
	for ; i >= 0 && i < len(e.events); i++ {
		if e.events[i].Kind == kind && e.times[i].After(start) {
			return e.times[i].Sub(start), true
		}
	}
	return 0, false
}

// emit emits a change until the store takes it, as the same change.
func (e *testEmitter) emit(ctx context.Context, i int) error {
	for {
		call, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := e.Emit(call, crashChange(i))
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end closes the emitter and fails unless all was delivered in order, with no
// more repeats than allowed.
func (e *testEmitter) end(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		tb.Errorf("Close: %v", err)
	}
}

// eventually waits for a condition, for two minutes.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it never came true that %s", what)
		}
	}
}

// judged fails unless n changes have arrived, in order and hardly twice.
func (s *sink) judged(tb testing.TB, n, repeats int) {
	tb.Helper()
	if unique := s.unique(); unique != n {
		tb.Errorf("%d of %d changes have arrived", unique, n)
	}
	if got := s.repeats(); got > repeats {
		tb.Errorf("%d repeats, %d are allowed", got, repeats)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inversions > 0 || s.badSignatures > 0 {
		tb.Errorf("%d inversions, %d bad signatures", s.inversions, s.badSignatures)
	}
}
