package webhooktest

import (
	"context"
	"fmt"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// WaitChanges waits until n changes are stored and returns all that are. It
// fails when ctx is done first, and says how far it came.
func (h *Handler) WaitChanges(ctx context.Context, n int) ([]webhook.Change, error) {
	return wait(ctx, h, "changes stored", n, func() ([]webhook.Change, int) {
		return h.changes(), len(h.records)
	})
}

// WaitReceived waits until n requests were received with their whole bodies,
// answered or not, and returns all that were.
func (h *Handler) WaitReceived(ctx context.Context, n int) ([]Request, error) {
	return wait(ctx, h, "requests received", n, func() ([]Request, int) {
		return h.copyRequests(), len(h.requests)
	})
}

// WaitAnswered waits until n requests are over, however they ended, and returns
// all that were received.
func (h *Handler) WaitAnswered(ctx context.Context, n int) ([]Request, error) {
	return wait(ctx, h, "requests answered", n, func() ([]Request, int) {
		answered := 0
		for _, r := range h.requests {
			if r.Answered {
				answered++
			}
		}
		return h.copyRequests(), answered
	})
}

func wait[T any](ctx context.Context, h *Handler, what string, n int, look func() (T, int)) (T, error) {
	for {
		h.mu.Lock()
		result, have := look()
		changed := h.changed
		h.mu.Unlock()
		if have >= n {
			return result, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return result, fmt.Errorf("webhooktest: %d of %d %s: %w", have, n, what, context.Cause(ctx))
		}
	}
}
