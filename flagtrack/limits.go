package flagtrack

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// limits are what decides how many flags an event shows. Trackers with equal limits share one: the processor that
// renders an event is told neither tracker nor scope, and finds them by the byte that each flag carries.
type limits struct {
	capacity int
	maxBytes int
	place    byte // in the registry
	chunk    atomic.Pointer[stampChunk]
}

// maxLimits is how many different limits one process may use.
const maxLimits = 250

// registry holds all limits in use. It only grows.
var registry struct {
	mu  sync.Mutex
	all atomic.Pointer[[]*limits]
}

// limitsFor returns the limits with this capacity and byte budget, both already validated.
func limitsFor(capacity, maxBytes int) (*limits, error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	var all []*limits
	if p := registry.all.Load(); p != nil {
		all = *p
	}
	for _, l := range all {
		if l.capacity == capacity && l.maxBytes == maxBytes {
			return l, nil
		}
	}
	if len(all) == maxLimits {
		return nil, fmt.Errorf("%w: more than %d different combinations of capacity and byte budget in one process; "+
			"make trackers once and keep them", ErrInvalidOption, maxLimits)
	}
	l := &limits{capacity: capacity, maxBytes: maxBytes, place: byte(len(all))}
	grown := append(all[:len(all):len(all)], l)
	registry.all.Store(&grown)
	return l, nil
}

// limitsOf returns the limits with the given place in the registry.
func limitsOf(place byte) *limits {
	if p := registry.all.Load(); p != nil && int(place) < len(*p) {
		return (*p)[place]
	}
	return &limits{} // not ours: nothing is shown
}
