package vwo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// settingsAuthHeader carries VWO's shared secret. It is no signature.
const settingsAuthHeader = "X-Vwo-Auth"

const (
	// maxSettingsBody is far more than VWO's webhook takes: it has five short
	// fields.
	maxSettingsBody = 64 << 10
	// settingsTimeout bounds one call of Settings or of the emitter.
	settingsTimeout = 30 * time.Second
)

// lookAgain is when the settings are read again after a webhook that was ahead
// of them: VWO hands them out through a cache.
var lookAgain = []time.Duration{5 * time.Second, 30 * time.Second}

// Emitter takes what was changed, for Sentry's flag log. [webhook.Emitter] is
// one.
type Emitter interface {
	Emit(ctx context.Context, changes ...webhook.Change) error
}

// FlagState is what a flag is like in one environment.
type FlagState struct {
	// Enabled says whether the flag is on.
	Enabled bool
	// Definition is anything that changes when an evaluation of the flag can
	// come out differently: the JSON of its rules and variations, say, or a
	// hash of it. May be empty if only Enabled is known.
	Definition string
}

// SettingsHookConfig is what a [SettingsHook] is made of.
type SettingsHookConfig struct {
	// Auth are the values that VWO may send as x-vwo-auth; more than one only
	// while it is being replaced. Required.
	Auth []Token
	// Settings returns the environment's flags by key, as they are now.
	// Required: VWO's webhook does not say what changed, and its API has no
	// on/off state, so that the settings come from where the SDK gets them. A
	// flag that is off may be missing in them; it is then reported as deleted
	// and, when it is back, as created, unless the function knows better.
	Settings func(ctx context.Context) (map[string]FlagState, error)
	// Emitter gets the changes. Required.
	Emitter Emitter
	// Author is who is named as the author of the changes: VWO does not tell.
	// Defaults to the name "VWO".
	Author webhook.Author

	// Client and Environment, if set, keep what the client switches from being
	// reported as well, for whoever has it switched records that: a kill switch in
	// this process. Environment is the environment as the client's targets name
	// it, and those name features by their keys. Both or neither.
	Client      *Client
	Environment string

	// Logger gets a line per webhook and per change. Nil is silent.
	Logger *slog.Logger
}

func (c SettingsHookConfig) withDefaults() SettingsHookConfig {
	c.Author = cmp.Or(c.Author, webhook.Author{ID: "VWO", Type: webhook.AuthorName})
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c SettingsHookConfig) validate() error {
	switch {
	case len(c.Auth) == 0:
		return fmt.Errorf("%w: Auth: %w", ErrInvalidConfig, ErrEmptyToken)
	case c.Settings == nil:
		return fmt.Errorf("%w: Settings must be set", ErrInvalidConfig)
	case c.Emitter == nil:
		return fmt.Errorf("%w: Emitter must be set", ErrInvalidConfig)
	case (c.Client == nil) != (c.Environment == ""):
		return fmt.Errorf("%w: Client and Environment must be set together", ErrInvalidConfig)
	}
	for i, auth := range c.Auth {
		if err := auth.usable(); err != nil {
			return fmt.Errorf("%w: Auth[%d]: %w", ErrInvalidConfig, i, err)
		}
	}
	return nil
}

// SettingsHook receives VWO's own webhook, as an [http.Handler], and reports
// what people changed in VWO to Sentry's flag log: it compares the settings
// before and after and emits what was created, updated and deleted.
//
// A call without the right x-vwo-auth, or without any, is answered 401; a good
// one 202 at once, before the settings are read, because VWO repeats what is not
// answered 2xx every second or two for an hour. Several calls in a row are
// looked at together.
//
// The settings at the start are the baseline: nothing is reported about them,
// nor about what changed while no hook was running.
type SettingsHook struct {
	config  SettingsHookConfig
	wake    chan struct{}
	cancel  context.CancelFunc
	closing chan struct{}
	once    sync.Once
	ended   chan struct{}

	// Only the goroutine in run uses what follows.
	before  map[string]FlagState
	hidden  map[string]FlagState // switched off by the client, and missing since
	pending []webhook.Change     // found, and not taken by the emitter yet
}

var _ http.Handler = (*SettingsHook)(nil)

// NewSettingsHook reads the settings as they are and starts to watch for VWO's
// webhook; close it with [SettingsHook.Close]. Its errors wrap
// [ErrInvalidConfig], or the error of Settings.
func NewSettingsHook(ctx context.Context, config SettingsHookConfig) (*SettingsHook, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	before, err := config.Settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("vwo: read the settings to compare with: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &SettingsHook{
		config: config, before: before, hidden: map[string]FlagState{},
		wake: make(chan struct{}, 1), cancel: cancel, closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(h.ended)
		h.run(running)
	}()
	return h, nil
}

// ServeHTTP takes one call of VWO's.
func (h *SettingsHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "refused", http.StatusMethodNotAllowed)
		return
	}
	if given := r.Header.Values(settingsAuthHeader); len(given) != 1 || !anyMatches(h.config.Auth, given[0]) {
		h.config.Logger.Warn("vwo settings: refused", "reason", "x-vwo-auth is missing or wrong")
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	// What it says is a hint for the log. Even a body that cannot be read means
	// that something has changed.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSettingsBody))
	var said struct{ Event, Action string }
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	h.config.Logger.Info("vwo settings: called", "event", quote(said.Event), "action", quote(said.Action), "readable", err == nil)
	select {
	case h.wake <- struct{}{}:
	default: // one look is coming already, and will see this as well
	}
	w.WriteHeader(http.StatusAccepted)
}

// Close takes a last look if one is due, waits until what was found is with the
// emitter, or for ctx to end, and ends. It may be called again.
func (h *SettingsHook) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	h.once.Do(func() { close(h.closing) })
	select {
	case <-h.ended:
		return nil
	case <-ctx.Done():
		h.cancel()
		<-h.ended
		return context.Cause(ctx)
	}
}

func (h *SettingsHook) run(ctx context.Context) {
	defer h.cancel()
	var again *time.Timer
	looks, failures := 0, 0
	due := func() <-chan time.Time {
		if again == nil {
			return nil
		}
		return again.C
	}
	for {
		closing := false
		select {
		case <-h.wake:
			looks, failures = 0, 0
		case <-due():
		case <-h.closing:
			closing = true
			select {
			case <-h.wake:
			default:
				if len(h.pending) == 0 {
					return
				}
			}
		case <-ctx.Done():
			return
		}
		found, err := h.look(ctx)
		again = nil
		switch {
		case err != nil && ctx.Err() == nil:
			h.config.Logger.Error("vwo settings: cannot be compared or reported yet", "err", err.Error())
			if closing {
				_ = sleep(ctx, pauseAfter(failures))
				h.poke()
				continue
			}
			again = time.NewTimer(pauseAfter(failures))
			failures++
		case !found && looks < len(lookAgain) && !closing:
			again = time.NewTimer(lookAgain[looks])
			looks++
		}
	}
}

func (h *SettingsHook) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// look reads the settings, compares and emits. It reports whether it found
// anything. What it found is kept until the emitter has it.
func (h *SettingsHook) look(ctx context.Context) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, settingsTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = errors.New("vwo: Settings or the emitter panicked")
		}
	}()
	after, err := h.config.Settings(ctx)
	if err != nil {
		return false, err
	}
	changes := h.compare(after, time.Now())
	h.before = after
	for _, c := range changes {
		h.config.Logger.Info("vwo settings: changed", "action", string(c.Action), "flag", quote(c.Flag))
	}
	h.pending = append(h.pending, changes...)
	if len(h.pending) > 0 {
		if err := h.emitPending(ctx); err != nil {
			return true, err
		}
	}
	return len(changes) > 0, nil
}

// emitPending hands over what was found; a change that can never be taken is
// left out, so that it does not hold up the rest.
func (h *SettingsHook) emitPending(ctx context.Context) error {
	for len(h.pending) > 0 {
		err := h.config.Emitter.Emit(ctx, h.pending...)
		invalid, ok := errors.AsType[*webhook.ChangeError](err)
		if !ok {
			if err == nil {
				h.pending = nil
			}
			return err
		}
		if invalid.Index < 0 || invalid.Index >= len(h.pending) {
			return err
		}
		h.config.Logger.Error("vwo settings: a change cannot be recorded", "flag", quote(h.pending[invalid.Index].Flag), "err", err.Error())
		h.pending = append(h.pending[:invalid.Index], h.pending[invalid.Index+1:]...)
	}
	return nil
}

// The pauses between two attempts at reading the settings.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
)

// pauseAfter doubles with each failure, and is spread.
func pauseAfter(failures int) time.Duration {
	pause := longestPause
	if failures < 6 {
		pause = min(firstPause<<failures, longestPause)
	}
	return pause/2 + rand.N(pause/2)
}
