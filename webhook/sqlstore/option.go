package sqlstore

import (
	"fmt"
	"regexp"
	"time"
)

// Option changes a setting of a [Store].
type Option func(*config)

type config struct {
	prefix string
	window time.Duration
}

// WithTablePrefix begins the names of the store's tables and indexes with
// prefix: 1 to 40 of a-z, 0-9 and _, not a digit first. Defaults to
// "sentryflags_". Stores with the same prefix in the same database (for
// PostgreSQL: in the same schema, the first of the search path) are one.
func WithTablePrefix(prefix string) Option {
	return func(c *config) { c.prefix = prefix }
}

// WithDedupeWindow sets for how long the ID of an item that was settled as done
// stays known, so that a late replica does not bring it back. It is measured
// from the moment of settling, by PostgreSQL's clock or, for SQLite, this
// machine's. Defaults to 24 hours; it has to be positive.
func WithDedupeWindow(window time.Duration) Option {
	return func(c *config) { c.window = window }
}

var validPrefix = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func newConfig(options []Option) (config, error) {
	c := config{prefix: "sentryflags_", window: 24 * time.Hour}
	for _, option := range options {
		if option != nil {
			option(&c)
		}
	}
	if !validPrefix.MatchString(c.prefix) {
		return c, fmt.Errorf("%w: WithTablePrefix: %.60q is not 1 to 40 of a-z, 0-9 and _, not a digit first", ErrUnsuitable, c.prefix)
	}
	if c.window <= 0 {
		return c, fmt.Errorf("%w: WithDedupeWindow: %v is not positive", ErrUnsuitable, c.window)
	}
	return c, nil
}
