package flagtrack

import (
	"context"

	"github.com/open-feature/go-sdk/openfeature"
)

var _ openfeature.Hook = (*Tracker)(nil)

// NewHook returns a hook that records every OpenFeature evaluation as Default does, also after a later SetDefault:
//
//	openfeature.AddHooks(flagtrack.NewHook())
//
// A Tracker made with options is a hook itself: openfeature.AddHooks(tracker). Register one hook, once, at the API or on
// a client: of two each records what the other's filter drops, and counts what it leaves out.
func NewHook() *Tracker { return &Tracker{} }

// Before does nothing. It is there for OpenFeature, as are After, Error and Finally, which record what the application
// received: the value, or the default when anything failed, be it the provider or another hook. None of them returns
// an error, because an error of a hook makes the application receive the default.
func (t *Tracker) Before(
	context.Context, openfeature.HookContext, openfeature.HookHints,
) (*openfeature.EvaluationContext, error) {
	return nil, nil
}

// After records the value that was evaluated. If the After of another hook fails afterwards, Error corrects it.
func (t *Tracker) After(
	ctx context.Context, hc openfeature.HookContext, details openfeature.InterfaceEvaluationDetails,
	_ openfeature.HookHints,
) error {
	if t = t.use(); t == nil {
		return nil
	}
	defer ignorePanic()
	if t.filter == nil {
		t.record(ctx, hc.FlagKey(), details.Value, details.Variant)
		return nil
	}
	e := evaluationOf(hc)
	e.Value, e.Variant, e.Reason = details.Value, details.Variant, details.Reason
	t.filtered(ctx, e)
	return nil
}

// Error records the default, which is what the application receives when anything failed.
//
// This is the one place that holds an application to receive the default also when the After of another hook failed,
// as go-sdk has it. Should that change, an Error behind an After must leave the value as it is; a test compares it
// with what the application received.
func (t *Tracker) Error(ctx context.Context, hc openfeature.HookContext, err error, _ openfeature.HookHints) {
	if t = t.use(); t == nil {
		return
	}
	defer ignorePanic()
	if t.filter == nil {
		t.record(ctx, hc.FlagKey(), hc.DefaultValue(), "")
		return
	}
	e := evaluationOf(hc)
	e.Value, e.Reason, e.Err = hc.DefaultValue(), openfeature.ErrorReason, err
	t.filtered(ctx, e)
}

// Finally does nothing. In go-sdk its details have the provider's value also where the application received the
// default, so it is of no use here.
func (t *Tracker) Finally(
	context.Context, openfeature.HookContext, openfeature.InterfaceEvaluationDetails, openfeature.HookHints,
) {
}

// evaluationOf returns what is known before the outcome.
func evaluationOf(hc openfeature.HookContext) Evaluation {
	return Evaluation{
		Flag:     hc.FlagKey(),
		Domain:   hc.ClientMetadata().Domain(),
		Provider: hc.ProviderMetadata().Name,
	}
}
