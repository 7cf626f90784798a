package vwo

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

const (
	// claimsKept is how long it is known that an item is finished. The store
	// may bring it back when it did not hear of it.
	claimsKept = 24 * time.Hour
	maxClaims  = 100_000
)

// claims say who deals with an item, since one may be both in the store and in
// memory, and who waits for it.
type claims struct {
	mu       sync.Mutex
	all      map[string]*claim
	finished []finishedClaim         // oldest first
	applied  map[Target]appliedState // newest switch per flag
}

type claim struct {
	done     chan struct{} // closed when finished
	switched bool          // set before done is closed
	owner    *lane
	watchers int
	finished bool
	kill     *kill  // what this process has made the item of
	body     []byte // the item's
}

type finishedClaim struct {
	id string
	at time.Time
}

type appliedState struct {
	enabled    bool
	acceptedAt time.Time
}

func newClaims() *claims {
	return &claims{all: map[string]*claim{}, applied: map[Target]appliedState{}}
}

func (c *claims) get(id string) *claim {
	found := c.all[id]
	if found == nil {
		found = &claim{done: make(chan struct{})}
		c.all[id] = found
	}
	return found
}

func (c *claims) watch(item webhook.Item, k *kill) *claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	watched := c.get(item.ID)
	watched.watchers++
	if watched.kill == nil {
		watched.kill, watched.body = k, item.Body
	}
	return watched
}

// killOf reads what an item says. What this process has made itself need not be
// read again; but the store may have had the item already, from a process that
// accepted the alert at another time.
func (c *claims) killOf(item webhook.Item) (kill, error) {
	c.mu.Lock()
	claimed := c.all[item.ID]
	if claimed != nil && claimed.kill != nil && bytes.Equal(claimed.body, item.Body) {
		defer c.mu.Unlock()
		return *claimed.kill, nil
	}
	c.mu.Unlock()
	return killOf(item)
}

func (c *claims) unwatch(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	watched := c.all[id]
	if watched == nil || watched.watchers == 0 {
		return // forgotten since
	}
	watched.watchers--
	c.dropUnused(id, watched)
}

func (c *claims) dropUnused(id string, unused *claim) {
	if unused.watchers == 0 && unused.owner == nil && !unused.finished {
		delete(c.all, id)
	}
}

// own makes owner the only one to deal with an item, if nobody else is.
func (c *claims) own(id string, owner *lane) (mine, finished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	claimed := c.get(id)
	if claimed.finished {
		return false, true
	}
	if claimed.owner == nil {
		claimed.owner = owner
	}
	return claimed.owner == owner, false
}

// disown gives up an item that is not finished.
func (c *claims) disown(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if claimed := c.all[id]; claimed != nil && !claimed.finished {
		claimed.owner = nil
		c.dropUnused(id, claimed)
	}
}

// finish says what became of an item for good.
func (c *claims) finish(id string, switched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	claimed := c.get(id)
	if claimed.finished {
		return
	}
	claimed.finished, claimed.switched, claimed.kill, claimed.body = true, switched, nil, nil
	close(claimed.done)
	now := time.Now()
	c.finished = append(c.finished, finishedClaim{id, now})
	n := 0
	for n < len(c.finished) && (now.Sub(c.finished[n].at) > claimsKept || len(c.finished)-n > maxClaims) {
		delete(c.all, c.finished[n].id)
		n++
	}
	c.finished = c.finished[n:]
}

// forget makes an item new again: one in the dead letters, which somebody may
// replay.
func (c *claims) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, id)
	c.finished = slices.DeleteFunc(c.finished, func(f finishedClaim) bool { return f.id == id })
}

// overtaken reports whether a switch that was accepted later has set the flag
// the other way.
func (c *claims) overtaken(k *kill) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, found := c.applied[k.target()]
	return found && last.enabled != k.Enabled && last.acceptedAt.After(k.AcceptedAt)
}

func (c *claims) apply(k *kill) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.applied[k.target()]; !last.acceptedAt.After(k.AcceptedAt) {
		c.applied[k.target()] = appliedState{k.Enabled, k.AcceptedAt}
	}
}
