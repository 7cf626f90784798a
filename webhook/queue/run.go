package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Handler works on entries that are due, oldest first. It returns what became
// of them; one without an outcome stays due. A rest is how long nobody, in any
// process, shall work on the queue: after a failure that is not an entry's own.
//
// Its context ends with the one of [Run], at [Config.Deadline], and when the
// lease ends because the store could not be reached in time to renew it.
// Whatever was done by then still has to be returned as [Done].
//
// A panic is contained: it counts as a failure, and the queue rests.
type Handler func(ctx context.Context, entries []Entry) (outcomes []Outcome, rest time.Duration)

// Config configures [Run]. Its zero value is ready to use.
type Config struct {
	// Batch is the most entries that the handler gets at once, 1 to 1,000.
	// Defaults to 100.
	Batch int

	// Lease is for how long the right to work on the queue lasts unless it is
	// renewed: so long it takes until another process goes on after a crash. A
	// call of the store may take a third of it, 3 s at most, and up to four fifths
	// after calls that took too long. At least 100 ms. Defaults to 10 s.
	Lease time.Duration

	// Deadline bounds one call of the handler: after it the lease is not
	// renewed, so that another process can go on. Defaults to 1 minute.
	Deadline time.Duration

	// Poll is how often to look for what others have added or given back.
	// Defaults to 1 s.
	Poll time.Duration

	// Owner is who has the lease while this loop works, 1 to [MaxName] bytes: what
	// the handler returns as held (see [Outcome.Hold]) is held by it, so that a
	// handler can go on working on an entry after it has returned. Different for
	// each Run. Defaults to a random text.
	Owner string

	// Wake makes an idle loop look at once. Its sender does not wait: give it
	// room for one. Defaults to nil, which never wakes.
	Wake <-chan struct{}

	// Due is called with what is due, each time that the loop has looked, whoever
	// has the lease: with the first entry alone where that is another one, and
	// with none when nothing is due. It is called from the loop's goroutine: it must
	// not wait. Defaults to nil.
	Due func(entries []Entry)

	// Settled is called when the store has taken outcomes, from the loop's
	// goroutine: it must not wait. Defaults to nil.
	Settled func(outcomes []Outcome)

	// Report is told of each failure of the store, within the deadline of the
	// call that failed, of a handler that fails ([ErrHandler]), and once when the
	// store works again. It is called from the loop's goroutine: it must not
	// wait. Defaults to nil.
	Report func(Report)
}

// Report says how the loop stands with its store.
type Report struct {
	// Err is what failed. Nil means that the store works again.
	Err error
	// Failures is how many there were in a row. Zero means that it is not what
	// the work depends on, which goes on.
	Failures int
	// Wait is how long the loop waits before it tries again.
	Wait time.Duration
}

const (
	maxBatch = 1000
	minLease = 100 * time.Millisecond
	// maxCall is the longest that a call of the store may take.
	maxCall = 3 * time.Second
	// The waits after a failure of the store.
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
	// endGrace is how long settling, and a handler that is told to end, may take
	// when the loop ends.
	endGrace = time.Second
	// fullLook is how often to look from the start of the queue, at the most.
	fullLook = time.Second
	// fullShare is the part of the time that such looks may take.
	fullShare = 20
	// sweepEvery is how often to look for what can be swept, and sweepLimit how
	// much goes at once: more than is settled at once.
	sweepEvery = time.Minute
	sweepLimit = 2 * maxBatch
)

func (c Config) withDefaults() Config {
	c.Batch = cmp.Or(c.Batch, 100)
	c.Lease = cmp.Or(c.Lease, 10*time.Second)
	c.Deadline = cmp.Or(c.Deadline, time.Minute)
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Owner = cmp.Or(c.Owner, rand.Text())
	if c.Due == nil {
		c.Due = func([]Entry) {}
	}
	if c.Settled == nil {
		c.Settled = func([]Outcome) {}
	}
	if c.Report == nil {
		c.Report = func(Report) {}
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Batch < 1 || c.Batch > maxBatch:
		return fmt.Errorf("%w: Config.Batch has to be 1 to %d", ErrInvalid, maxBatch)
	case c.Lease < minLease:
		return fmt.Errorf("%w: Config.Lease has to be at least %v", ErrInvalid, minLease)
	case c.Deadline < 0:
		return fmt.Errorf("%w: Config.Deadline must not be negative", ErrInvalid)
	case c.Poll < 0:
		return fmt.Errorf("%w: Config.Poll must not be negative", ErrInvalid)
	}
	return ValidateName("owner", c.Owner)
}

// call is how long a call of the store may take at first.
func (c Config) call() time.Duration { return min(c.Lease/3, maxCall) }

// errHandlerHangs is reported of a handler that does not end when its context
// does.
var errHandlerHangs = fmt.Errorf("%w: it has not returned though its context has ended", ErrHandler)

// Run works on a queue until ctx ends: it waits for entries that are due, takes
// the queue's lease, and hands them to the handler, batch after batch, in the
// order of their Seq. One Run at a time has the lease, of all that share the
// store; the others wait and take over.
//
// What was handled is settled before anything else, also by a loop that has lost
// its lease, for what is done is done. A failing store is reported and tried
// again for as long as it takes. When ctx ends the handler's context ends too,
// what it returns is settled, and the lease is given back, all within about two
// seconds.
//
// It returns nil when ctx has ended and everything that was handled is settled.
// Its errors are [ErrInvalid], [ErrClosed], and, when ctx has ended, what could
// not be settled, which will be handled again.
func Run(ctx context.Context, s Store, queue string, config Config, handler Handler) error {
	if ctx == nil {
		return errNilContext
	}
	if s == nil || handler == nil {
		return fmt.Errorf("%w: Run needs a store and a handler", ErrInvalid)
	}
	config = config.withDefaults()
	if err := errors.Join(ValidateName("queue", queue), config.validate()); err != nil {
		return err
	}
	l := &loop{store: s, queue: queue, config: config, handler: handler, owner: config.Owner}
	for ctx.Err() == nil {
		pause, err := l.step(ctx)
		if errors.Is(err, ErrClosed) {
			return err
		}
		l.pause(ctx, pause)
	}
	return l.end(ctx)
}

// Unattended lists the queues of the store in which something has been due for
// longer than grace, and which nobody works on: no lease, no rest. A queue whose
// name was changed in a configuration, say.
func Unattended(ctx context.Context, s Store, grace time.Duration) ([]string, error) {
	queues, err := s.Queues(ctx)
	if err != nil {
		return nil, err
	}
	var unattended []string
	for _, queue := range queues {
		due, err := s.Due(ctx, queue, 0, 1)
		if err != nil {
			return nil, err
		}
		if len(due) == 0 || time.Since(due[0].Due) <= grace {
			continue
		}
		stats, err := s.Stats(ctx, queue, 1)
		if err != nil {
			return nil, err
		}
		if !stats.Held && stats.Rest == 0 {
			unattended = append(unattended, queue)
		}
	}
	return unattended, nil
}
