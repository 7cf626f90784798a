package flagtrack

import (
	"context"
	"errors"

	"github.com/open-feature/go-sdk/openfeature"
)

var _ openfeature.Hook = (*Hook)(nil)

var errNilTracker = errors.New("flagtrack: the tracker is nil")

// Hook records every OpenFeature evaluation. Register it once, at the API (openfeature.AddHooks) or on a client; at
// both it does no harm. What it records is what the application received: the value, or the default when anything
// failed, be it the provider or another hook.
//
// It never returns an error, because an error of a hook makes the application receive the default.
type Hook struct {
	openfeature.UnimplementedHook
	// tracker is nil for a hook that follows Default.
	tracker *Tracker
	err     error
}

// NewHook returns a hook that records with a tracker of its own, made with the given options, or with Default if there
// are none.
//
// A hook must not stand in the way of an application's flags: with an option that New would reject, the hook records
// nothing and Err tells why. Use New and Tracker.Hook where the error is wanted at once.
func NewHook(opts ...Option) *Hook {
	if len(opts) == 0 {
		return &Hook{}
	}
	t, err := New(opts...)
	return &Hook{tracker: t, err: err}
}

// Hook returns a hook that records with t.
func (t *Tracker) Hook() *Hook {
	if t == nil {
		return &Hook{err: errNilTracker}
	}
	return &Hook{tracker: t}
}

// Err returns why the hook records nothing, or nil.
func (h *Hook) Err() error {
	if h == nil {
		return errNilTracker
	}
	return h.err
}

// After records the value that was evaluated. If the After of another hook fails afterwards, Error corrects it.
func (h *Hook) After(
	ctx context.Context, hc openfeature.HookContext, details openfeature.InterfaceEvaluationDetails,
	_ openfeature.HookHints,
) error {
	h.use().record(ctx, Evaluation{Flag: hc.FlagKey(), Value: details.Value, Variant: details.Variant})
	return nil
}

// Error records the default, which is what the application receives when anything failed.
func (h *Hook) Error(ctx context.Context, hc openfeature.HookContext, _ error, _ openfeature.HookHints) {
	h.use().record(ctx, Evaluation{Flag: hc.FlagKey(), Value: hc.DefaultValue()})
}

// use returns the tracker to record with; nil records nothing.
func (h *Hook) use() *Tracker {
	switch {
	case h == nil || h.err != nil:
		return nil
	case h.tracker == nil:
		return Default()
	}
	return h.tracker
}
