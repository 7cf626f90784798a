package queue

import (
	"container/list"
	"maps"
	"slices"
	"time"
)

// memoryQueue is one queue of a [Memory], guarded by its lock. Its lists hold
// *memoryEntry: all of them and those of each key in the order of their Seq, and
// so those that wait; the others in the order in which they got into their state.
type memoryQueue struct {
	known                  map[string]*memoryEntry
	all                    *list.List
	keys                   map[string]*list.List
	waiting, dead, settled *list.List
	notes                  map[string]Note
	dropped                int64
}

type memoryEntry struct {
	Entry
	place, inAll, inKey *list.Element
}

func newMemoryQueue() *memoryQueue {
	return &memoryQueue{
		known:   make(map[string]*memoryEntry),
		all:     list.New(),
		keys:    make(map[string]*list.List),
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
	ofKey, ok := q.keys[item.Key]
	if !ok {
		ofKey = list.New()
		q.keys[item.Key] = ofKey
	}
	entry.inAll, entry.inKey = q.all.PushBack(entry), ofKey.PushBack(entry)
	return entry
}

func (q *memoryQueue) remove(entry *memoryEntry) {
	q.listOf(entry.State).Remove(entry.place)
	delete(q.known, entry.ID)
	q.all.Remove(entry.inAll)
	ofKey := q.keys[entry.Key]
	if ofKey.Remove(entry.inKey); ofKey.Len() == 0 {
		delete(q.keys, entry.Key)
	}
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

// list walks the entries that the filter's ID or key leaves, from the end that is
// wanted, no further than its bounds and its limit.
func (q *memoryQueue) list(f Filter) []Entry {
	entries := []Entry{}
	if f.ID != "" {
		if entry, ok := q.known[f.ID]; ok && entry.matches(f) {
			entries = append(entries, entry.copy())
		}
		return entries
	}
	some := q.all
	if f.Key != "" {
		some = q.keys[f.Key]
	}
	if some == nil {
		return entries
	}
	step := (*list.Element).Next
	e := some.Front()
	switch {
	case f.Newest:
		step, e = (*list.Element).Prev, some.Back()
	case f.After > 0: // what comes after is near the end, as a rule
		e = firstAfter(some, f.After)
	}
	for ; e != nil && len(entries) < f.Limit; e = step(e) {
		entry := e.Value.(*memoryEntry)
		if f.Newest && entry.Seq <= f.After || !f.Newest && f.Before != 0 && entry.Seq >= f.Before {
			break
		}
		if entry.matches(f) {
			entries = append(entries, entry.copy())
		}
	}
	return entries
}

func firstAfter(some *list.List, seq int64) *list.Element {
	var first *list.Element
	for e := some.Back(); e != nil && e.Value.(*memoryEntry).Seq > seq; e = e.Prev() {
		first = e
	}
	return first
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

func (q *memoryQueue) swap(notes []Note) error {
	for _, note := range notes {
		if q.notes[note.Name].Version != note.Version {
			return ErrNoteChanged
		}
	}
	for _, note := range notes {
		q.notes[note.Name] = Note{Version: note.Version + 1, Body: slices.Clone(note.Body)}
	}
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

func busyQueues(queues map[string]*memoryQueue) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		if queues[name].waiting.Len() > 0 || queues[name].dead.Len() > 0 {
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
