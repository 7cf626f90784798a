package flagtrack

import (
	"context"
	"errors"
	"fmt"

	"github.com/getsentry/sentry-go"
)

const (
	// DefaultCapacity is how many flags an error shows unless WithCapacity says otherwise: what Sentry's SDK
	// specification asks for.
	DefaultCapacity = 100
	// MaxCapacity is the largest capacity: as many flags as fit into 128 KiB, where Sentry cuts a context.
	MaxCapacity = 1000
	// DefaultMaxBytes is the budget for contexts.flags, in bytes of JSON, unless WithMaxBytes says otherwise: what passes
	// uncut through every Sentry.
	DefaultMaxBytes = 8000
)

// ErrInvalidOption is the cause of every error that New returns.
var ErrInvalidOption = errors.New("flagtrack: invalid option")

// Option changes how a Tracker works. A nil Option is ignored.
type Option func(*config)

type config struct {
	capacity   int
	maxBytes   int
	allValues  bool
	currentHub bool
	filter     func(context.Context, Evaluation) (Evaluation, bool)
	scope      func(context.Context) *sentry.Scope
	err        error // what an option found wrong with itself
}

func newConfig(opts []Option) config {
	c := config{capacity: DefaultCapacity, maxBytes: DefaultMaxBytes}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	return c
}

func (c config) validate() error {
	switch {
	case c.err != nil:
		return c.err
	case c.capacity < 0 || c.capacity > MaxCapacity:
		return fmt.Errorf("%w: capacity is %d; it must be from 0 (off) to %d", ErrInvalidOption, c.capacity, MaxCapacity)
	case c.maxBytes < 0:
		return fmt.Errorf("%w: byte budget is %d; it must be 0 (none) or more", ErrInvalidOption, c.maxBytes)
	case c.currentHub && c.scope != nil:
		return fmt.Errorf("%w: WithCurrentHub has no effect beside WithScopeFinder; "+
			"let the finder return sentry.CurrentHub().Scope()", ErrInvalidOption)
	}
	return nil
}

// WithCapacity sets how many flags an error shows at most; the ones evaluated longest ago give way. Defaults to
// DefaultCapacity. 0 switches the tracker off altogether, spans included, at no cost. Less than 0 and more than
// MaxCapacity is an error.
//
// Where trackers with different capacities or byte budgets record into one scope, an event goes by those of the
// tracker that recorded last; a flag beyond the capacity of the tracker that recorded it may be forgotten by then. Spans
// have a limit of their own, 10 flags, which is not configurable.
func WithCapacity(flags int) Option {
	return func(c *config) { c.capacity = flags }
}

// WithMaxBytes sets a budget, in bytes of JSON, for contexts.flags; the flags evaluated longest ago give way. Defaults
// to DefaultMaxBytes. 0 is no budget, and less is an error.
//
// Sentry cuts contexts that are too large at the end, which loses the newest flags, the ones that matter. Its limit is
// 128 KiB, but was 8 KiB until the middle of 2026, still is on many self-hosted servers, and has been seen again on the
// hosted one. 100 flags with names of 50 characters fit into the default.
func WithMaxBytes(n int) Option {
	return func(c *config) { c.maxBytes = n }
}

// WithAllValues records evaluations of every type. Without it, only booleans are recorded.
//
// Sentry's issue page shows only booleans, so the value becomes part of the name: a flag x with the value blue is
// shown as "x:blue" true, which is visible there and can be searched for (flags["x:blue"]:true). When x turns red,
// "x:red" takes the place of "x:blue". Numbers are written as in Go without a plus sign. An object has no short text,
// nor has a string of more than 1,024 bytes: OpenFeature's hook shows the name of its variant if the provider gave one,
// otherwise nothing is shown.
//
// Values may be personal data, and many different ones make flags hard to search: see WithFilter.
func WithAllValues() Option {
	return func(c *config) { c.allValues = true }
}

// WithFilter sets a function that sees every evaluation before it is recorded, whoever made it. What it returns is
// recorded instead, so that it can rename the flag or replace the value; false drops the evaluation, and what was
// recorded of the flag before stays. If it panics, the evaluation is dropped. It is called on the goroutine that
// evaluates, often many at once, with a context that is never nil, and takes part in the cost. It must not evaluate a
// flag that the tracker records, which would call it again without end. Given several times, each filter sees what the
// one before it returned. A nil filter is an error, because it would keep nothing private.
func WithFilter(filter func(context.Context, Evaluation) (Evaluation, bool)) Option {
	return func(c *config) {
		switch first := c.filter; {
		case filter == nil:
			c.err = fmt.Errorf("%w: the filter is nil; leave WithFilter out to record everything", ErrInvalidOption)
		case first == nil:
			c.filter = filter
		default:
			c.filter = func(ctx context.Context, e Evaluation) (Evaluation, bool) {
				e, keep := first(ctx, e)
				if !keep {
					return e, false
				}
				return filter(ctx, e)
			}
		}
	}
}

// WithScopeFinder sets the function that finds the scope to record into, in place of the hub in the context. If it
// returns nil, the evaluation is left out except on a span in the context. It is called on each evaluation with a
// context that is never nil. A nil function is an error.
func WithScopeFinder(find func(context.Context) *sentry.Scope) Option {
	return func(c *config) {
		if find == nil {
			c.err = fmt.Errorf("%w: the scope finder is nil", ErrInvalidOption)
		}
		c.scope = find
	}
}

// WithCurrentHub records what is evaluated without a hub in the context on the process-wide scope, where
// sentry.CaptureException finds it. It is for programs that do one thing at a time: command lines, single workers.
//
// Without it such an evaluation is left out except on a span in the context. In a server it would show on the errors
// of all requests that start later, whoever's, because their scopes are clones of that one; and a wrong flag on
// somebody else's error is worse than a missing one.
func WithCurrentHub() Option {
	return func(c *config) { c.currentHub = true }
}
