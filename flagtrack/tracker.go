package flagtrack

import (
	"context"

	"github.com/getsentry/sentry-go"
)

// Evaluation is a flag and the value that the application received for it.
type Evaluation struct {
	Flag  string
	Value any
	// Variant is the name that the provider gave to a value which has no short text, an object say, and which is shown
	// in its place. Otherwise it is empty: booleans, strings and numbers are shown themselves. See WithAllValues.
	Variant string
}

// Tracker records evaluations into Sentry's scopes and spans. It is made by New, serves all goroutines and holds no
// resources. A nil Tracker records nothing.
type Tracker struct {
	config
	limits *limits
}

// New returns a Tracker. Its errors wrap ErrInvalidOption.
func New(opts ...Option) (*Tracker, error) {
	c := newConfig(opts)
	if err := c.validate(); err != nil {
		return nil, err
	}
	l, err := limitsFor(c.capacity, c.maxBytes)
	if err != nil {
		return nil, err
	}
	return &Tracker{config: c, limits: l}, nil
}

// AddFeatureFlag records that the application received value for flag. Only booleans are recorded unless the tracker
// was made WithAllValues. An empty flag is ignored; a name that Sentry would delete is made legal (see the package
// comment). It never panics and is safe for concurrent use, but like every change of a scope it must not be called
// from an event processor of a scope (see the package comment).
func (t *Tracker) AddFeatureFlag(ctx context.Context, flag string, value any) {
	t.record(ctx, Evaluation{Flag: flag, Value: value})
}

// ClearFeatureFlags makes the current scope forget its flags. The scopes it was forked from and those already forked
// from it keep theirs, and spans keep theirs.
func (t *Tracker) ClearFeatureFlags(ctx context.Context) {
	if t == nil || t.capacity == 0 {
		return
	}
	defer ignorePanic()
	if scope := t.findScope(ctx); scope != nil {
		clearFlags(scope)
	}
}

func (t *Tracker) record(ctx context.Context, e Evaluation) {
	if t == nil || t.capacity == 0 {
		return
	}
	defer ignorePanic()
	if t.filter != nil {
		if e.Variant != "" && hasText(e.Value) {
			e.Variant = "" // or it would be shown if the filter took the value away
		}
		var keep bool
		if e, keep = t.filter(e); !keep {
			return
		}
	}
	result, isBool := boolValue(e.Value)
	if e.Flag == "" || !isBool && !t.allValues {
		return
	}
	name := t.limits.names.get(e.Flag)
	v := value{result: result}
	if !isBool {
		text, ok := valueText(e.Value)
		if !ok {
			text = e.Variant
		}
		if !ok && e.Variant == "" {
			t.forget(ctx, name)
			return
		}
		v = value{result: true, variant: variantName(name.shown, text)}
	}
	scope := t.findScope(ctx)
	if scope != nil {
		setFlag(scope, name.key, v)
	}
	if span := activeSpan(ctx, scope); span != nil {
		spans.record(span, name.shown, v)
	}
}

// forget removes a flag whose newest value cannot be shown: an older one would be wrong.
func (t *Tracker) forget(ctx context.Context, name *flagName) {
	scope := t.findScope(ctx)
	if scope != nil {
		scope.RemoveTag(name.key)
	}
	if span := activeSpan(ctx, scope); span != nil {
		spans.forget(span, name.shown)
	}
}

// findScope returns the scope that an evaluation belongs to, or nil.
//
//nolint:contextcheck // the new context is for an application that passes nil: there is none to inherit from
func (t *Tracker) findScope(ctx context.Context) *sentry.Scope {
	if t.scope != nil {
		if ctx == nil {
			ctx = context.Background()
		}
		return t.scope(ctx)
	}
	if ctx != nil {
		if hub := sentry.GetHubFromContext(ctx); hub != nil {
			return hub.Scope()
		}
	}
	if t.hubRequired {
		return nil
	}
	return sentry.CurrentHub().Scope()
}

// ignorePanic is deferred around everything that may call the application's code. Flags are decoration: losing one is
// better than failing an evaluation.
func ignorePanic() {
	_ = recover()
}
