package webhook

import (
	"container/list"
	"slices"
	"time"
)

// memoryQueue is one queue of a [MemoryStore], guarded by the store's lock.
type memoryQueue struct {
	turn    chan struct{} // holds one value while somebody has the turn
	known   map[string]*memoryItem
	waiting *list.List // of *memoryItem, in order
	dead    *list.List // of *memoryItem, in the order of death

	settled      map[string]struct{}
	settledOrder *list.List // of settledID, oldest first
}

type memoryItem struct {
	Item
	place      *list.Element // in waiting or dead
	isDead     bool
	enqueuedAt time.Time
	diedAt     time.Time
	reason     string
}

type settledID struct {
	id string
	at time.Time
}

func newMemoryQueue() *memoryQueue {
	return &memoryQueue{
		turn:    make(chan struct{}, 1),
		known:   make(map[string]*memoryItem),
		waiting: list.New(),
		dead:    list.New(),
		settled: make(map[string]struct{}),

		settledOrder: list.New(),
	}
}

// unknown returns the items that would be new, each ID once.
func (q *memoryQueue) unknown(items []Item) []Item {
	var fresh []Item
	seen := make(map[string]struct{}, len(items))
	for _, item := range items {
		_, kept := q.known[item.ID]
		_, settled := q.settled[item.ID]
		_, repeated := seen[item.ID]
		if kept || settled || repeated {
			continue
		}
		seen[item.ID] = struct{}{}
		fresh = append(fresh, item)
	}
	return fresh
}

func (q *memoryQueue) add(item Item) {
	item.Body = slices.Clone(item.Body)
	kept := &memoryItem{Item: item}
	q.known[item.ID] = kept
	q.wait(kept)
}

// wait puts an item at the end of the queue.
func (q *memoryQueue) wait(item *memoryItem) {
	item.isDead = false
	item.enqueuedAt = time.Now()
	item.place = q.waiting.PushBack(item)
}

func (q *memoryQueue) take(limit int) []Item {
	var items []Item
	for e := q.waiting.Front(); e != nil && len(items) < limit; e = e.Next() {
		item := e.Value.(*memoryItem).Item
		item.Body = slices.Clone(item.Body)
		items = append(items, item)
	}
	return items
}

// settle reports whether the item left the queue for good.
func (q *memoryQueue) settle(outcome Outcome, now time.Time) (gone bool) {
	item, ok := q.known[outcome.ID]
	if !ok || item.isDead || outcome.State == StateWaiting {
		return false
	}
	q.waiting.Remove(item.place)
	if outcome.State == StateDead {
		item.isDead = true
		item.diedAt = now
		item.reason = CutReason(outcome.Reason)
		item.place = q.dead.PushBack(item)
		return false
	}
	delete(q.known, item.ID)
	q.settled[item.ID] = struct{}{}
	q.settledOrder.PushBack(settledID{item.ID, now})
	return true
}

// forget drops the settled IDs that are too old or too many.
func (q *memoryQueue) forget(now time.Time, config MemoryStoreConfig) {
	for e := q.settledOrder.Front(); e != nil; e = q.settledOrder.Front() {
		oldest := e.Value.(settledID)
		tooMany := (q.settledOrder.Len()-1)/10 >= config.Capacity // ten times Capacity could overflow
		if !tooMany && now.Sub(oldest.at) < config.DedupeWindow {
			return
		}
		q.settledOrder.Remove(e)
		delete(q.settled, oldest.id)
	}
}

func (q *memoryQueue) listDead(after string, limit int) []DeadItem {
	e := q.dead.Front()
	if item, ok := q.known[after]; ok && item.isDead {
		e = item.place.Next()
	}
	var found []DeadItem
	for ; e != nil && len(found) < limit; e = e.Next() {
		item := e.Value.(*memoryItem)
		dead := DeadItem{Item: item.Item, Reason: item.reason, DiedAt: item.diedAt.Round(0)}
		dead.Body = slices.Clone(dead.Body)
		found = append(found, dead)
	}
	return found
}

func (q *memoryQueue) replay(ids []string) int {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	found := 0
	for e := q.dead.Front(); e != nil; {
		next := e.Next()
		if item := e.Value.(*memoryItem); len(ids) == 0 || wanted[item.ID] {
			q.dead.Remove(e)
			q.wait(item)
			found++
		}
		e = next
	}
	return found
}

func (q *memoryQueue) stats() StoreStats {
	stats := StoreStats{Waiting: q.waiting.Len(), Dead: q.dead.Len()}
	if e := q.waiting.Front(); e != nil {
		stats.OldestWaiting = e.Value.(*memoryItem).enqueuedAt
	}
	return stats
}
