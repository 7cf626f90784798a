package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// cost is what a request costs: time and allocations.
type cost struct {
	time   time.Duration
	allocs float64
}

const (
	rounds   = 50
	perRound = 250
)

// measure returns what a request that succeeds costs, with flagtrack's hook and
// without, in the process: front, hub, span and evaluations included, the network
// left out. The two take turns, and the quickest
// round counts, because other programs can only make one slower.
func measure(ctx context.Context, traces trace.TracerProvider) (with, without cost) {
	tracked, untracked := newShop(traces, flagtrack.NewHook()).http(), newShop(traces).http()
	var withs, withouts []cost
	for range rounds {
		withs, withouts = append(withs, costOf(ctx, tracked)), append(withouts, costOf(ctx, untracked))
	}
	return least(withs), least(withouts)
}

func costOf(ctx context.Context, handler http.Handler) cost {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for range perRound {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/checkout?user=user-1", http.NoBody)
		if err != nil {
			continue
		}
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
	taken := time.Since(began)
	runtime.ReadMemStats(&after)
	return cost{taken / perRound, float64(after.Mallocs-before.Mallocs) / perRound}
}

func least(costs []cost) cost {
	return slices.MinFunc(costs, func(a, b cost) int { return int(a.time - b.time) })
}
