package vwotrack

import (
	"context"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// Flag is what VWO's SDK returns for a flag.
type Flag interface {
	IsEnabled() bool
}

// Getter is the part of VWO's client that evaluates; F is the SDK's own type.
type Getter[F Flag] interface {
	GetFlag(featureKey string, context map[string]any) (F, error)
}

// Client evaluates through VWO's SDK and records the result. Make one with
// [Wrap]. It is safe for concurrent use if the SDK's client is.
type Client[F Flag] struct {
	getter  Getter[F]
	tracker *flagtrack.Tracker
}

// Wrap returns a client around VWO's that records with tracker. One that was
// not made with options, flagtrack.NewHook(), records as
// flagtrack.AddFeatureFlag does, also after a later flagtrack.SetDefault. A nil
// tracker records nothing.
func Wrap[F Flag](getter Getter[F], tracker *flagtrack.Tracker) *Client[F] {
	return &Client[F]{getter: getter, tracker: tracker}
}

// GetFlag evaluates a flag as the SDK does, with its result and its error, and
// records into the Sentry scope of ctx whether the flag is on. An evaluation
// that fails is recorded as off, for that is what the program goes on with.
func (c *Client[F]) GetFlag(ctx context.Context, featureKey string, userContext map[string]any) (F, error) {
	flag, err := c.getter.GetFlag(featureKey, userContext)
	if err == nil {
		c.record(ctx, featureKey, flag)
	} else {
		c.tracker.AddFeatureFlag(ctx, featureKey, false)
	}
	return flag, err
}

// record never fails: the SDK may have returned a nil pointer as its flag.
func (c *Client[F]) record(ctx context.Context, featureKey string, flag F) {
	defer func() { _ = recover() }()
	c.tracker.AddFeatureFlag(ctx, featureKey, flag.IsEnabled())
}
