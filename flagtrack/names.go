package flagtrack

import (
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// maxNames is how many flag names a table remembers. An application that invents names (one per user, say) makes
	// it start over, at the cost of one allocation per name and never of memory.
	maxNames = 4096
	// maxNameBytes is the length above which a name is not remembered at all.
	maxNameBytes = 256
)

// flagName is a flag's name, worked out once.
type flagName struct {
	// shown is the name in Sentry.
	shown string
	// key is the tag that holds the flag in a scope.
	key string
}

// nameTable remembers flag names.
type nameTable struct {
	prefix string
	known  sync.Map // string to *flagName
	size   atomic.Int64
}

// get returns what is known about name, which is not empty. fresh tells that it was worked out just now.
func (t *nameTable) get(name string) (f *flagName, fresh bool) {
	if v, ok := t.known.Load(name); ok {
		return v.(*flagName), false
	}
	return t.add(name), true
}

func (t *nameTable) add(name string) *flagName {
	shown := cleanName(name)
	f := &flagName{shown: strings.Clone(shown), key: t.prefix + shown}
	if len(name) > maxNameBytes {
		return f
	}
	if t.size.Add(1) > maxNames {
		t.known.Clear()
		t.size.Store(1)
	}
	t.known.Store(strings.Clone(name), f)
	return f
}
