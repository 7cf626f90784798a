package sqlstore

import (
	"context"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// horizons keep a look at a queue that goes on from a seq from passing over what
// is committed late. PostgreSQL commits in another order than it numbers, so that
// below a seq that was seen an entry may still appear, and after it, with a higher
// one, a newer entry of its key: whoever went on from the seq that was seen would
// work on the newer one first. So a look begins no later than at the seq below
// which no transaction is under way any more and nothing waited in an earlier
// look.
type horizons struct {
	mu     sync.Mutex
	queues map[string]*horizon
}

// horizon is what is known of one queue. Its numbers only grow.
type horizon struct {
	// passed is where a look may begin.
	passed int64
	// ended is the seq up to which all transactions have ended.
	ended int64
	// A seq that was seen at a time has to become, in this order, one whose
	// transactions began below a transaction number, then one of those that have
	// ended.
	seen, begun int64
	seenAt      time.Time
	below       int64
	askedAt     time.Time
}

// horizonLag is how often to ask for the transactions that are under way, and how
// long one may take from its number in the queue to its own.
const horizonLag = 200 * time.Millisecond

// begin returns where a look that would go on from a seq has to begin.
func (s *Store) begin(ctx context.Context, queueName string, after int64) (int64, error) {
	if s.engine.underWay == nil || after <= 0 {
		return after, nil
	}
	h, ask := s.horizons.of(queueName)
	if ask {
		oldest, next, err := s.engine.underWay(ctx, s.db)
		if err != nil {
			return 0, s.leave(ctx, "ask for the transactions under way", err)
		}
		s.horizons.move(h, after, oldest, next)
	}
	s.horizons.mu.Lock()
	defer s.horizons.mu.Unlock()
	return min(after, h.passed), nil
}

// of returns the horizon of a queue, and whether it is time to ask.
func (hs *horizons) of(queueName string) (*horizon, bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h, ok := hs.queues[queueName]
	if !ok {
		h = &horizon{}
		if hs.queues == nil {
			hs.queues = make(map[string]*horizon)
		}
		hs.queues[queueName] = h
	}
	now := time.Now()
	if now.Sub(h.askedAt) < horizonLag {
		return h, false
	}
	h.askedAt = now
	return h, true
}

// move notes which transactions are under way: none below oldest, none from next
// on.
func (hs *horizons) move(h *horizon, after, oldest, next int64) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h.begun > 0 && oldest >= h.below {
		h.ended, h.begun = max(h.ended, h.begun), 0
	}
	if h.begun == 0 && h.seen > 0 && time.Since(h.seenAt) >= horizonLag {
		h.begun, h.below, h.seen = h.seen, next, 0
	}
	if h.seen == 0 {
		h.seen, h.seenAt = after, time.Now()
	}
}

// found notes what a look has found that began after known had ended.
func (hs *horizons) found(queueName string, known int64, entries []queue.Entry) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.queues[queueName]
	if h == nil {
		return
	}
	if len(entries) > 0 {
		known = min(known, entries[0].Seq-1)
	}
	h.passed = max(h.passed, known)
}

// ended returns the seq up to which all transactions have ended.
func (hs *horizons) ended(queueName string) int64 {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.queues[queueName]; h != nil {
		return h.ended
	}
	return 0
}
