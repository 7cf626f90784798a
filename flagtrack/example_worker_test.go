package flagtrack_test

import (
	"context"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// A worker that does one job after the other needs no hub in its context: flags go to the process-wide scope, where
// sentry.CaptureException finds them. Clearing them between jobs keeps the jobs apart.
func Example_worker() {
	initSentry()
	for _, job := range []string{"import", "export"} {
		ctx := context.Background()
		flagtrack.AddFeatureFlag(ctx, "fast-"+job, true)
		sentry.CaptureMessage(job + " failed")
		flagtrack.ClearFeatureFlags(ctx)
	}
	sentry.CaptureMessage("shutting down")
	// Output:
	// import failed: {"values":[{"flag":"fast-import","result":true}]}
	// export failed: {"values":[{"flag":"fast-export","result":true}]}
	// shutting down: null
}
