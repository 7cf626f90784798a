package webhook

import "sync"

// progress counts what this emitter has settled, and tells who waits for it.
type progress struct {
	mu      sync.Mutex
	settled int
	changed chan struct{}
}

func (p *progress) init() { p.changed = make(chan struct{}) }

// add counts settled items, or none, when the queue was found empty.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled += n
	close(p.changed)
	p.changed = make(chan struct{})
}

// look returns the count and a channel that is closed at the next change.
func (p *progress) look() (settled int, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled, p.changed
}
