package flagtrack

import (
	"reflect"
	"strings"

	"github.com/getsentry/sentry-go"
)

// How flags live in a scope
//
// A scope has no place for feature flags, and nothing in Hub.Clone, PushScope, WithScope and Scope.Clear calls back,
// so whatever is kept beside a scope cannot follow its forks. What a scope copies, isolates, clears and locks by
// itself is its tags. So each flag is a tag whose key no application uses, and an event processor takes these tags
// out of every event and makes contexts.flags of them.
//
//	key    keyPrefix, the flag's name as Sentry shows it
//	value  stamp, place of the limits                     false
//	       stamp, place of the limits, 't'                true
//	       stamp, place of the limits, 't', shown name    true under that name: the variant "x:blue"
//
// The key that is keyPrefix alone holds the stamp of the latest ClearFeatureFlags: what is older does not count.

const (
	// keyPrefix starts the tags that hold flags. A tag with U+0000 in its key could never be sent anyway.
	keyPrefix = "\x00flag:"
	// clearedKey is the tag that holds the stamp of the latest clearing.
	clearedKey = keyPrefix
	// trueByte is the byte behind stamp and place of a flag that is true.
	trueByte = 't'
)

// setFlag records a flag in scope.
func setFlag(scope *sentry.Scope, l *limits, key string, v value) {
	text := l.mark()
	switch {
	case v.variant != "":
		text += v.variant
	case !v.result:
		text = text[:falseLen]
	}
	setTag(scope, key, text)
}

// clearFlags makes scope forget its flags; its forks and its parent keep theirs.
func clearFlags(scope *sentry.Scope, l *limits) {
	scope.SetTag(clearedKey, l.mark()[:falseLen])
}

// clearFlag makes scope forget one flag.
func clearFlag(scope *sentry.Scope, key string) { scope.RemoveTag(key) }

// takenFlag is a flag that was taken out of tags.
type takenFlag struct {
	key    string
	text   string
	stamp  uint64
	limits *limits
}

// takeFlags removes all tags of ours and returns the flags in any order, and the stamp before which they do not count.
func takeFlags(tags map[string]string) (flags []takenFlag, cleared uint64) {
	for key, text := range tags {
		if !strings.HasPrefix(key, keyPrefix) {
			continue
		}
		delete(tags, key)
		switch {
		case len(text) < falseLen: // not ours
		case key == clearedKey:
			cleared = stampOf(text)
		default:
			if flags == nil {
				flags = make([]takenFlag, 0, len(tags)+1)
			}
			flags = append(flags, takenFlag{key, text, stampOf(text), limitsOf(text[stampLen])})
		}
	}
	return flags, cleared
}

// tagsField is the field of a scope that holds its tags.
var tagsField = "tags"

// copyTags returns a copy of the scope's tags, or false where it cannot.
func copyTags(scope *sentry.Scope) (map[string]string, bool) {
	field, ok := scopeField(scope, tagsField, reflect.TypeFor[map[string]string]())
	if !ok {
		left.unswept.Add(1)
		return nil, false
	}
	// The clone is ours, so its map is the copy; ranging over it by reflection takes three times as long.
	return *(*map[string]string)(field.Addr().UnsafePointer()), true
}

// scopeField returns a field of a private clone of scope. A scope has no getters, and applying it to an event would run
// the application's processors, so the field itself is read. Should it have another name or type in a later sentry-go,
// it reports false.
func scopeField(scope *sentry.Scope, name string, of reflect.Type) (reflect.Value, bool) {
	field := reflect.ValueOf(scope.Clone()).Elem().FieldByName(name)
	return field, field.IsValid() && field.Type() == of
}
