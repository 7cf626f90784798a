package flagtrack

import (
	"context"
	"sync/atomic"

	"github.com/getsentry/sentry-go"
)

// Tracker records evaluations into Sentry's scopes and spans: those of OpenFeature, as a hook, and those of any other
// flag system, by AddFeatureFlag. It is made by New, serves all goroutines and holds no resources. A nil Tracker
// records nothing, and the zero Tracker, which NewHook returns, does what Default does.
type Tracker struct {
	config
	limits *limits // nil in the zero Tracker
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

// use returns the tracker that does the work, or nil if there is none to do.
func (t *Tracker) use() *Tracker {
	if t != nil && t.limits == nil {
		t = Default()
	}
	if t == nil || t.capacity == 0 {
		return nil
	}
	return t
}

// AddFeatureFlag records that the application received value for flag. Only booleans are recorded unless the tracker
// was made WithAllValues. A name that Sentry would delete is made legal (see the package comment). It never panics and
// is safe for concurrent use, but like every change of a scope it must not be called from an event processor of a
// scope (see the package comment). What is not recorded is counted: see Stats.
func (t *Tracker) AddFeatureFlag(ctx context.Context, flag string, value any) {
	if t = t.use(); t == nil {
		return
	}
	defer ignorePanic()
	if t.filter != nil {
		t.filtered(ctx, Evaluation{Flag: flag, Value: value})
		return
	}
	t.record(ctx, flag, value, "")
}

// ClearFeatureFlags makes the current scope forget its flags. The scopes it was forked from and those already forked
// from it keep theirs, and spans keep theirs.
func (t *Tracker) ClearFeatureFlags(ctx context.Context) {
	if t = t.use(); t == nil {
		return
	}
	defer ignorePanic()
	if scope := t.findScope(ctx); scope != nil {
		clearFlags(scope, t.limits)
	}
}

// ClearFeatureFlag makes the current scope forget one flag, by the name that was recorded: after a filter, if that
// renames. The scopes it was forked from and those already forked from it keep theirs, and spans keep theirs.
func (t *Tracker) ClearFeatureFlag(ctx context.Context, flag string) {
	if t = t.use(); t == nil || flag == "" {
		return
	}
	defer ignorePanic()
	if scope := t.findScope(ctx); scope != nil {
		name, _ := names.get(flag)
		clearFlag(scope, name.key)
	}
}

// Flags returns the flags that an error of the current scope would show now, oldest first, unless the application has a
// context "flags" of its own there: for logs and tests. It copies the scope, so it is not for every evaluation. It
// returns nil where there is no scope, and where sentry-go has changed so much that the scope cannot be read (see
// LeftOut.Unswept).
func (t *Tracker) Flags(ctx context.Context) []Value {
	if t = t.use(); t == nil {
		return nil
	}
	defer ignorePanic()
	scope := t.findScope(ctx)
	if scope == nil {
		return nil
	}
	tags, _ := copyTags(scope)
	flags, cleared := takeFlags(tags)
	return render(flags, cleared).values
}

// filtered records what the filter makes of e.
//
//nolint:contextcheck // the new context is for an application that passes nil: there is none to inherit from
func (t *Tracker) filtered(ctx context.Context, e Evaluation) {
	if ctx == nil {
		ctx = context.Background()
	}
	inPlace := !hasText(e.Value) // or the variant would be shown if the filter took the value away
	e, keep := t.filter(ctx, e)
	if !keep {
		left.filtered.Add(1)
		return
	}
	if !inPlace {
		e.Variant = ""
	}
	t.record(ctx, e.Flag, e.Value, e.Variant)
}

// record puts an evaluation where it belongs. The variant is shown in place of a value that has no short text.
func (t *Tracker) record(ctx context.Context, flag string, v any, variant string) {
	result, isBool := boolValue(v)
	switch {
	case flag == "":
		left.unnamed.Add(1)
		return
	case !isBool && !t.allValues:
		left.notBoolean.Add(1)
		return
	}
	name, old := names.get(flag)
	shown := value{result: result}
	if !isBool {
		text, ok := valueText(v)
		if !ok {
			text = variant
		}
		if text == "" && !ok {
			left.notBoolean.Add(1)
			t.forget(ctx, name)
			return
		}
		shown = value{result: true, variant: variantName(name.shown, text)}
	}
	scope := t.findScope(ctx)
	switch {
	case scope == nil:
		left.noHub.Add(1)
		t.sayNoHub()
	case !takesFlags(scope):
		left.unprepared.Add(1)
		sayUnprepared()
	default:
		setFlag(scope, t.limits, name.key, shown)
		if t.limits.sweepDue(old) {
			sweep(scope)
		}
	}
	if span := activeSpan(ctx, scope); span != nil {
		spans.record(span, name, shown)
	}
}

// forget removes a flag whose newest value cannot be shown: an older one would be wrong.
func (t *Tracker) forget(ctx context.Context, name *flagName) {
	scope := t.findScope(ctx)
	if scope != nil {
		clearFlag(scope, name.key)
	}
	if span := activeSpan(ctx, scope); span != nil {
		spans.forget(span, name)
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
	if hub := hubOf(ctx); hub != nil {
		return hub.Scope()
	}
	if t.currentHub {
		return sentry.CurrentHub().Scope()
	}
	return nil
}

// ignorePanic is deferred around everything that may call the application's code. Flags are decoration: losing one is
// better than failing an evaluation.
func ignorePanic() {
	if recover() != nil {
		left.panicked.Add(1)
	}
}

var defaultTracker atomic.Pointer[Tracker]

func init() {
	SetDefault(nil)
}

// Default returns the tracker behind the functions of this package and the hook of NewHook.
func Default() *Tracker {
	return defaultTracker.Load()
}

// SetDefault replaces the tracker behind the functions of this package and the hook of NewHook, also for hooks already
// made. nil restores the initial one, which has no options, and so does the zero Tracker.
func SetDefault(t *Tracker) {
	if t == nil || t.limits == nil {
		t, _ = New() // has no option to reject
	}
	defaultTracker.Store(t)
}

// AddFeatureFlag records that the application received value for flag, as Tracker.AddFeatureFlag of Default does.
func AddFeatureFlag(ctx context.Context, flag string, value any) {
	Default().AddFeatureFlag(ctx, flag, value)
}

// ClearFeatureFlags makes the current scope forget its flags, as Tracker.ClearFeatureFlags of Default does.
func ClearFeatureFlags(ctx context.Context) {
	Default().ClearFeatureFlags(ctx)
}

// ClearFeatureFlag makes the current scope forget one flag, as Tracker.ClearFeatureFlag of Default does.
func ClearFeatureFlag(ctx context.Context, flag string) {
	Default().ClearFeatureFlag(ctx, flag)
}

// Flags returns the flags that an error of the current scope would show now, as Tracker.Flags of Default does.
func Flags(ctx context.Context) []Value {
	return Default().Flags(ctx)
}
