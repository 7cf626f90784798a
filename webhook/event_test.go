package webhook_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// TestOnEventCannotStopDelivery has a callback that hangs, then panics.
func TestOnEventCannotStopDelivery(t *testing.T) {
	var text lockedBuffer
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, rigConfig{emitter: webhook.EmitterConfig{
			BatchSize: 1,
			Logger:    slog.New(slog.NewTextHandler(&text, nil)),
			OnEvent: func(webhook.Event) {
				<-release
				panic("a defect of the caller's")
			},
		}})
		r.emit(numberedChanges(2000)...)
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(r.server.Changes()); got != 2000 {
			t.Errorf("%d of 2000 stored", got)
		}
		if stats := r.counts(0, 0); stats.DroppedEvents != 2000-1024-1 {
			t.Errorf("%d events were dropped", stats.DroppedEvents)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.emitter.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "OnEvent") {
			t.Errorf("Close while OnEvent hangs: %v", err)
		}
		close(release)
		r.close()
	})
	if got := strings.Count(text.String(), "OnEvent panicked"); got != 1025 {
		t.Errorf("%d panics were logged", got)
	}
}

func TestEventKindString(t *testing.T) {
	for kind, want := range map[webhook.EventKind]string{
		webhook.EventDelivered: "delivered", webhook.EventRejected: "rejected",
		webhook.EventPaused: "paused", webhook.EventResumed: "resumed",
		webhook.EventUnattended: "unattended", 9: "EventKind(9)",
	} {
		if kind.String() != want {
			t.Errorf("%q, want %q", kind, want)
		}
	}
}
