package changes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/internal/typednil"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Emitter turns changes into items of its queue and delivers them.
// [*webhook.Emitter] is one.
type Emitter interface {
	Items(changes ...webhook.Change) ([]queue.Item, error)
	Queue() string
	Wake()
}

var _ Emitter = (*webhook.Emitter)(nil)

// Config is what a [Watcher] is made of.
type Config struct {
	// Source is where the definitions are. Required.
	Source Source
	// Format reads them. Required.
	Format Format
	// Emitter delivers the changes. Required.
	Emitter Emitter
	// Store is the emitter's store. It keeps the last snapshot beside the queue,
	// and says which of several processes reports. Required. A snapshot belongs to
	// a queue, for each destination is told all changes: where the queue's name
	// has changed the last one of an emitter's FormerQueues is gone on from.
	Store queue.Store

	// Name is what the source is called in the store, in logs and as the author of
	// its changes. Processes that watch the same definitions use the same name,
	// and no other source in that queue has it. At most 150 bytes. Defaults to the
	// format's name and the source's, as in "flagd:checkout.json".
	Name string

	// Interval is how often the source is looked at. Defaults to 1 s.
	Interval time.Duration

	// Gather is how long documents have to stay as they are before they are
	// believed, so that what is written in several steps counts as one, and a
	// half-written document does not count at all. Documents that go on changing
	// are believed after ten times as long. So are those that may be half of what
	// is being written and can be read all the same, YAML, TOML and folders that
	// have become shorter or lack flags; if they go on changing, too, ten times
	// later still. Defaults to 250 ms.
	Gather time.Duration

	// Lag is how far the copies of a document that different processes see may be
	// behind one another. For so long after a process has reported something, no
	// other one believes a document that differs from what was reported: its copy
	// may be an old one. Defaults to 2 minutes; -1 means that there is only one
	// process.
	Lag time.Duration

	// Timeout bounds each look, and each call of the store. Defaults to 30 s.
	Timeout time.Duration

	// Limit is the most bytes of all documents together, whatever the source
	// returns. Defaults to the larger of [DefaultLimit] and the source's own.
	Limit int64

	// EmitBaseline reports all flags as created when there is no snapshot yet.
	// Defaults to false: the first snapshot is what changes are counted from.
	EmitBaseline bool

	// Author says who made a change, if somebody knows. It may take its time, but
	// holds up the report. The zero Author stands for the default, which is the
	// watcher's name: no document names its author. Do not invent one.
	Author func(ctx context.Context, edit Edit) webhook.Author

	// AuthorWait is how long a change waits for an author that [Watcher.Lend] may
	// bring, if nobody else knows one. It waits in the store, dated when it was
	// found, and goes without when the time is over, or the watcher is closed. Set
	// it where webhooks name the authors of what is watched: to 15 s, say, for a
	// webhook is seldom as fast as the look. Defaults to 0: nothing waits, and
	// nobody can lend.
	AuthorWait time.Duration

	// Logger is told of changes by flag and field, without values; of documents
	// that cannot be taken; and of what cannot be reported. Defaults to
	// [slog.Default], for silence would cost an audit trail; slog.DiscardHandler
	// is how to choose it.
	Logger *slog.Logger
}

// maxSourceName leaves room for what the store's names have beside it.
const maxSourceName = 150

// complete reports what there is no default for and is not there.
func (c Config) complete() error {
	switch {
	case c.Source == nil || typednil.In(c.Source):
		return invalid("Source", "must be set")
	case c.Format == nil || typednil.In(c.Format):
		return invalid("Format", "must be set")
	case c.Emitter == nil || typednil.In(c.Emitter):
		return invalid("Emitter", "must be set")
	case c.Store == nil || typednil.In(c.Store):
		return invalid("Store", "must be set: the emitter's")
	}
	return nil
}

// withDefaults needs what is complete.
func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, c.Format.Name()+":"+c.Source.Name())
	c.Interval = cmp.Or(c.Interval, time.Second)
	c.Gather = cmp.Or(c.Gather, 250*time.Millisecond)
	c.Lag = cmp.Or(c.Lag, 2*time.Minute)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	if c.Limit == 0 {
		c.Limit = DefaultLimit
		if own, ok := c.Source.(interface{ limit() int64 }); ok {
			c.Limit = max(c.Limit, own.limit())
		}
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c Config) validate() error {
	switch {
	case c.Interval < 0 || c.Gather < 0 || c.Timeout < 0 || c.Limit < 0 || c.AuthorWait < 0:
		return invalid("Interval, Gather, Timeout, Limit and AuthorWait", "must not be negative")
	case c.Lag < 0 && c.Lag != -1:
		return invalid("Lag", "must not be negative, except -1 for a single process")
	case len(c.Name) > maxSourceName || !utf8.ValidString(c.Name) || strings.ContainsRune(c.Name, 0) || strings.TrimSpace(c.Name) == "":
		return invalid("Name", fmt.Sprintf("has to be 1 to %d bytes of valid UTF-8 without U+0000", maxSourceName))
	case len(c.Format.Rules()) > 1000:
		return invalid("Format", "has rules of more than 1,000 bytes")
	}
	for field, value := range map[string]any{"Source": c.Source, "Format": c.Format} {
		if checked, ok := value.(interface{ validate() error }); ok {
			if err := checked.validate(); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrInvalidConfig, field, err)
			}
		}
	}
	return nil
}

// author is who is named when nobody knows better.
func (c Config) author() webhook.Author {
	id := []rune(c.Name)
	return webhook.Author{ID: string(id[:min(len(id), webhook.MaxAuthorID)]), Type: webhook.AuthorName}
}
