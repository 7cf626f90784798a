package flagtrack_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// Flags whose names say something about a customer are renamed, and those of the security team never leave the
// process. The same tracker serves the OpenFeature hook, by openfeature.AddHooks(tracker), and AddFeatureFlag, by SetDefault.
func ExampleWithFilter_privacy() {
	initSentry()
	tracker, err := flagtrack.New(flagtrack.WithFilter(func(_ context.Context, e flagtrack.Evaluation) (flagtrack.Evaluation, bool) {
		if strings.HasPrefix(e.Flag, "customer-") {
			e.Flag = "customer-feature"
		}
		return e, !strings.HasPrefix(e.Flag, "security-")
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := sentry.CurrentHub().Clone()
	ctx := sentry.SetHubOnContext(context.Background(), hub)

	tracker.AddFeatureFlag(ctx, "security-honeypot", true)
	tracker.AddFeatureFlag(ctx, "customer-jane.doe@example.com", true)
	tracker.AddFeatureFlag(ctx, "dark-mode", true)
	hub.CaptureMessage("rendering failed")
	// Output:
	// rendering failed: {"values":[{"flag":"customer-feature","result":true},{"flag":"dark-mode","result":true}]}
}
