package flagtrack_test

import (
	"context"
	"fmt"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// A flag is missing on an error: Flags tells what is recorded, Stats what was left out and why. A program that has
// metrics publishes Stats among them.
func ExampleStats_missingFlag() {
	initSentry()
	ctx := sentry.SetHubOnContext(context.Background(), sentry.CurrentHub().Clone())
	before := flagtrack.Stats()

	flagtrack.AddFeatureFlag(ctx, "new-checkout", true)
	flagtrack.AddFeatureFlag(ctx, "theme", "dark")               // not a boolean
	flagtrack.AddFeatureFlag(context.Background(), "beta", true) // a context that leads nowhere

	fmt.Println("recorded:", flagtrack.Flags(ctx))
	after := flagtrack.Stats()
	fmt.Println("left out:", after.NotBoolean-before.NotBoolean, "not boolean,", after.NoHub-before.NoHub, "without a hub")
	// Output:
	// recorded: [{new-checkout true}]
	// left out: 1 not boolean, 1 without a hub
}

// Sentry deletes names with other characters than its own, so they are shown changed. Search for the shown name, and
// report changes of the flag under it.
func ExampleShownName_search() {
	fmt.Println(flagtrack.ShownName("new-checkout"))
	fmt.Println(flagtrack.ShownName("my flag"))
	// Output:
	// new-checkout
	// my_flag-a84e63b3
}
