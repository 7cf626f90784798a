package flagtrack

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/getsentry/sentry-go"
)

// An event shows the newest flags only, but a scope keeps a tag for each name that was ever recorded in it or in the
// scopes it was forked from. While the process knows no more names than an event shows, that is bounded. Beyond, a
// record now and then sweeps its scope, which bounds every scope that is recorded into, in any chain of forks, without
// a table of scopes.

const (
	// sweepOld is how many records of names that have been used for a while there are to a sweep, on average. A sweep
	// copies the scope; so seldom, that costs a record next to nothing.
	sweepOld = 2048
	// sweepNew is the same for new names, which are what makes a scope grow, but no less than an event shows. A scope that
	// meets new names all the time holds about twice as many flags as it shows.
	sweepNew = 64
)

// sweepDue reports whether a record should sweep its scope, at random, so that no pattern of records avoids it.
func (l *limits) sweepDue(oldName bool) bool {
	if names.count.Load() <= int64(l.capacity) {
		return false
	}
	if oldName {
		return rand.IntN(sweepOld) == 0
	}
	return rand.IntN(max(sweepNew, l.capacity)) == 0
}

// sweepRun is one sweep, of the scope that it has while it is under way.
type sweepRun struct {
	scope *sentry.Scope
	over  chan struct{} // closed at its end
}

var (
	oneSweep sync.Mutex
	// lastSweep is another one whenever a sweep begins or ends.
	lastSweep atomic.Pointer[sweepRun]
)

// setTag sets a tag of a scope that may be swept meanwhile: a sweep that has seen the flag's old tag would remove the
// new one. So it is set again until no sweep of this scope was under way.
func setTag(scope *sentry.Scope, key, text string) {
	for {
		run := lastSweep.Load()
		scope.SetTag(key, text)
		if run != nil && run.scope == scope {
			<-run.over
		} else if lastSweep.Load() == run {
			return
		}
	}
}

// sweep removes the flags of scope beyond the capacities of the trackers that recorded them, which no event will show
// unless a tracker with a larger one records later. If another scope is being swept, it leaves this one for next time.
func sweep(scope *sentry.Scope) {
	if !oneSweep.TryLock() {
		return
	}
	defer oneSweep.Unlock()
	run := &sweepRun{scope: scope, over: make(chan struct{})}
	lastSweep.Store(run)
	defer close(run.over)
	defer lastSweep.Store(&sweepRun{})
	tags, _ := copyTags(scope)
	flags, cleared := takeFlags(tags)
	sortNewestFirst(flags)
	for rank, f := range flags {
		if f.stamp < cleared || rank >= f.limits.capacity {
			scope.RemoveTag(f.key)
		}
	}
}
