package queue

import (
	"container/list"
	"maps"
	"slices"
	"time"
)

// memoryQueue is one queue of a [Memory], guarded by its lock. Its lists hold
// *memoryEntry, those that wait in the order of their Seq, the others in the
// order in which they got into their state.
type memoryQueue struct {
	known                  map[string]*memoryEntry
	waiting, dead, settled *list.List
	notes                  map[string]Note
	dropped                int64
}

type memoryEntry struct {
	Entry
	place *list.Element
}

func newMemoryQueue() *memoryQueue {
	return &memoryQueue{
		known:   make(map[string]*memoryEntry),
		waiting: list.New(),
		dead:    list.New(),
		settled: list.New(),
		notes:   make(map[string]Note),
	}
}

// unknown returns the items that would be new, each ID once. What was settled
// before the start of the window is known no more.
func (q *memoryQueue) unknown(items []Item, start time.Time) []Item {
	var fresh []Item
	seen := make(map[string]struct{}, len(items))
	for _, item := range items {
		entry, known := q.known[item.ID]
		if known && entry.isSettled() && !entry.Since.After(start) {
			known = false
		}
		if _, repeated := seen[item.ID]; known || repeated {
			continue
		}
		seen[item.ID] = struct{}{}
		fresh = append(fresh, item)
	}
	return fresh
}

// add puts an item at the end of the queue, in the place of one that is known no
// more.
func (q *memoryQueue) add(item Item, seq int64, now time.Time) *memoryEntry {
	if old, ok := q.known[item.ID]; ok {
		q.remove(old)
	}
	item.Body = slices.Clone(item.Body)
	entry := &memoryEntry{Entry: Entry{Item: item, Seq: seq, Added: now, Since: now, Due: now}}
	entry.place = q.waiting.PushBack(entry)
	q.known[item.ID] = entry
	return entry
}

func (q *memoryQueue) remove(entry *memoryEntry) {
	q.listOf(entry.State).Remove(entry.place)
	delete(q.known, entry.ID)
}

func (q *memoryQueue) move(entry *memoryEntry, state State, now time.Time) {
	q.listOf(entry.State).Remove(entry.place)
	entry.State, entry.Since = state, now
	entry.place = q.listOf(state).PushBack(entry)
}

func (q *memoryQueue) listOf(state State) *list.List {
	switch state {
	case Waiting:
		return q.waiting
	case Dead:
		return q.dead
	}
	return q.settled
}

func (e *memoryEntry) isSettled() bool { return e.State == Done || e.State == Discarded }

// putOff settles a waiting entry as waiting.
func (e *memoryEntry) putOff(owner string, outcome Outcome, now time.Time) {
	e.Due = now.Add(outcome.After)
	e.Owner = ""
	if outcome.Hold {
		e.Owner = owner
		return
	}
	e.Reason = CutReason(outcome.Reason)
	if outcome.After > 0 {
		e.Tries++
	}
}

// copy returns an entry that shares nothing with the store.
func (e *memoryEntry) copy() Entry {
	c := e.Entry
	c.Body = slices.Clone(c.Body)
	return c
}

func (q *memoryQueue) due(after int64, limit int, now time.Time) []Entry {
	var due []Entry
	for e := q.waiting.Front(); e != nil && len(due) < limit; e = e.Next() {
		if entry := e.Value.(*memoryEntry); entry.Seq > after && !now.Before(entry.Due) {
			due = append(due, entry.copy())
		}
	}
	return due
}

func (q *memoryQueue) list(f Filter) []Entry {
	var found []*memoryEntry
	for _, entry := range q.known {
		if entry.matches(f) {
			found = append(found, entry)
		}
	}
	slices.SortFunc(found, func(a, b *memoryEntry) int {
		if (a.Seq < b.Seq) == f.Newest {
			return 1
		}
		return -1
	})
	entries := make([]Entry, min(len(found), f.Limit))
	for i := range entries {
		entries[i] = found[i].copy()
	}
	return entries
}

func (e *memoryEntry) matches(f Filter) bool {
	return (f.ID == "" || f.ID == e.ID) && (f.Key == "" || f.Key == e.Key) &&
		e.Seq > f.After && (f.Before == 0 || e.Seq < f.Before) &&
		(len(f.States) == 0 || slices.Contains(f.States, e.State))
}

func (q *memoryQueue) note(name string) Note {
	note := q.notes[name]
	note.Name, note.Body = name, slices.Clone(note.Body)
	return note
}

func (q *memoryQueue) swap(note Note) error {
	if q.notes[note.Name].Version != note.Version {
		return ErrNoteChanged
	}
	q.notes[note.Name] = Note{Version: note.Version + 1, Body: slices.Clone(note.Body)}
	return nil
}

// forget removes the oldest settled entries beyond the most.
func (q *memoryQueue) forget(most int) {
	for q.settled.Len() > most {
		q.remove(q.settled.Front().Value.(*memoryEntry))
	}
}

// dropDead removes the oldest dead entries beyond the most.
func (q *memoryQueue) dropDead(most int) {
	for q.dead.Len() > most {
		q.remove(q.dead.Front().Value.(*memoryEntry))
		q.dropped++
	}
}

func (q *memoryQueue) stats() Stats {
	stats := Stats{Waiting: q.waiting.Len(), Dead: q.dead.Len(), Dropped: q.dropped}
	if e := q.waiting.Front(); e != nil {
		stats.Oldest = e.Value.(*memoryEntry).Added
	}
	return stats
}

func waitingQueues(queues map[string]*memoryQueue) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		if queues[name].waiting.Len() > 0 {
			names = append(names, name)
		}
	}
	return names
}

// sweep removes up to limit entries that were settled before the start of the
// window, the oldest of each queue first.
func sweep(queues map[string]*memoryQueue, start time.Time, limit int) int {
	swept := 0
	for _, q := range queues {
		for e := q.settled.Front(); e != nil && swept < limit; e = q.settled.Front() {
			entry := e.Value.(*memoryEntry)
			if entry.Since.After(start) {
				break
			}
			q.remove(entry)
			swept++
		}
	}
	return swept
}
