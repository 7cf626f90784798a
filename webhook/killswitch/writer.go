package killswitch

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// The pauses after the store has failed.
	minStorePause = 50 * time.Millisecond
	maxStorePause = 2 * time.Second
	// maxGroup is how many changes are written at once: a transaction costs much
	// the same for one and for a thousand, and alerts wait for it.
	maxGroup = 1000
)

// writer writes changes, as many at once as there are, until ctx ends; then what
// is left has one more chance.
func (j *journal) writer(ctx context.Context) {
	for failures := 0; ; {
		err := j.writeAll(ctx)
		wait := time.Hour
		if err != nil {
			wait = min(minStorePause<<min(failures, 10), maxStorePause)
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-j.wakes(err):
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCall)
			defer cancel()
			j.mu.Lock()
			j.ended = true
			j.mu.Unlock()
			_ = j.writeAll(last)
			return
		}
		timer.Stop()
	}
}

// wakes is nil while the store fails: it is not asked more often for having more
// to write.
func (j *journal) wakes(err error) <-chan struct{} {
	if err != nil {
		return nil
	}
	return j.wake
}

// writeAll writes what there is: the changes first, because alerts wait for them.
// Everything else is done in between, many at once, by the same goroutine: a
// disk that is busy with the end of a hundred switches has no time for the
// beginning of the next.
func (j *journal) writeAll(ctx context.Context) error {
	for {
		group := j.next()
		if len(group) == 0 {
			if more, err := j.settleSome(ctx); !more || err != nil {
				return err
			}
			continue
		}
		err := j.write(ctx, group)
		if errors.Is(err, queue.ErrNoteChanged) { // somebody else was faster
			if err = j.reread(ctx, group); err == nil {
				continue
			}
		}
		j.fails(writes, err)
		if err != nil {
			for _, c := range group {
				c.maybe = true
				c.lateOnce.Do(func() { close(c.late) })
			}
			return err
		}
	}
}

// next returns what can be written at once: changes whose items are held alike.
func (j *journal) next() []*change {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	var first *change
	for n < len(j.unwrit) && n < maxGroup {
		if c := j.unwrit[n]; c.id != "" {
			if first == nil {
				first = c
			}
			if c.held != first.held {
				break
			}
		}
		n++
	}
	return slices.Clone(j.unwrit[:n])
}

// areHeld reports whether the items of a group are held.
func areHeld(group []*change) bool {
	return slices.ContainsFunc(group, func(c *change) bool { return c.held })
}

// reread reads the flags of a group.
func (j *journal) reread(ctx context.Context, group []*change) error {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	names := make(map[string]struct{}, len(group))
	for _, c := range group {
		names[c.note] = struct{}{}
	}
	return j.read(ctx, names)
}

// write writes a group of changes in one transaction, and learns what became of
// their items.
func (j *journal) write(ctx context.Context, group []*change) error {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	next := make(map[string]*known, len(group))
	j.mu.Lock()
	lastSeq := j.lastSeq
	for _, c := range group {
		if next[c.note] == nil {
			f := j.flag(c.note)
			next[c.note] = &known{base: f.base.clone(), version: f.version}
		}
	}
	j.mu.Unlock()
	addition := queue.Addition{}
	results := make([]applied, len(group))
	maybe := false                               // one of them was written before
	added := make(map[string][]byte, len(group)) // the bodies of the items
	for i, c := range group {
		if c.maybe && c.id != "" {
			listed, err := j.store.List(ctx, j.queue, queue.Filter{ID: c.id, Limit: 1})
			if err != nil {
				return err
			}
			if len(listed) > 0 {
				maybe = true
				results[i] = applied{inPlay: true}
				continue
			}
		}
		results[i] = c.apply(next[c.note].base)
		if results[i].kill != nil {
			item := j.item(results[i].kill, results[i].id)
			addition.Items, added[item.ID] = append(addition.Items, item), item.Body
		}
	}
	if areHeld(group) && len(addition.Items) > 0 {
		addition.Owner, addition.Hold = j.owner, j.hold
	}
	for name, f := range next {
		addition.Notes = append(addition.Notes, queue.Note{Name: name, Version: f.version, Body: f.base.encode()})
		f.version++
	}
	n, err := j.store.Add(ctx, j.queue, addition)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.learn(next)
	j.mu.Unlock()
	var entries map[string]queue.Entry
	if n < len(addition.Items) || maybe {
		// Somebody else may have had one of the alerts first.
		if entries, err = j.entries(ctx, group, results, lastSeq); err != nil {
			return err // they are found when this is repeated
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, c := range group {
		c.result = results[i]
		if c.id == "" || c.result.reason != "" {
			continue
		}
		if entries == nil {
			c.stored = *c.result.kill
		} else if !c.own(j.owner, entries[c.id].Body, added[c.id]) {
			c.result.reason = ReasonRepeat
			continue
		}
		if c.held {
			j.held[c.id] = entries[c.id].Seq
		}
	}
	j.unwrit = j.unwrit[len(group):]
	j.review(next)
	for _, c := range group {
		close(c.written)
	}
	if !areHeld(group) && len(addition.Items) > 0 {
		j.poke()
	}
	return nil
}

// own reports whether the body of the item is this process's, which has added one,
// and takes the kill from it.
func (c *change) own(owner string, body, added []byte) bool {
	if c.result.kill != nil && added != nil && bytes.Equal(added, body) {
		c.stored = *c.result.kill
		return true
	}
	k, err := decodeKill(body)
	c.stored = k.kill
	return err == nil && k.owner == owner
}

// entries returns what the store has of what was admitted, by ID.
func (j *journal) entries(ctx context.Context, group []*change, results []applied, lastSeq int64) (map[string]queue.Entry, error) {
	entries := make(map[string]queue.Entry, len(group))
	looked := false
	for i, c := range group {
		if c.id == "" || results[i].reason != "" {
			continue
		}
		if !looked {
			if err := j.look(ctx, lastSeq, entries); err != nil {
				return nil, err
			}
			looked = true
		}
		if _, found := entries[c.id]; found {
			continue
		}
		listed, err := j.store.List(ctx, j.queue, queue.Filter{ID: c.id, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(listed) == 1 {
			entries[c.id] = listed[0]
		}
	}
	return entries, nil
}
