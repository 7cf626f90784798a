package flagtrack_test

import (
	"context"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// settings is a flag system of one's own.
type settings map[string]bool

func (s settings) enabled(ctx context.Context, flag string) bool {
	value := s[flag]
	flagtrack.AddFeatureFlag(ctx, flag, value)
	return value
}

// A flag system without OpenFeature records where it evaluates. A flag shows its latest value, at the place of its
// latest evaluation.
func Example_withoutOpenFeature() {
	initSentry()
	hub := sentry.CurrentHub().Clone()
	ctx := sentry.SetHubOnContext(context.Background(), hub)

	flags := settings{"dark-mode": true}
	flags.enabled(ctx, "dark-mode")
	flags.enabled(ctx, "beta")
	flags["dark-mode"] = false
	flags.enabled(ctx, "dark-mode")
	hub.CaptureMessage("rendering failed")
	// Output:
	// rendering failed: {"values":[{"flag":"beta","result":false},{"flag":"dark-mode","result":false}]}
}
