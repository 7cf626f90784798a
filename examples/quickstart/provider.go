package main

import (
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
)

// inMemory translates the definitions for OpenFeature's in-memory provider.
func (d definitions) inMemory() map[string]memprovider.InMemoryFlag {
	flags := make(map[string]memprovider.InMemoryFlag, len(d))
	for name, flag := range d {
		evaluate := func(_ memprovider.InMemoryFlag, context openfeature.FlattenedContext) (any, openfeature.ProviderResolutionDetail) {
			value, variant, ok := flag.resolve(context)
			if !ok {
				return nil, openfeature.ProviderResolutionDetail{
					ResolutionError: openfeature.NewGeneralResolutionError("no such variant"),
					Reason:          openfeature.ErrorReason,
				}
			}
			return value, openfeature.ProviderResolutionDetail{Variant: variant, Reason: openfeature.TargetingMatchReason}
		}
		flags[name] = memprovider.InMemoryFlag{
			Key:              name,
			State:            memprovider.State(flag.State),
			DefaultVariant:   flag.DefaultVariant,
			Variants:         flag.Variants,
			ContextEvaluator: &evaluate,
		}
	}
	return flags
}
