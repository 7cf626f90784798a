package flagtrack

import (
	"context"
	"sync/atomic"
)

var defaultTracker atomic.Pointer[Tracker]

func init() {
	SetDefault(nil)
}

// Default returns the tracker behind AddFeatureFlag, ClearFeatureFlags and a NewHook without options.
func Default() *Tracker {
	return defaultTracker.Load()
}

// SetDefault replaces the tracker behind AddFeatureFlag, ClearFeatureFlags and a NewHook without options, also for
// hooks already made. nil restores the initial one, which has no options.
func SetDefault(t *Tracker) {
	if t == nil {
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
