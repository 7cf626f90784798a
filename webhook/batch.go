package webhook

// batcher chooses how many items from the head of the queue go into the next
// request. It always takes the head without gaps, so that no change overtakes
// another.
type batcher struct {
	size     int // the most
	cap      int // the most for now, after an answer of 413
	suspects int // among so many items at the head is one that Sentry refuses
	seen     map[string]struct{}
}

func newBatcher(size int) *batcher {
	return &batcher{size: size, cap: size, seen: make(map[string]struct{})}
}

// choose returns the items for the next request: the longest run from the head
// within the limits in which no ChangeID repeats, for Sentry would silently
// drop the second of two.
func (b *batcher) choose(items []Item) []Item {
	limit := b.cap
	if b.suspects > 0 {
		limit = max(1, min(limit, b.suspects/2))
	}
	items = items[:min(limit, len(items))]
	if len(items) < 2 {
		return items
	}
	clear(b.seen)
	for i, item := range items {
		id := changeIDOf(item.ID)
		if _, repeated := b.seen[id]; repeated {
			return items[:i]
		}
		b.seen[id] = struct{}{}
	}
	return items
}

// passed notes that the first n items have left the queue in good order.
func (b *batcher) passed(n int) {
	b.suspects = max(0, b.suspects-n)
	b.cap = min(b.size, b.cap+1)
}

// refused notes that a request of the first n items was refused, n being more
// than one, so that the next one is half of it.
func (b *batcher) refused(n int) { b.suspects = n }

// tooLarge notes that a request of n items was refused for its size.
func (b *batcher) tooLarge(n int) { b.cap = max(1, n/2) }

// found notes that the guilty item has left the queue.
func (b *batcher) found() { b.suspects = 0 }
