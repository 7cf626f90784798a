package flagtrack

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
)

const (
	// maxNames is how many flag names are remembered. An application that invents names (one per user, say) makes the
	// table start over, at the cost of time and never of memory.
	maxNames = 4096
	// maxNameBytes is the length above which a name is not remembered at all.
	maxNameBytes = 256
)

// ShownName returns the name under which Sentry shows a flag in errors and spans: flag itself if it is legal there, else
// a legal name made of it (see the package comment). It is what to search Sentry for, and what to call the flag in its
// flag log, where the name is otherwise kept as it is and then matches no error.
func ShownName(flag string) string { return flagname.Shown(flag) }

// flagName is a flag's name, worked out once.
type flagName struct {
	// shown is the name in Sentry.
	shown string
	// key is the tag that holds the flag in a scope.
	key string
}

// names remembers flag names.
var names nameTable

// nameTable is a plain map behind an atomic pointer, which is the quickest to read; new names wait in a second map,
// which replaces the first when it has been asked often enough to pay for its copy.
type nameTable struct {
	read  atomic.Pointer[map[string]*flagName]
	count atomic.Int64 // names that were ever worked out

	mu     sync.Mutex
	recent map[string]*flagName // all of read and more; nil until read misses
	misses int
}

// get returns what is known about name, which is not empty, and whether it has been used for a while.
func (t *nameTable) get(name string) (f *flagName, old bool) {
	if known := t.read.Load(); known != nil {
		if f, ok := (*known)[name]; ok {
			return f, true
		}
	}
	return t.miss(name), false
}

func (t *nameTable) miss(name string) *flagName {
	if len(name) > maxNameBytes {
		return t.workOut(name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.recent[name]
	if !ok {
		f = t.workOut(name)
		t.remember(name, f)
	}
	if t.misses++; t.misses >= len(t.recent) {
		known := t.recent
		t.read.Store(&known)
		t.recent, t.misses = nil, 0
	}
	return f
}

func (t *nameTable) remember(name string, f *flagName) {
	if t.recent == nil {
		t.recent = make(map[string]*flagName)
		if known := t.read.Load(); known != nil {
			maps.Copy(t.recent, *known)
		}
	}
	if len(t.recent) >= maxNames {
		clear(t.recent)
		t.misses = 0
	}
	t.recent[strings.Clone(name)] = f
}

func (t *nameTable) workOut(name string) *flagName {
	t.count.Add(1)
	key := keyPrefix + flagname.Shown(name)
	return &flagName{shown: key[len(keyPrefix):], key: key}
}
