// Package benchratio compares two pieces of code within one benchmark run, so
// that a speed claim is a ratio that holds on a noisy machine.
package benchratio

import (
	"slices"
	"time"
)

// rounds is odd, so that the median is a measured value.
const rounds = 31

// Of returns how many times longer subject takes than reference: the median
// over 31 rounds, each of which runs calls of the one and calls of the other in
// turn, so that a busy moment meets both. Choose calls such that a round lasts
// a millisecond or so.
func Of(subject, reference func(), calls int) float64 {
	ratios := make([]float64, rounds)
	for i := range ratios {
		if i%2 == 0 {
			s, r := timed(subject, calls), timed(reference, calls)
			ratios[i] = s / r
		} else {
			r, s := timed(reference, calls), timed(subject, calls)
			ratios[i] = s / r
		}
	}
	slices.Sort(ratios)
	return ratios[rounds/2]
}

func timed(f func(), calls int) float64 {
	start := time.Now()
	for range calls {
		f()
	}
	return float64(time.Since(start))
}
