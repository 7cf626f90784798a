package flagtrack

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

const (
	// stampLen is the length of a stamp: a 64-bit count, big-endian, so that stamps compare as strings in the order
	// in which they were taken.
	stampLen = 8
	// markLen is the length of a stamp and the one byte behind it.
	markLen = stampLen + 1
	// stampsPerChunk fills a 256-byte size class. Small on purpose: one flag of a quiet scope keeps its whole chunk.
	stampsPerChunk = 256 / markLen
)

// stampSource gives out one increasing sequence for the whole process, because a fork's flags must be ordered with
// those recorded after it, on any goroutine. The strings are cut from chunks, so that a record allocates nothing.
type stampSource struct {
	count atomic.Uint64
	chunk atomic.Pointer[stampChunk]
	grow  sync.Mutex
}

// stampChunk holds the stamps of the numbers from block*stampsPerChunk on.
type stampChunk struct {
	block uint64
	text  string
}

// next returns the next number and its mark: the stamp and one byte more. mark[:stampLen] is the stamp alone.
func (s *stampSource) next() (n uint64, mark string) {
	n = s.count.Add(1)
	block, i := n/stampsPerChunk, n%stampsPerChunk*markLen
	if c := s.chunk.Load(); c != nil && c.block == block {
		return n, c.text[i : i+markLen]
	}
	c := s.load(block)
	return n, c.text[i : i+markLen]
}

// load returns the chunk for block and makes it the current one, unless a later one is already in place: then this
// goroutine was overtaken and gets a chunk of its own.
func (s *stampSource) load(block uint64) *stampChunk {
	s.grow.Lock()
	defer s.grow.Unlock()
	c := s.chunk.Load()
	if c != nil && c.block == block {
		return c
	}
	fresh := newStampChunk(block)
	if c == nil || c.block < block {
		s.chunk.Store(fresh)
	}
	return fresh
}

func newStampChunk(block uint64) *stampChunk {
	var text [stampsPerChunk * markLen]byte
	for i := range uint64(stampsPerChunk) {
		mark := text[i*markLen : (i+1)*markLen]
		binary.BigEndian.PutUint64(mark, block*stampsPerChunk+i)
		mark[stampLen] = trueByte
	}
	return &stampChunk{block: block, text: string(text[:])}
}

// stampNumber returns the number in the stamp that text starts with.
func stampNumber(text string) (n uint64) {
	_ = text[stampLen-1]
	for i := range stampLen {
		n = n<<8 | uint64(text[i])
	}
	return n
}
