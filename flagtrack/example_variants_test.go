package flagtrack_test

import (
	"context"
	"fmt"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// Values that are not booleans become part of the name, so that Sentry shows them and finds them: search for
// flags["theme:dark"]:true. Only the latest value of a flag is shown.
func ExampleWithAllValues_variants() {
	initSentry()
	tracker, err := flagtrack.New(flagtrack.WithAllValues())
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := sentry.CurrentHub().Clone()
	ctx := sentry.SetHubOnContext(context.Background(), hub)

	tracker.AddFeatureFlag(ctx, "theme", "light")
	tracker.AddFeatureFlag(ctx, "page-size", 50)
	tracker.AddFeatureFlag(ctx, "theme", "dark")
	hub.CaptureMessage("rendering failed")
	// Output:
	// rendering failed: {"values":[{"flag":"page-size:50","result":true},{"flag":"theme:dark","result":true}]}
}
