package vwo

import (
	"sync"
	"time"
)

// ownKept is how long after a switch VWO's webhook about it may come: it is
// retried for an hour.
const ownKept = time.Hour

// ownSettles is how long a switch takes to show in the settings, usually.
const ownSettles = time.Minute

// own remembers the switches of a client, so that they are not taken for
// those of people.
type own struct {
	mu    sync.Mutex
	marks map[ownSwitch]time.Time
}

type ownSwitch struct {
	environment, flag string
	enabled           bool
}

func (o *own) mark(environment, flag string, enabled bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.marks == nil {
		o.marks = map[ownSwitch]time.Time{}
	}
	for m, at := range o.marks {
		if now.Sub(at) > ownKept {
			delete(o.marks, m)
		}
	}
	o.marks[ownSwitch{environment, flag, enabled}] = now
}

// unmark forgets a switch that was given up: nothing has recorded it, so that
// whoever makes it now, or has made it, is to be reported.
func (o *own) unmark(environment, flag string, enabled bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.marks, ownSwitch{environment, flag, enabled})
}

// take reports whether such a switch was marked, and takes the mark away.
func (o *own) take(environment, flag string, enabled bool, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := ownSwitch{environment, flag, enabled}
	at, found := o.marks[m]
	delete(o.marks, m)
	return found && now.Sub(at) <= ownKept
}

// flags lists the flags of an environment that are marked.
func (o *own) flags(environment string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for m := range o.marks {
		if m.environment == environment {
			names = append(names, m.flag)
		}
	}
	return names
}

// settled says how a flag is found to be. A mark that has come true has done its
// part, and one that had its time before people switched the other way, too: the
// next such switch is theirs.
func (o *own) settled(environment, flag string, enabled, changed bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.marks, ownSwitch{environment, flag, enabled})
	other := ownSwitch{environment, flag, !enabled}
	if at, found := o.marks[other]; found && changed && now.Sub(at) > ownSettles {
		delete(o.marks, other)
	}
}
