package flagtrack

import (
	"sync/atomic"

	"github.com/getsentry/sentry-go"
)

// How flags live in a scope
//
// A scope has no place for feature flags, and nothing in Hub.Clone, PushScope, WithScope and Scope.Clear calls back,
// so whatever is kept beside a scope cannot follow its forks. What a scope copies, isolates, clears and locks by
// itself is its tags. So each flag is a tag whose key no application uses, and an event processor takes these tags
// out of every event and makes contexts.flags of them.
//
//	key    keyPrefix, one byte for the limits, the flag's name as Sentry shows it
//	value  stamp                     false
//	       stamp, 't'                true
//	       stamp, 't', shown name    true under that name: the variant "x:blue"
//
// The key that is keyPrefix alone holds the stamp of the latest ClearFeatureFlags: what is older does not count.

const (
	// keyPrefix starts the tags that hold flags. A tag with U+0000 in its key could never be sent anyway.
	keyPrefix = "\x00flag:"
	// clearedKey is the tag that holds the stamp of the latest clearing.
	clearedKey = keyPrefix
	// trueByte is the byte behind the stamp of a flag that is true.
	trueByte = 't'
)

// stamps orders all records of the process.
var stamps stampSource

// distinct counts the flag names that were ever worked out; once there are more of them than a scope may show, scopes
// have to be swept.
var (
	distinct atomic.Int64
	crowded  atomic.Bool
)

// countName is called once for each name that was worked out.
func countName() {
	if distinct.Add(1) > registry.most.Load() {
		crowded.Store(true)
	}
}

// setFlag records a flag in scope.
func setFlag(scope *sentry.Scope, key string, v value) {
	n, mark := stamps.next()
	text := mark
	switch {
	case v.variant != "":
		text = mark + v.variant
	case !v.result:
		text = mark[:stampLen]
	}
	if !crowded.Load() {
		scope.SetTag(key, text)
		if !crowded.Load() {
			return
		}
		// Another goroutine found the process crowded meanwhile and may have swept this very tag: set it again.
	}
	setAndSweep(scope, key, text, n)
}

// clearFlags makes scope forget its flags; its forks and its parent keep theirs.
func clearFlags(scope *sentry.Scope) {
	_, mark := stamps.next()
	scope.SetTag(clearedKey, mark[:stampLen])
}
