package flagtrack

import (
	"cmp"
	"hash/maphash"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/getsentry/sentry-go"
)

// An event shows the newest flags only, but a scope keeps a tag for each name that was ever recorded in it or in the
// scopes it was forked from. While the process knows no more names than an event may show, that is bounded. Beyond,
// a record in about every sweepEvery-th sweeps its scope, which bounds every scope that is recorded into, in any
// chain of forks, without a table of scopes.

// sweepEvery is how many records there are to a sweep, on average.
const sweepEvery = 256

var (
	// sweepLocks keep a flag from being recorded between the look at a scope and the removal of its oldest flags.
	sweepLocks [16]sync.RWMutex
	sweepSeed  = maphash.MakeSeed()
)

// setAndSweep sets a tag of a scope that may hold too many, and now and then removes the oldest.
func setAndSweep(scope *sentry.Scope, key, text string, n uint64) {
	lock := &sweepLocks[maphash.Comparable(sweepSeed, scope)%uint64(len(sweepLocks))]
	if !sweepDue(n) {
		lock.RLock()
		defer lock.RUnlock()
		scope.SetTag(key, text)
		return
	}
	lock.Lock()
	defer lock.Unlock()
	scope.SetTag(key, text)
	sweep(scope, int(registry.most.Load()))
}

// sweepDue scatters the sweeps, so that no pattern of records can keep a scope from being swept.
func sweepDue(n uint64) bool {
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	return n%sweepEvery == 0
}

// sweep removes all but the newest keep flags of scope, and those that were cleared.
func sweep(scope *sentry.Scope, keep int) {
	held, cleared := heldFlags(scope)
	slices.SortFunc(held, func(a, b heldFlag) int { return cmp.Compare(b.stamp, a.stamp) })
	for i, f := range held {
		if i >= keep || f.stamp < cleared {
			scope.RemoveTag(f.key)
		}
	}
}

type heldFlag struct {
	key   string
	stamp string
}

// heldFlags reads the flags that scope holds and the stamp of its latest clearing. A scope has no getter for its
// tags, and applying it to an event would run the application's processors, so a private copy is read by reflection.
// Were the field to go by another name one day, nothing would be found: events would stay right, scopes would grow.
func heldFlags(scope *sentry.Scope) (held []heldFlag, cleared string) {
	tags := reflect.ValueOf(scope.Clone()).Elem().FieldByName("tags")
	if tags.Kind() != reflect.Map || tags.Type() != reflect.TypeFor[map[string]string]() {
		return nil, ""
	}
	held = make([]heldFlag, 0, tags.Len())
	for it := tags.MapRange(); it.Next(); {
		key := it.Key().String()
		if !strings.HasPrefix(key, keyPrefix) {
			continue
		}
		stamp := it.Value().String()[:stampLen]
		if key == clearedKey {
			cleared = stamp
			continue
		}
		held = append(held, heldFlag{key: key, stamp: stamp})
	}
	return held, cleared
}
