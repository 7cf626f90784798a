package flagtrack

import (
	"encoding/binary"
	"sync/atomic"
)

const (
	// stampLen is the length of a stamp: a 56-bit count, big-endian, so that stamps compare as strings in the order in
	// which they were taken. At ten million records a second it lasts for 228 years.
	stampLen = 7
	// markLen is the length of a stamp and the one byte behind it.
	markLen = stampLen + 1
	// stampsPerChunk fills 256 bytes. Small on purpose: one flag of a quiet scope keeps its whole chunk.
	stampsPerChunk = 32
)

// stampSource gives out one increasing sequence for the whole process, because a fork's flags must be ordered with
// those recorded after it, on any goroutine. The strings are cut from chunks, so that a record allocates nothing.
type stampSource struct {
	count atomic.Uint64
	chunk atomic.Pointer[stampChunk]
}

// stampChunk holds the stamps of the numbers from block*stampsPerChunk on.
type stampChunk struct {
	block uint64
	text  string
}

// next returns the next number and its mark: the stamp and one byte more. mark[:stampLen] is the stamp alone.
func (s *stampSource) next() (n uint64, mark string) {
	n = s.count.Add(1)
	c := s.chunk.Load()
	if c == nil || c.block != n/stampsPerChunk {
		c = s.load(c, n/stampsPerChunk)
	}
	i := n % stampsPerChunk * markLen
	return n, c.text[i : i+markLen]
}

// load returns a chunk for block and makes it the current one in place of old, unless another goroutine was quicker:
// the others of this block then use that one, or make one too.
func (s *stampSource) load(old *stampChunk, block uint64) *stampChunk {
	fresh := newStampChunk(block)
	if old == nil || old.block < block {
		s.chunk.CompareAndSwap(old, fresh)
	}
	return fresh
}

func newStampChunk(block uint64) *stampChunk {
	var text [stampsPerChunk * markLen]byte
	first := block * stampsPerChunk
	for i := range uint64(stampsPerChunk) {
		binary.BigEndian.PutUint64(text[i*markLen:], (first+i)<<8|trueByte)
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
