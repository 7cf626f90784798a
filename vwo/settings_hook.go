package vwo

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// settingsAuthHeader carries VWO's shared secret. It is no signature.
const settingsAuthHeader = "X-Vwo-Auth"

// maxSettingsBody is far more than VWO's webhook takes: it has five short
// fields.
const maxSettingsBody = 64 << 10

// SettingsHookConfig is what a [SettingsHook] is made of.
type SettingsHookConfig struct {
	// Auth are the values that VWO may send as x-vwo-auth; more than one only
	// while it is being replaced. Required.
	Auth []Token
	// Look is called for each good call, before it is answered: the Look of a
	// watcher of [Settings], and what makes the SDK read its settings. It must not
	// wait. Required.
	Look func()
	// Logger gets a line per webhook. Nil means [slog.Default].
	Logger *slog.Logger
}

func (c SettingsHookConfig) validate() error {
	switch {
	case len(c.Auth) == 0:
		return fmt.Errorf("%w: Auth: %w", ErrInvalidConfig, ErrEmptyToken)
	case c.Look == nil:
		return fmt.Errorf("%w: Look must be set", ErrInvalidConfig)
	}
	for i, auth := range c.Auth {
		if err := auth.usable(); err != nil {
			return fmt.Errorf("%w: Auth[%d]: %w", ErrInvalidConfig, i, err)
		}
	}
	return nil
}

// SettingsHook receives VWO's own webhook, as an [http.Handler]. The webhook
// says that something has changed, and neither what nor by whom, so all it does
// is to make somebody look.
//
// A call without the right x-vwo-auth, or without any, is answered 401; a good
// one 202 at once, because VWO repeats what is not answered 2xx every second or
// two for an hour.
type SettingsHook struct{ config SettingsHookConfig }

var _ http.Handler = (*SettingsHook)(nil)

// NewSettingsHook makes the handler. Its error wraps [ErrInvalidConfig].
func NewSettingsHook(config SettingsHookConfig) (*SettingsHook, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &SettingsHook{config}, nil
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
	h.config.Logger.Info("vwo settings: called", "event", visible.Quote(said.Event), "action", visible.Quote(said.Action), "readable", err == nil)
	h.config.Look()
	w.WriteHeader(http.StatusAccepted)
}
