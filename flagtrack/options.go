package flagtrack

import (
	"context"
	"errors"
	"fmt"

	"github.com/getsentry/sentry-go"
)

// DefaultCapacity is how many flags an error shows unless WithCapacity says otherwise: what Sentry's SDK specification
// asks for.
const DefaultCapacity = 100

// ErrInvalidOption is the cause of every error that New returns.
var ErrInvalidOption = errors.New("flagtrack: invalid option")

// Option changes how a Tracker works. A nil Option is ignored.
type Option func(*config)

type config struct {
	capacity    int
	maxBytes    int
	allValues   bool
	hubRequired bool
	filter      func(Evaluation) (Evaluation, bool)
	scope       func(context.Context) *sentry.Scope
}

func newConfig(opts []Option) config {
	c := config{capacity: DefaultCapacity}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	return c
}

func (c config) validate() error {
	switch {
	case c.capacity < 0:
		return fmt.Errorf("%w: capacity is %d; it must be 0 (off) or more", ErrInvalidOption, c.capacity)
	case c.maxBytes < 0:
		return fmt.Errorf("%w: byte budget is %d; it must be 0 (none) or more", ErrInvalidOption, c.maxBytes)
	}
	return nil
}

// WithCapacity sets how many flags an error shows at most; the ones evaluated longest ago give way. Defaults to
// DefaultCapacity. 0 switches the tracker off altogether, spans included, at no cost. A negative capacity is an error.
//
// Where trackers with different capacities or byte budgets record into one scope, an event goes by those of the
// tracker that recorded last. Spans have a limit of their own, 10 flags, which is not configurable.
func WithCapacity(flags int) Option {
	return func(c *config) { c.capacity = flags }
}

// WithMaxBytes sets a budget, in bytes of JSON, for contexts.flags; the flags evaluated longest ago give way. Defaults
// to 0, which is none. A negative budget is an error.
//
// Sentry cuts contexts that are too large at the end, which loses the newest flags, the ones that matter. Its limit is
// 128 KiB, which 100 flags never reach, but was 8 KiB until the middle of 2026 and still is on many self-hosted
// servers: 8000 is a good budget there.
func WithMaxBytes(n int) Option {
	return func(c *config) { c.maxBytes = n }
}

// WithAllValues records evaluations of every type. Without it, only booleans are recorded.
//
// Sentry's issue page shows only booleans, so the value becomes part of the name: a flag x with the value blue is
// shown as "x:blue" true, which is visible there and can be searched for (flags["x:blue"]:true). When x turns red,
// "x:red" takes the place of "x:blue". Numbers are written as in Go without a plus sign. An object has no short text,
// nor has a string of more than 1,024 bytes:
// OpenFeature's hook shows the name of its variant if the provider gave one, otherwise nothing is shown.
//
// Values may be personal data, and many different ones make flags hard to search: see WithFilter.
func WithAllValues() Option {
	return func(c *config) { c.allValues = true }
}

// WithFilter sets a function that sees every evaluation before it is recorded. What it returns is recorded instead, so
// that it can rename the flag or replace the value; false drops the evaluation, and what was recorded of the flag
// before stays. If it panics, the evaluation is dropped. It is called on the goroutine that evaluates, often many at once, and takes part in its cost. A nil filter
// is ignored.
func WithFilter(filter func(Evaluation) (Evaluation, bool)) Option {
	return func(c *config) {
		if filter != nil {
			c.filter = filter
		}
	}
}

// WithScopeFinder sets the function that finds the scope to record into, in place of the hub in the context. If it returns
// nil nothing is recorded except on a span in the context. It is called on each evaluation with a context that is
// never nil. A nil function is ignored.
func WithScopeFinder(find func(context.Context) *sentry.Scope) Option {
	return func(c *config) {
		if find != nil {
			c.scope = find
		}
	}
}

// WithHubRequired drops what is evaluated without a hub in the context, except on a span in the context.
//
// By default it goes to the process-wide scope, as with sentry-go's own integrations: right for a program that works
// on one thing at a time. In a server, an evaluation whose context lost its hub then shows on the errors of all
// requests that start later, because their scopes are clones of that one. Beside WithScopeFinder it has no effect.
func WithHubRequired() Option {
	return func(c *config) { c.hubRequired = true }
}
