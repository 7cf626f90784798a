package receive

import (
	"maps"
	"sync"
	"time"
)

// Result is what became of a webhook. Results are labels of metrics.
type Result string

// What becomes of an authentic webhook.
const (
	// Accepted: what it says is in the store, or the watchers have been told.
	Accepted Result = "accepted"
	// Repeated: it is known.
	Repeated Result = "repeated"
	// Ignored: it has no effect on an evaluation, or is a test.
	Ignored Result = "ignored"
	// Unknown: an event that changes no flag, or does not say which.
	Unknown Result = "unknown"
	// Old: the time signed with it is too long ago, or too far ahead.
	Old Result = "old"
	// Unreadable: it is signed, and not as the product writes it.
	Unreadable Result = "unreadable"
	// Unkept: the store did not answer in time, or there is no room to wait for it.
	// The product was told to try again.
	Unkept Result = "unkept"
)

// Why a webhook is refused.
const (
	// Unsigned: it has no signature.
	Unsigned Result = "unsigned"
	// Forged: its signature is wrong. So is each one after the secret was replaced
	// in one place only.
	Forged Result = "forged"
	// TooLarge: its body is over [Config.MaxBody].
	TooLarge Result = "too_large"
	// Broken: its body broke off, or took too long.
	Broken Result = "broken"
	// BodyRead: something in front of the receiver has read the body.
	BodyRead Result = "body_read"
	// Unfit: a method or an encoding that the product does not use.
	Unfit Result = "unfit"
	// Busy: too many large bodies at once, or the receiver is closing.
	Busy Result = "busy"
)

var results = []Result{
	Accepted, Repeated, Ignored, Unknown, Old, Unreadable, Unkept,
	Unsigned, Forged, TooLarge, Broken, BodyRead, Unfit, Busy,
}

// Stats are a receiver's numbers.
type Stats struct {
	// Results counts the webhooks. Each result is there from the start, for of a
	// series that begins with 1 a monitoring system sees no increase.
	Results map[Result]int64
	// Changes is how many changes were put into the queue, Refused how many could
	// not be, because Sentry would refuse them, and Lent how many authors were given
	// to watchers.
	Changes, Refused, Lent int64
	// LastAuthentic is when the last authentic webhook came; zero if none has.
	LastAuthentic time.Time
	// ForgedRun is how many wrong signatures have come since then, and ForgedSince
	// when the first of them did. Somebody guesses, or a secret is wrong.
	ForgedRun   int64
	ForgedSince time.Time
	// UnsignedRun is how many calls without a signature have come since then.
	// Somebody has found the address, or the product was given no secret.
	UnsignedRun int64
	// Unknown counts the events that were of no use, by name; of 50 names at most.
	Unknown map[string]int64
	// Waiting is how many webhooks wait in memory for the store.
	Waiting int
	// Problem is why; nil if there is none.
	Problem error
}

const (
	maxUnknown = 50
	// remindEvery is how often what lasts is said again.
	remindEvery = 10 * time.Minute
)

// counts are the numbers as they grow.
type counts struct {
	mu      sync.Mutex
	stats   Stats
	saidAt  time.Time // when wrong signatures were reported
	bareAt  time.Time // when missing ones were
	failing time.Time // when it was said that the store fails
}

func (c *counts) change(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// Stats returns the numbers as they are.
func (r *Receiver) Stats() Stats {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	s := r.counts.stats
	s.Results, s.Unknown = maps.Clone(s.Results), maps.Clone(s.Unknown)
	return s
}

// authentic notes that the product was heard.
func (r *Receiver) authentic(now time.Time) {
	var run int64
	r.counts.change(func(s *Stats) { run, s.ForgedRun, s.UnsignedRun, s.LastAuthentic = s.ForgedRun, 0, 0, now })
	if run > 0 {
		r.config.Logger.Info("receive: signatures are right again", "receiver", r.config.Name, "wrong", run)
	}
}

// forged notes a wrong signature, and says so: at the first of a run, and now and
// then as it lasts.
func (r *Receiver) forged(now time.Time) {
	r.counts.mu.Lock()
	s := &r.counts.stats
	if s.ForgedRun++; s.ForgedRun == 1 {
		s.ForgedSince = now
	}
	run, since, last := s.ForgedRun, s.ForgedSince, s.LastAuthentic
	say := now.Sub(r.counts.saidAt) >= remindEvery
	if say {
		r.counts.saidAt = now
	}
	r.counts.mu.Unlock()
	if say {
		r.config.Logger.Error("receive: wrong signature: a forgery, or the secret here is not the product's", "receiver", r.config.Name,
			"in_a_row", run, "since", since, "last_authentic", last)
	}
}

// unsigned says now and then that signatures are missing: they are if no secret was
// entered at the product.
func (r *Receiver) unsigned(now time.Time) {
	r.counts.mu.Lock()
	r.counts.stats.UnsignedRun++
	say := now.Sub(r.counts.bareAt) >= remindEvery
	if say {
		r.counts.bareAt = now
	}
	r.counts.mu.Unlock()
	if say {
		r.config.Logger.Warn("receive: a call without a signature: a stranger, or the product has no secret", "receiver", r.config.Name)
	}
}

// unknown notes an event of no use, and says so once for each name.
func (r *Receiver) unknown(n notice) {
	name, first := shown(n.event), false
	r.counts.change(func(s *Stats) {
		_, known := s.Unknown[name]
		if first = !known && len(s.Unknown) < maxUnknown; known || first {
			s.Unknown[name]++
		}
	})
	if first {
		r.config.Logger.Warn("receive: an event of no use; from now on it is only counted", "receiver", r.config.Name, "event", name, "why", n.why)
	}
}
