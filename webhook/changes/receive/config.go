package receive

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/internal/typednil"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Config is what a [Receiver] is made of.
type Config struct {
	// Product says whose webhooks they are. Required.
	Product Product
	// Secrets are what the product signs with, or sends as a shared secret. More
	// than one only while it is replaced: any of them is taken. Required.
	Secrets []signing.Secret

	// Name is what the receiver is called in the store and in logs, and as the
	// author of changes whose webhook names nobody. Processes that take the same
	// webhooks use the same name, and no other receiver in that queue has it. At
	// most 100 characters. Defaults to the product's name.
	Name string

	// Emitter delivers the changes, and Store is its store. Required without
	// Watchers.
	Emitter changes.Emitter
	Store   queue.Store

	// Watchers watch the definitions that the webhooks are about. They look when
	// one comes, report what they find, and are lent its author: each needs
	// changes.Config.AuthorWait, unless the product never names one. The receiver
	// then reports nothing by itself. Which change an author is lent to goes by the
	// product's clock: it should agree with this machine's to a second.
	Watchers []*changes.Watcher

	// MaxBody is the most bytes of a body. Defaults to 1 MiB; to 8 MiB for
	// [GoFeatureFlag], which sends all flags at its start.
	MaxBody int64
	// ReadTimeout bounds how long a body may take to arrive. Defaults to 5 s.
	ReadTimeout time.Duration
	// Patience is how long a webhook is kept waiting for the store before it is
	// answered 503. Defaults to 3 s: Flipt gives up after 5.
	Patience time.Duration
	// MaxAge is how old a change may be, by the time that is signed with it, and
	// how far in the future. It has to be shorter than the store's window. Defaults
	// to 1 hour: GrowthBook's last try comes after 11 minutes.
	MaxAge time.Duration

	// Logger is told of what was taken and refused, by flag, without authors,
	// secrets and signatures. Nil means [slog.Default], for silence would cost an
	// audit trail; slog.DiscardHandler is how to choose it.
	Logger *slog.Logger
}

// ErrInvalidConfig means that a [Receiver] cannot be made of its configuration.
// The error says which field is wrong, and how.
var ErrInvalidConfig = errors.New("receive: the configuration is invalid")

func invalid(field, rule string) error {
	return fmt.Errorf("%w: %s %s", ErrInvalidConfig, field, rule)
}

// maxName leaves room for what the store's names have beside it, and is what
// Sentry takes of an author.
const maxName = 100

func (c Config) withDefaults() Config {
	if c.Product != nil {
		c.Name = cmp.Or(c.Name, c.Product.Name())
		c.MaxBody = cmp.Or(c.MaxBody, c.Product.limit())
	}
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 5*time.Second)
	c.Patience = cmp.Or(c.Patience, 3*time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, time.Hour)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) validate() error {
	if c.Product == nil {
		return invalid("Product", "must be set")
	}
	if err := c.Product.validate(); err != nil {
		return err
	}
	_, unnamed := c.Product.(Any)
	switch {
	case len(c.Watchers) == 0 && unnamed:
		return invalid("Watchers", "must be set for Any: its webhooks do not say what has changed")
	case len(c.Watchers) == 0 && (c.Emitter == nil || c.Store == nil):
		return invalid("Emitter and Store", "must be set, or Watchers")
	case typednil.In(c.Emitter) || typednil.In(c.Store):
		return invalid("Emitter and Store", "must not hold a nil pointer")
	case c.MaxBody < 0 || c.ReadTimeout < 0 || c.Patience < 0 || c.MaxAge < 0:
		return invalid("MaxBody, ReadTimeout, Patience and MaxAge", "must not be negative")
	case strings.TrimSpace(c.Name) == "" || utf8.RuneCountInString(c.Name) > maxName || !utf8.ValidString(c.Name) || strings.ContainsRune(c.Name, 0):
		return invalid("Name", fmt.Sprintf("has to be 1 to %d characters without U+0000", maxName))
	}
	for i, watcher := range c.Watchers {
		if watcher == nil {
			return invalid(fmt.Sprintf("Watchers[%d]", i), "is nil")
		}
		if namesAuthors(c.Product) && !watcher.Borrows() {
			return invalid(fmt.Sprintf("Watchers[%d]", i), "waits for no authors; set its AuthorWait")
		}
	}
	return nil
}
