package vwo

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// Limits of the relay that are not settings.
const (
	// MaxAlert is the largest alert in bytes: 5 MiB, because Sentry escapes
	// non-ASCII text to three times its size.
	MaxAlert = 5 << 20
	// maxBodies is how many bodies are read at once.
	maxBodies = 8
	// storeTimeout is how long the store may take to keep an alert. Sentry
	// waits a second in all.
	storeTimeout = 500 * time.Millisecond
	// attemptTimeout bounds one call of the toggler.
	attemptTimeout = 30 * time.Second
	// longestMaxAge leaves room below the day for which a store remembers what
	// it has had.
	longestMaxAge = 12 * time.Hour
)

// Emitter takes records of what was changed, for Sentry's flag log.
// [webhook.Emitter] is one.
type Emitter interface {
	Emit(ctx context.Context, changes ...webhook.Change) error
}

// RelayConfig is what a [Relay] is made of.
type RelayConfig struct {
	// Secrets are the Client Secrets of the internal integration in Sentry; more
	// than one only while it is being replaced. Required.
	Secrets []signing.Secret
	// Rules say which alert switches which flag. Required.
	Rules []Rule
	// Toggler switches: a [Client], or one for another flag system. Required.
	Toggler Toggler

	// Installation, if not empty, is the uuid of the integration's installation:
	// what another one signs is refused.
	Installation string
	// Header and HeaderValues are a second factor: a header that was added to
	// the integration in Sentry ("X-…" or "Authorization"), and the values that
	// it may have, whole: "Bearer …", say. Both or neither. It is checked before
	// the body is read, and keeps strangers from taking up the places for bodies.
	Header       string
	HeaderValues []Token

	// Store keeps accepted alerts until their flags are switched. With a durable
	// one they survive a crash, and relays that share it act on each alert once.
	// It should remember what it has had for a day. The caller closes it, after
	// the relay. Defaults to memory, which a crash empties.
	Store webhook.Store
	// Queue is the name of the queue in the store. Defaults to "vwo.relay".
	Queue string
	// PollInterval is how often the store is asked for alerts that another
	// relay has accepted, or that an earlier process has left. Defaults to 1
	// second.
	PollInterval time.Duration

	// Emitter gets a record of each switch: a change "updated", authored by the
	// alert's name, dated when the alert was accepted. Nil records nothing.
	Emitter Emitter

	// MaxAge is how old an alert's signed time may be, and how long after its
	// acceptance a switch is still tried. Past it the switch is reported, so
	// that the end of an outage does not undo what people have restored since.
	// Defaults to 15 minutes, at most 12 hours.
	MaxAge time.Duration
	// CoolDown is how long the same alert with the same action does not switch
	// the same flag again. It is kept per process. Defaults to 5 minutes; -1 is
	// none.
	CoolDown time.Duration
	// CapPerHour is how many switches are accepted in an hour. It is kept per
	// process. Defaults to 60; -1 is none.
	CapPerHour int
	// AnswerWithin is how long a request waits for its flag to be switched
	// before it is answered 202. Sentry gives up after about a second, of which
	// the way takes some. Defaults to 700 milliseconds.
	AnswerWithin time.Duration
	// ReadTimeout is how long a body may take to arrive. Defaults to 1 second,
	// which is about as long as Sentry waits in all.
	ReadTimeout time.Duration
	// DryRun decides and records in the log, and switches nothing: not even what
	// waits in the store.
	DryRun bool

	// Logger gets a line per decision and per attempt. Nil is silent.
	Logger *slog.Logger
	// OnDecision, if set, is called with each decision before the answer is
	// sent. It must be quick.
	OnDecision func(Decision)
	// OnReport, if set, is called when something needs a person: a switch that
	// failed for good or came too late, or is held up ([ErrDelayed]), a record that was not taken, a store
	// that failed, a cap that was reached. It is called from several goroutines
	// and must be quick. See [ReportTag] before sending it to Sentry.
	OnReport func(Report)
}

func (c RelayConfig) withDefaults() RelayConfig {
	c.Queue = cmp.Or(c.Queue, "vwo.relay")
	c.PollInterval = cmp.Or(c.PollInterval, time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, 15*time.Minute)
	c.CoolDown = cmp.Or(c.CoolDown, 5*time.Minute)
	c.CapPerHour = cmp.Or(c.CapPerHour, 60)
	c.AnswerWithin = cmp.Or(c.AnswerWithin, 700*time.Millisecond)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Rules = slices.Clone(c.Rules)
	for i, rule := range c.Rules {
		c.Rules[i] = rule.withDefaults()
	}
	return c
}

func (c RelayConfig) validate() error {
	for _, positive := range []struct {
		field string
		value time.Duration
	}{{"PollInterval", c.PollInterval}, {"MaxAge", c.MaxAge}, {"AnswerWithin", c.AnswerWithin}, {"ReadTimeout", c.ReadTimeout}} {
		if positive.value < 0 {
			return fmt.Errorf("%w: %s must not be negative", ErrInvalidConfig, positive.field)
		}
	}
	switch {
	case c.Toggler == nil:
		return fmt.Errorf("%w: Toggler must be set", ErrInvalidConfig)
	case len(c.Rules) == 0:
		return fmt.Errorf("%w: Rules must not be empty: without a rule nothing ever happens", ErrInvalidConfig)
	case c.MaxAge > longestMaxAge:
		return fmt.Errorf("%w: MaxAge must be at most %v, so that the store remembers a body for longer", ErrInvalidConfig, longestMaxAge)
	case (c.Header == "") != (len(c.HeaderValues) == 0):
		return fmt.Errorf("%w: Header and HeaderValues must be set together", ErrInvalidConfig)
	case http.CanonicalHeaderKey(c.Header) == http.CanonicalHeaderKey(signing.HookHeader):
		return fmt.Errorf("%w: Header must be another one than the signature's", ErrInvalidConfig)
	}
	for i, value := range c.HeaderValues {
		if err := value.matchable(); err != nil {
			return fmt.Errorf("%w: HeaderValues[%d]: %w", ErrInvalidConfig, i, err)
		}
	}
	for i, rule := range c.Rules {
		if err := rule.validate(); err != nil {
			return fmt.Errorf("%w: Rules[%d].%w", ErrInvalidConfig, i, err)
		}
	}
	return nil
}
