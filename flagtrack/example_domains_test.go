package flagtrack_test

import (
	"context"
	"fmt"

	"github.com/getsentry/sentry-go"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// Two OpenFeature domains may have a flag of the same name. It is one flag for Sentry, with the value evaluated last,
// unless the domain becomes part of the name. Report its changes under that name, too.
func ExampleWithFilter_domains() {
	initSentry()
	tracker, err := flagtrack.New(flagtrack.WithFilter(
		func(_ context.Context, e flagtrack.Evaluation) (flagtrack.Evaluation, bool) {
			if e.Domain != "" {
				e.Flag = e.Domain + "." + e.Flag
			}
			return e, true
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := sentry.CurrentHub().Clone()
	ctx := sentry.SetHubOnContext(context.Background(), hub)

	for domain, variant := range map[string]string{"billing": "on", "search": "off"} {
		provider := memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{"new-engine": {
			State: memprovider.Enabled, DefaultVariant: variant, Variants: map[string]any{"on": true, "off": false},
		}})
		if err := openfeature.SetNamedProviderAndWait(domain, provider); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, domain := range []string{"billing", "search"} {
		flags := openfeature.NewClient(domain)
		flags.AddHooks(tracker)
		flags.Boolean(ctx, "new-engine", false, openfeature.EvaluationContext{})
	}
	hub.CaptureMessage("no results")
	// Output:
	// no results: {"values":[{"flag":"billing.new-engine","result":true},{"flag":"search.new-engine","result":false}]}
}
