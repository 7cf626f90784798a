package flagtrack_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// A program that does one thing at a time, like a command line or a single worker, needs no hub in its context:
// WithCurrentHub records where sentry.CaptureException looks. Clearing the flags between jobs keeps the jobs apart.
func ExampleWithCurrentHub_commandLine() {
	initSentry()
	tracker, err := flagtrack.New(flagtrack.WithCurrentHub())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, job := range []string{"import", "export"} {
		ctx := context.Background()
		tracker.AddFeatureFlag(ctx, "fast-"+job, true)
		sentry.CaptureMessage(job + " failed")
		tracker.ClearFeatureFlags(ctx)
	}
	sentry.CaptureMessage("shutting down")
	// Output:
	// import failed: {"values":[{"flag":"fast-import","result":true}]}
	// export failed: {"values":[{"flag":"fast-export","result":true}]}
	// shutting down: null
}

// A pool of workers gives each job a fork. Errors are captured with the fork's hub.
func ExampleFork_workers() {
	initSentry()
	ctx := context.Background()
	var jobs sync.WaitGroup
	for _, job := range []string{"import", "export"} {
		ctx := flagtrack.Fork(ctx)
		jobs.Go(func() {
			flagtrack.AddFeatureFlag(ctx, "fast-"+job, true)
			sentry.GetHubFromContext(ctx).CaptureMessage(job + " failed")
		})
	}
	jobs.Wait()
	// Unordered output:
	// import failed: {"values":[{"flag":"fast-import","result":true}]}
	// export failed: {"values":[{"flag":"fast-export","result":true}]}
}

// A request starts work that goes on after its answer. The fork has the flags of the request so far, and the request
// never gets those of the work.
func ExampleFork_goroutine() {
	initSentry()
	hub := sentry.CurrentHub().Clone()
	request := sentry.SetHubOnContext(context.Background(), hub) // as sentryhttp does it
	flagtrack.AddFeatureFlag(request, "new-checkout", true)

	ctx := flagtrack.Fork(request) // before the goroutine starts
	var mail sync.WaitGroup
	mail.Go(func() {
		flagtrack.AddFeatureFlag(ctx, "new-mailer", true)
		sentry.GetHubFromContext(ctx).CaptureMessage("mail failed")
	})
	mail.Wait()
	hub.CaptureMessage("request failed")
	// Output:
	// mail failed: {"values":[{"flag":"new-checkout","result":true},{"flag":"new-mailer","result":true}]}
	// request failed: {"values":[{"flag":"new-checkout","result":true}]}
}
