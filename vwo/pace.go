package vwo

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The bounds of the pause after VWO has said that it is too much (429) or that
// it is away (503).
const (
	// MinPause is what VWO asks for, whatever a shorter Retry-After says.
	MinPause = time.Minute
	// maxPause keeps a nonsensical Retry-After from holding up a kill.
	maxPause = 2 * time.Minute
)

// pace spaces the requests of one token.
type pace struct {
	limiter *rate.Limiter

	mu     sync.Mutex
	resume time.Time // no request before
}

// wait blocks until the token may be used. When ctx would end before that, it
// fails at once with the time left.
func (p *pace) wait(ctx context.Context, limited bool) error {
	for {
		if err := p.waitPause(ctx); err != nil {
			return err
		}
		if !limited {
			return ctx.Err()
		}
		if err := p.waitTurn(ctx); err != nil {
			return err
		}
		// VWO may have asked for a pause while this one stood in line; after it
		// everybody lines up again.
		if p.left() <= 0 {
			return nil
		}
	}
}

func (p *pace) waitPause(ctx context.Context) error {
	for {
		left := p.left()
		if left <= 0 {
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < left {
			return &AnswerError{RetryAfter: left, Detail: "not sent: VWO asked to wait", cause: ErrRateLimited}
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

func (p *pace) waitTurn(ctx context.Context) error {
	if err := p.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &AnswerError{RetryAfter: RequestInterval, Detail: "not sent: other requests with this token come first", cause: ErrRateLimited}
	}
	return nil
}

func (p *pace) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.resume)
}

// pause keeps the token from being used for d, at least.
func (p *pace) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.resume) {
		p.resume = until
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
