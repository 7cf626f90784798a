package flagtrack

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
)

// limits are what decides how many flags an event shows. Trackers with equal limits share one: the processor that
// renders an event is told neither tracker nor scope, and finds them by the byte that each flag carries.
type limits struct {
	capacity int
	maxBytes int
	place    byte // in the registry
	chunk    atomic.Pointer[stampChunk]
}

// maxLimits is how many different limits one process may use.
const maxLimits = 250

// registry holds all limits in use. It only grows.
var registry struct {
	mu  sync.Mutex
	all atomic.Pointer[[]*limits]
}

// limitsFor returns the limits with this capacity and byte budget, both already validated.
func limitsFor(capacity, maxBytes int) (*limits, error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	var all []*limits
	if p := registry.all.Load(); p != nil {
		all = *p
	}
	for _, l := range all {
		if l.capacity == capacity && l.maxBytes == maxBytes {
			return l, nil
		}
	}
	if len(all) == maxLimits {
		return nil, fmt.Errorf("%w: more than %d different combinations of capacity and byte budget in one process; "+
			"make trackers once and keep them", ErrInvalidOption, maxLimits)
	}
	l := &limits{capacity: capacity, maxBytes: maxBytes, place: byte(len(all))}
	grown := append(all[:len(all):len(all)], l)
	registry.all.Store(&grown)
	return l, nil
}

// limitsOf returns the limits with the given place in the registry.
func limitsOf(place byte) *limits {
	if p := registry.all.Load(); p != nil && int(place) < len(*p) {
		return (*p)[place]
	}
	return &limits{} // not ours: nothing is shown
}

const (
	// stampLen is the length of a stamp: a 56-bit count, big-endian. At ten million records a second it lasts for 228
	// years.
	stampLen = 7
	// falseLen is the length of a stamp and the place of the limits.
	falseLen = stampLen + 1
	// trueLen is the length of those and trueByte.
	trueLen = falseLen + 1
	// stampsPerChunk fills 288 bytes. Small on purpose: one flag of a quiet scope keeps its whole chunk.
	stampsPerChunk = 32
)

// stamps counts the records of the whole process, because a fork's flags must be ordered with those recorded after it,
// on any goroutine. It has cache lines of its own: what a record only reads must not lie beside what every record
// writes.
var stamps struct {
	_     [128]byte
	count atomic.Uint64
	_     [128]byte
}

// stampChunk holds the marks of the numbers from block*stampsPerChunk on.
type stampChunk struct {
	block uint64
	text  string
}

// mark returns a new stamp with the place of l and trueByte behind it. The strings are cut from chunks, so that a
// record allocates nothing.
func (l *limits) mark() string {
	n := stamps.count.Add(1)
	c := l.chunk.Load()
	if c == nil || c.block != n/stampsPerChunk {
		c = l.nextChunk(c, n/stampsPerChunk)
	}
	i := n % stampsPerChunk * trueLen
	return c.text[i : i+trueLen]
}

// nextChunk returns a chunk for block and makes it the current one in place of old, unless another goroutine was
// quicker: the others of this block then use that one, or make one too.
func (l *limits) nextChunk(old *stampChunk, block uint64) *stampChunk {
	var text [stampsPerChunk * trueLen]byte
	for i := range uint64(stampsPerChunk) {
		mark := text[i*trueLen : (i+1)*trueLen]
		binary.BigEndian.PutUint64(mark, (block*stampsPerChunk+i)<<8|uint64(l.place))
		mark[falseLen] = trueByte
	}
	fresh := &stampChunk{block: block, text: string(text[:])}
	if old == nil || old.block < block {
		l.chunk.CompareAndSwap(old, fresh)
	}
	return fresh
}

// stampOf returns the number in the stamp that text starts with.
func stampOf(text string) (n uint64) {
	for i := range stampLen {
		n = n<<8 | uint64(text[i])
	}
	return n
}
