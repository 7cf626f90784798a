package webhooktest

import (
	"context"
	"fmt"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// WaitChanges waits until n changes are stored and returns all that are. It
// fails when ctx is done first, and says how far it came.
func (h *Handler) WaitChanges(ctx context.Context, n int) ([]webhook.Change, error) {
	err := h.wait(ctx, "changes stored", n, func() int { return len(h.records) })
	return h.Changes(), err
}

// WaitReceived waits until n requests were received with their whole bodies,
// answered or not, and returns all that were.
func (h *Handler) WaitReceived(ctx context.Context, n int) ([]Request, error) {
	err := h.wait(ctx, "requests received", n, func() int { return len(h.requests) })
	return h.Requests(), err
}

// WaitAnswered waits until n requests are over, however they ended, and returns
// all that were received.
func (h *Handler) WaitAnswered(ctx context.Context, n int) ([]Request, error) {
	err := h.wait(ctx, "requests answered", n, func() int { return h.answered })
	return h.Requests(), err
}

// wait looks at each change of the handler, with h.mu held: so it counts, and
// leaves copying for the end.
func (h *Handler) wait(ctx context.Context, what string, n int, count func() int) error {
	for {
		h.mu.Lock()
		have, changed := count(), h.changed
		h.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("webhooktest: %d of %d %s: %w", have, n, what, context.Cause(ctx))
		}
	}
}
