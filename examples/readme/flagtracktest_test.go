package readme

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

func TestErrorCarriesFlag(t *testing.T) {
	checkout := func(ctx context.Context) {
		flagtrack.AddFeatureFlag(ctx, "new-checkout", true)
		sentry.GetHubFromContext(ctx).CaptureException(errors.New("payment declined"))
	}

	// README
	ctx, sent := flagtracktest.New(t)
	checkout(ctx)
	got := flagtracktest.Flags(sent.Last()) // [{new-checkout true}]
	// end of README

	if !slices.Equal(got, []flagtrack.Value{{Flag: "new-checkout", Result: true}}) {
		t.Errorf("the error carries %v", got)
	}
}
