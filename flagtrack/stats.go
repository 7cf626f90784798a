package flagtrack

import (
	"log/slog"
	"sync/atomic"
)

// LeftOut counts what this process did not record or not show, by cause, since it started. What was recorded is not
// counted: a counter that all goroutines share would cost more than the record.
type LeftOut struct {
	// NoHub counts evaluations whose context led to no scope, so that no error shows them: pass the context that the
	// package comment names for your framework, or make a tracker WithCurrentHub in a program that does one thing at a
	// time. The first one is also said on slog.Default.
	NoHub uint64
	// Unprepared counts evaluations whose scope was made by sentry.NewScope and given event processors before the first
	// flag, so that no error shows them: give it to PrepareScope first. The first one is also said on slog.Default.
	Unprepared uint64
	// NotBoolean counts evaluations whose value is not a boolean, or with WithAllValues has no short text either.
	NotBoolean uint64
	// Filtered counts evaluations that a filter dropped.
	Filtered uint64
	// Unnamed counts evaluations of a flag without a name.
	Unnamed uint64
	// Panicked counts evaluations that were lost, and forks that were made without their parent, because the
	// application's filter, scope finder or context panicked.
	Panicked uint64
	// OverCapacity counts flags that an event did not show because newer ones filled it: see WithCapacity. Where there
	// are far more names than that, a scope forgets them, and they are not counted.
	OverCapacity uint64
	// OverBytes counts flags that an event did not show because newer ones used up its bytes: see WithMaxBytes.
	OverBytes uint64
	// OverSpan counts evaluations that a span did not show because it had ten flags already.
	OverSpan uint64
	// OwnFlags counts events that showed no flags of ours because they had a context named "flags" of their own.
	OwnFlags uint64
	// Unswept counts the times that a scope could not be read because a field of sentry-go's has moved. Events stay
	// right, but a scope may hold ever more names, and Flags returns nothing: please report it.
	Unswept uint64
}

// left is what Stats reads.
var left struct {
	noHub, unprepared, notBoolean, filtered, unnamed, panicked atomic.Uint64
	overCapacity, overBytes, overSpan, ownFlags, unswept       atomic.Uint64
}

// Stats returns what was left out so far, by all trackers together.
func Stats() LeftOut {
	return LeftOut{
		NoHub:        left.noHub.Load(),
		Unprepared:   left.unprepared.Load(),
		NotBoolean:   left.notBoolean.Load(),
		Filtered:     left.filtered.Load(),
		Unnamed:      left.unnamed.Load(),
		Panicked:     left.panicked.Load(),
		OverCapacity: left.overCapacity.Load(),
		OverBytes:    left.overBytes.Load(),
		OverSpan:     left.overSpan.Load(),
		OwnFlags:     left.ownFlags.Load(),
		Unswept:      left.unswept.Load(),
	}
}

// saidNoHub and saidUnprepared are set once the process has been told.
var saidNoHub, saidUnprepared atomic.Bool

// sayNoHub says once that an evaluation led to no scope.
func (t *Tracker) sayNoHub() {
	remedy := "pass the context that sentry-go's integration put its hub into (flagtrack's documentation has a table of " +
		"frameworks), or flagtrack.Fork of it in a goroutine; use flagtrack.WithCurrentHub in a program that does one " +
		"thing at a time"
	if t.scope != nil {
		remedy = "the function given to flagtrack.WithScopeFinder returned no scope"
	}
	sayOnce(&saidNoHub, "without a Sentry hub in its context", remedy)
}

// sayUnprepared says once that an evaluation led to a scope that takes no flags.
func sayUnprepared() {
	sayOnce(&saidUnprepared, "in a scope made by sentry.NewScope that has event processors already",
		"give the scope to flagtrack.PrepareScope right after sentry.NewScope")
}

func sayOnce(said *atomic.Bool, where, remedy string) {
	if said.Load() || !said.CompareAndSwap(false, true) {
		return
	}
	slog.Default().Warn("flagtrack: a feature flag was evaluated "+where+", so errors will not show it; "+
		"this is said once, and flagtrack.Stats counts", "remedy", remedy)
}
