package flagtrack

import (
	"context"
	"sync/atomic"
)

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
