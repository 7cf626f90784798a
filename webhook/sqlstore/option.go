package sqlstore

import (
	"fmt"
	"regexp"
	"time"
)

// Option changes a setting of a [Store].
type Option func(*config)

type config struct {
	prefix   string
	window   time.Duration
	existing bool
}

// WithTablePrefix begins the names of the store's tables and indexes with
// prefix: 1 to 40 of a-z, 0-9 and _, not a digit first. Defaults to
// "sentryflags_". Stores with the same prefix in the same database (for
// PostgreSQL: in the same schema) are one. Change it while nothing waits or is dead:
// what is under the former one stays there, and nobody looks for it.
func WithTablePrefix(prefix string) Option {
	return func(c *config) { c.prefix = prefix }
}

// WithWindow sets for how long an entry that was settled is kept, so that its
// content can be read and a late replica of it does not bring it back. It is
// measured from the moment of settling, by PostgreSQL's clock or, for SQLite,
// this machine's. Defaults to 24 hours; it has to be positive.
func WithWindow(window time.Duration) Option {
	return func(c *config) { c.window = window }
}

// WithExistingTables has [New] make no tables: where there are none it fails with
// [ErrUnsuitable]. It is for tools that look into the store of a program: in the
// wrong database they would find nothing and leave tables behind. Defaults to
// making them.
func WithExistingTables() Option {
	return func(c *config) { c.existing = true }
}

const defaultPrefix = "sentryflags_"

var validPrefix = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func newConfig(options []Option) (config, error) {
	c := config{prefix: defaultPrefix, window: 24 * time.Hour}
	for _, option := range options {
		if option != nil {
			option(&c)
		}
	}
	if !validPrefix.MatchString(c.prefix) {
		return c, fmt.Errorf("%w: WithTablePrefix: %.60q is not 1 to 40 of a-z, 0-9 and _, not a digit first", ErrUnsuitable, c.prefix)
	}
	if c.window <= 0 {
		return c, fmt.Errorf("%w: WithWindow: %v is not positive", ErrUnsuitable, c.window)
	}
	return c, nil
}
