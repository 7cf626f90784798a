package receive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// chain is what is known of the flags of a product that tells before and after,
// and no time. It is a note in the store, swapped together with the changes.
type chain struct {
	// Complete says that a start was seen: a flag that Flags lacks is new when it is
	// added. Before that it may be part of a start.
	Complete bool `json:"complete"`
	// Flags are what each flag is, as a mark.
	Flags map[string]mark `json:"flags"`
	// Seen are the webhooks that were taken, the last one last, and what was added
	// before a start was seen. Another instance's webhook has another host name in
	// it.
	Seen []string `json:"seen,omitempty"`
}

const (
	unknown mark = "?"
	// maxSeen bounds Seen; the oldest go first.
	maxSeen = 5000
	// maxGone bounds how many flags are remembered as deleted. Without that what
	// another instance says of the deletion, later, would count again.
	maxGone = 5000
	// chainTries is how often the note is read again because somebody has changed
	// it.
	chainTries = 20
)

// of is what a flag is before an edit. Of a flag that is not known the edit itself
// says that it was there, if it was: a start may have been less than all.
func (c *chain) of(e edit) mark {
	if known, ok := c.Flags[e.flag]; ok {
		return known
	}
	if c.Complete && e.from == absent {
		return absent
	}
	return unknown
}

// take takes what a webhook says, and returns what of it is new.
func (c *chain) take(id string, n notice) []edit {
	seen := slices.Contains(c.Seen, id)
	baseline := n.startup && !c.Complete && c.atStart(n.edits)
	var fresh []edit
	for _, e := range n.edits {
		known := c.of(e)
		switch {
		case e.to == known:
			continue // another instance was faster
		case baseline && known == unknown, e.from == e.to:
		case known != e.from && seen && !n.startup:
			continue // a copy
		case known != e.from && seen: // a start, or a copy of one
		default:
			fresh = append(fresh, e.after(known))
			if !c.Complete && n.startup {
				c.Seen = append(c.Seen, e.added())
			}
		}
		c.Flags[e.flag] = e.to
	}
	if !seen {
		c.Seen = append(c.Seen, id)
	}
	c.Complete = c.Complete || baseline
	return fresh
}

// after is an edit as it is after what is known: an instance may have missed what
// another has told.
func (e edit) after(known mark) edit {
	switch {
	case known == unknown || e.to == absent:
	case known == absent:
		e.action = webhook.ActionCreated
	default:
		e.action = webhook.ActionUpdated
	}
	return e
}

// atStart reports whether flags that were all added are those at a start: several
// at once, or one that is known, and not because somebody has told of the same
// addition.
func (c *chain) atStart(edits []edit) bool {
	return len(edits) > 1 || slices.ContainsFunc(edits, func(e edit) bool {
		return c.Flags[e.flag] == e.to && !slices.Contains(c.Seen, e.added())
	})
}

// added is what an addition is called in Seen, whoever tells of it.
func (e edit) added() string { return digest([]byte("added"), []byte(e.flag), []byte(e.to)) }

func (c *chain) forget() {
	gone := 0
	for _, m := range c.Flags {
		if m == absent {
			gone++
		}
	}
	if gone > maxGone {
		maps.DeleteFunc(c.Flags, func(_ string, m mark) bool { return m == absent })
	}
	c.Seen = c.Seen[max(len(c.Seen)-maxSeen, 0):]
}

var errNote = errors.New("the note in the store cannot be read")

// keepChain puts into the store what is new in a webhook.
func (r *Receiver) keepChain(ctx context.Context, d *delivery) error {
	name := "received:" + r.config.Name
	for range chainTries {
		kept, err := r.config.Store.Note(ctx, r.config.Emitter.Queue(), name)
		if err != nil {
			return err
		}
		var c chain
		if kept.Version > 0 && json.Unmarshal(kept.Body, &c) != nil {
			return errNote
		}
		if c.Flags == nil {
			c.Flags = map[string]mark{}
		}
		fresh := c.take(d.id, d.notice)
		c.forget()
		var list []webhook.Change
		for _, e := range fresh {
			list = append(list, r.change(e, d, strconv.FormatInt(kept.Version, 10)+string(e.to)))
		}
		body, err := json.Marshal(c, json.Deterministic(true))
		if err != nil {
			return fmt.Errorf("write the note: %w", err)
		}
		if string(body) == string(kept.Body) {
			return r.add(ctx, d, nil)
		}
		err = r.add(ctx, d, list, queue.Note{Name: name, Version: kept.Version, Body: body})
		if !errors.Is(err, queue.ErrNoteChanged) {
			return err
		}
	}
	return queue.ErrNoteChanged
}
