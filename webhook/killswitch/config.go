package killswitch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/typednil"
	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// ErrInvalidConfig means that a [Config] or a [Rule] cannot be used; the error
// names the field and the rule that it breaks.
var ErrInvalidConfig = errors.New("killswitch: invalid configuration")

// MaxAlert is the largest alert in bytes: 5 MiB, because Sentry escapes
// non-ASCII text to up to three times its size.
const MaxAlert = alert.MaxBody

const (
	// smallBody is up to which size bodies need no place.
	smallBody = 256 << 10
	// maxLargeBodies is how many larger ones are read at once.
	maxLargeBodies = 8
	// attemptTimeout bounds one call of the toggler.
	attemptTimeout = 15 * time.Second
	// longestMaxAge leaves room below the day for which a store remembers what
	// it has had.
	longestMaxAge = 12 * time.Hour
	// maxAhead is how far a signed time may be ahead of the clock here. Sentry
	// lets an event's be a minute ahead of its own.
	maxAhead = 5 * time.Minute
)

// Emitter takes records of what was switched, for Sentry's flag log.
// [webhook.Emitter] is one.
type Emitter interface {
	Emit(ctx context.Context, changes ...webhook.Change) error
}

// Config is what a [Relay] is made of.
type Config struct {
	// Secrets are the Client Secrets of the internal integration in Sentry; more
	// than one only while it is being replaced. Required.
	Secrets []signing.Secret
	// Rules say which alert switches which flag. Required.
	Rules []Rule
	// Togglers are the flag systems, by the names that the rules use. Required.
	Togglers map[string]Toggler

	// Installation, if not empty, is the uuid of the integration's installation:
	// what another one signs is refused.
	Installation string
	// Header and HeaderValues are a second factor: a header that was added to
	// the integration in Sentry ("X-…" or "Authorization"), and the values that
	// it may have, whole: "Bearer …", say. Both or neither. It is checked before
	// the body is read.
	Header       string
	HeaderValues []signing.Secret

	// Store is the journal: what is accepted and not done yet, what is switched
	// off, cool-downs and caps. With a durable one they survive a crash, and
	// relays that share it act on each alert once. It should remember what is
	// done for a day. The caller closes it, after the relay. Defaults to memory,
	// which a crash empties.
	Store queue.Store
	// Queue is what the names of the queues in the store begin with; each toggler
	// has its own, called as the toggler: "killswitch:vwo". At most 100 bytes.
	// Defaults to "killswitch".
	Queue string
	// Poll is how often to look for what other processes have done: a relay that
	// has died, a person who has restored a flag. Defaults to 1 second.
	Poll time.Duration
	// Hold is for how long a switch belongs to the process that took the alert,
	// unless that renews it: so long it takes until another one goes on after a
	// crash. At least 1 second. Defaults to 10 seconds.
	Hold time.Duration

	// Emitter gets a record of each switch: a change "updated", authored by the
	// alert's name, dated when the alert was accepted. Nil records nothing.
	Emitter Emitter

	// MaxAge is how old an alert's signed time may be, and how long after its
	// acceptance a switch is still tried. Past it the switch is reported, so
	// that the end of an outage does not undo what people have restored since.
	// Defaults to 15 minutes, at most 12 hours.
	MaxAge time.Duration
	// CoolDown is how long the same alert with the same action does not switch
	// the same flag again, unless the flag was restored or switched on since. It
	// lives in the store. Defaults to 5 minutes; -1 is none.
	CoolDown time.Duration
	// CapPerHour is how often one flag is switched in an hour, at most; the last
	// time only off, so that an alert that flaps ends with the flag off. It lives
	// in the store. What it stops is reported. Defaults to 20; -1 is no cap.
	CapPerHour int
	// AnswerWithin is how long a request waits for its flag to be switched, or to
	// have failed for good, before it is answered 202. Sentry gives up after about a second, of which
	// the way takes some. Defaults to 700 milliseconds.
	AnswerWithin time.Duration
	// ReadTimeout is how long a body may take to arrive. Defaults to 1 second,
	// which is about as long as Sentry waits in all.
	ReadTimeout time.Duration
	// DryRun decides and says so in the log, and switches nothing: not even what
	// waits in the store, which it does not touch.
	DryRun bool

	// Logger gets a line per decision and per attempt. Defaults to
	// slog.Default(), because a kill switch that is silent is hard to tell from one
	// that is deaf; slog.New(slog.DiscardHandler) chooses silence.
	Logger *slog.Logger
	// OnDecision, if set, is called with each decision before the answer is
	// sent. It must be quick.
	OnDecision func(Decision)
	// OnReport, if set, is called when something needs a person: see [Report]. It
	// is called from several goroutines and must be quick. See [ReportTag] before
	// sending it to Sentry.
	OnReport func(Report)
}

// WithDefaults returns a copy in which every field that has a default is set.
func (c Config) WithDefaults() Config { return c.withDefaults() }

func (c Config) withDefaults() Config {
	c.Queue = cmp.Or(c.Queue, "killswitch")
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Hold = cmp.Or(c.Hold, 10*time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, 15*time.Minute)
	c.CoolDown = cmp.Or(c.CoolDown, 5*time.Minute)
	c.CapPerHour = cmp.Or(c.CapPerHour, 20)
	c.AnswerWithin = cmp.Or(c.AnswerWithin, 700*time.Millisecond)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Togglers, c.HeaderValues = maps.Clone(c.Togglers), slices.Clone(c.HeaderValues)
	c.Rules = slices.Clone(c.Rules)
	for i, rule := range c.Rules {
		c.Rules[i] = rule.withDefaults()
		if rule.Toggler == "" && len(c.Togglers) == 1 {
			for name := range c.Togglers {
				c.Rules[i].Toggler = name
			}
		}
	}
	return c
}

func (c Config) validate() error {
	for _, positive := range []struct {
		field string
		value time.Duration
	}{
		{"Poll", c.Poll},
		{"MaxAge", c.MaxAge},
		{"AnswerWithin", c.AnswerWithin},
		{"ReadTimeout", c.ReadTimeout},
	} {
		if positive.value < 0 {
			return fmt.Errorf("%w: %s must not be negative", ErrInvalidConfig, positive.field)
		}
	}
	switch {
	case len(c.Togglers) == 0:
		return fmt.Errorf("%w: Togglers must not be empty", ErrInvalidConfig)
	case len(c.Rules) == 0:
		return fmt.Errorf("%w: Rules must not be empty: without a rule nothing ever happens", ErrInvalidConfig)
	case typednil.In(c.Store):
		return fmt.Errorf("%w: Store holds a nil pointer; leave it unset for memory", ErrInvalidConfig)
	case typednil.In(c.Emitter):
		return fmt.Errorf("%w: Emitter holds a nil pointer; leave it unset to record nothing", ErrInvalidConfig)
	case c.MaxAge > longestMaxAge:
		return fmt.Errorf("%w: MaxAge must be at most %v, so that the store remembers a body for longer", ErrInvalidConfig, longestMaxAge)
	case c.Hold < time.Second:
		return fmt.Errorf("%w: Hold must be at least a second", ErrInvalidConfig)
	case len(c.Queue) > 100 || queue.ValidateName("queue", c.Queue) != nil:
		return fmt.Errorf("%w: Queue must be 1 to 100 bytes of valid UTF-8 without U+0000", ErrInvalidConfig)
	case (c.Header == "") != (len(c.HeaderValues) == 0):
		return fmt.Errorf("%w: Header and HeaderValues must be set together", ErrInvalidConfig)
	case http.CanonicalHeaderKey(c.Header) == http.CanonicalHeaderKey(signing.HookHeader):
		return fmt.Errorf("%w: Header must be another one than the signature's", ErrInvalidConfig)
	}
	for i, value := range c.HeaderValues {
		if value.IsZero() {
			return fmt.Errorf("%w: HeaderValues[%d]: %w", ErrInvalidConfig, i, signing.ErrEmptySecret)
		}
	}
	for name, toggler := range c.Togglers {
		if toggler == nil || typednil.In(toggler) || name == "" || len(name) > 100 || queue.ValidateName("toggler", name) != nil {
			return fmt.Errorf("%w: Togglers[%s] must not be nil, and its name must be 1 to 100 bytes of valid UTF-8", ErrInvalidConfig, visible.Quote(name))
		}
	}
	for i, rule := range c.Rules {
		if err := c.validateRule(rule); err != nil {
			return fmt.Errorf("%w: Rules[%d].%w", ErrInvalidConfig, i, err)
		}
	}
	return nil
}

func (c Config) validateRule(rule Rule) error {
	if err := rule.validate(); err != nil {
		return err
	}
	toggler, found := c.Togglers[rule.Toggler]
	switch {
	case rule.Toggler == "":
		return errors.New("Toggler: it must be set, because there are several")
	case !found:
		return fmt.Errorf("Toggler: there is none called %s", visible.Quote(rule.Toggler))
	}
	if knows, ok := toggler.(Validator); ok {
		if err := knows.Validate(rule.Target); err != nil {
			return fmt.Errorf("Target: %w", err)
		}
	}
	return nil
}

// QueueName is the name of the queue of a toggler, in the store: beginning is
// [Config.Queue], or empty for its default.
func QueueName(beginning, toggler string) string {
	return cmp.Or(beginning, "killswitch") + ":" + toggler
}
