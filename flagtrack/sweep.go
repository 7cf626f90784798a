package flagtrack

import (
	"hash/maphash"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/getsentry/sentry-go"
)

// An event shows the newest flags only, but a scope keeps a tag for each name that was ever recorded in it or in the
// scopes it was forked from. While the process knows no more names than an event may show, that is bounded. Beyond,
// a record in about every sweepEvery-th sweeps its scope, which bounds every scope that is recorded into, in any
// chain of forks, without a table of scopes.

// sweepEvery is how many records there are to a sweep, on average. A sweep copies the scope; so seldom, that costs a
// record next to nothing. A scope that meets new names all the time holds about this many flags more than it shows.
const sweepEvery = 1024

// sweepGuard keeps a flag that is recorded during a sweep from being taken for the old one that was there before.
type sweepGuard struct {
	mu sync.Mutex
	// turn is odd while a sweep is under way, and another even number after it.
	turn atomic.Uint64
}

var (
	sweepGuards [16]sweepGuard // scopes are spread over them
	sweepSeed   = maphash.MakeSeed()
)

// guardOf returns the guard of a scope, which it shares with other scopes.
func guardOf(scope *sentry.Scope) *sweepGuard {
	return &sweepGuards[maphash.Comparable(sweepSeed, scope)%uint64(len(sweepGuards))]
}

// setAndSweep sets a tag of a scope that may hold too many, and now and then removes the oldest.
func setAndSweep(scope *sentry.Scope, key, text string, n uint64) {
	guard := guardOf(scope)
	due := sweepDue(n)
	if turn := guard.turn.Load(); !due && turn%2 == 0 {
		scope.SetTag(key, text)
		if guard.turn.Load() == turn {
			return
		}
		// A sweep began meanwhile and may remove this very tag: set it again after the sweep.
	}
	guard.mu.Lock()
	defer guard.mu.Unlock()
	scope.SetTag(key, text)
	if due {
		guard.turn.Add(1)
		defer guard.turn.Add(1)
		sweep(scope, int(registry.most.Load()))
	}
}

// sweepDue scatters the sweeps, so that no pattern of records can keep a scope from being swept.
func sweepDue(n uint64) bool {
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	return n%sweepEvery == 0
}

// sweep removes all but the newest keep flags of scope, and those that were cleared. A flag that was recorded under
// several limits has a tag for each of them, so that many times as many tags have to stay.
func sweep(scope *sentry.Scope, keep int) {
	tags := copyTags(scope)
	stamps := make([]uint64, 0, len(tags))
	var seen [maxLimits]bool
	limits := 0
	for key, text := range tags {
		if strings.HasPrefix(key, keyPrefix) && key != clearedKey {
			stamps = append(stamps, stampNumber(text))
			if place := key[len(keyPrefix)]; !seen[place] {
				seen[place] = true
				limits++
			}
		}
	}
	keep = min(keep, len(stamps)) * limits // whatever the capacity, this does not overflow
	var oldest uint64                      // that may stay
	if cleared, ok := tags[clearedKey]; ok {
		oldest = stampNumber(cleared)
	}
	if surplus := len(stamps) - keep; surplus > 0 {
		oldest = max(oldest, nthSmallest(stamps, surplus))
	}
	for key, text := range tags {
		if strings.HasPrefix(key, keyPrefix) && key != clearedKey && stampNumber(text) < oldest {
			scope.RemoveTag(key)
		}
	}
}

// copyTags returns a copy of the scope's tags. A scope has no getter for them, and applying it to an event would run
// the application's processors, so the field of a private clone is read. Were it to go by another name or type one
// day, nothing would be found: events would stay right, and scopes would grow.
func copyTags(scope *sentry.Scope) map[string]string {
	field := reflect.ValueOf(scope.Clone()).Elem().FieldByName("tags")
	if !field.IsValid() || field.Type() != reflect.TypeFor[map[string]string]() {
		return nil
	}
	return *(*map[string]string)(field.Addr().UnsafePointer()) // reflection alone would allocate each key and value
}

// nthSmallest returns what would be at s[n] if s were sorted, in linear time. It reorders s.
func nthSmallest(s []uint64, n int) uint64 {
	for lo, hi := 0, len(s)-1; lo < hi; {
		pivot := s[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for s[i] < pivot {
				i++
			}
			for pivot < s[j] {
				j--
			}
			if i <= j {
				s[i], s[j] = s[j], s[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return s[n]
		}
	}
	return s[n]
}
