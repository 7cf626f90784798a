package changes

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// view is what a watcher has seen of its source.
type view struct {
	lookedAt time.Time
	last     map[string][]byte // as the source returned it
	lastSum  contentSum

	// candidate are documents that have to stay as they are for a while.
	candidate      contentSum
	candidateSince time.Time
	unsettledSince time.Time

	taken    contentSum // what good or fault is about
	good     *state     // the last documents that could be read
	fault    error      // of what is there now
	failures int        // in a row
}

// state is what documents say.
type state struct {
	sum         contentSum
	since       time.Time // when they were first seen
	definitions Definitions
	snapshot    Snapshot

	documents, size int // how many, and how many bytes
	// open is whether half of the documents can be read as if it were all: nothing
	// closes YAML and TOML, nor a folder.
	open bool
}

type contentSum [sha256.Size]byte

// look reads the source. Its error says why good is not what is there now; good
// is nil before there was anything. next is when to look again.
func (v *view) look(ctx context.Context, c Config) (next time.Duration, err error) {
	sum, err := v.read(ctx, c)
	now := time.Now()
	v.lookedAt = now
	if err != nil {
		return v.failed(c, err)
	}
	if sum == v.taken {
		v.candidate = contentSum{}
		v.unsettledSince = time.Time{}
		if v.fault != nil {
			return v.failed(c, v.fault)
		}
		v.failures = 0
		return c.Interval, nil
	}
	if wait := v.settle(sum, now, c.Gather); wait > 0 {
		// Neither a failure nor a success: what was before still holds.
		return wait, nil
	}
	v.take(c, sum)
	if v.fault != nil {
		return v.failed(c, v.fault)
	}
	v.failures = 0
	return c.Interval, nil
}

func (v *view) failed(c Config, err error) (time.Duration, error) {
	v.failures++
	if v.failures == 1 {
		return min(c.Gather, c.Interval), err
	}
	return c.Interval, err
}

// current reports whether good is what the source has now.
func (v *view) current() bool { return v.good != nil && v.fault == nil && v.lastSum == v.good.sum }

// read reads the source, and what it is the sum of.
func (v *view) read(ctx context.Context, c Config) (contentSum, error) {
	documents, err := readSource(ctx, c.Source)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrVanished) {
			err = fmt.Errorf("%w: %w", ErrVanished, err)
		}
		v.last, v.lastSum = nil, contentSum{}
		return contentSum{}, err
	}
	if len(documents) == 0 {
		v.last, v.lastSum = nil, contentSum{}
		return contentSum{}, ErrVanished
	}
	size := int64(0)
	for _, content := range documents {
		size += int64(len(content))
	}
	if size > c.Limit {
		return contentSum{}, fmt.Errorf("%w: %d bytes, the most is %d", ErrTooLarge, size, c.Limit)
	}
	if v.last == nil || !maps.EqualFunc(v.last, documents, sameBytes) {
		v.last, v.lastSum = documents, sumOf(documents)
	}
	return v.lastSum, nil
}

func readSource(ctx context.Context, source Source) (documents map[string][]byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicked("the source", cause)
		}
	}()
	return source.Read(ctx)
}

// sameBytes reports whether two contents are the same memory.
func sameBytes(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func sumOf(documents map[string][]byte) contentSum {
	h := sha256.New()
	var size [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:])
		h.Write(b)
	}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		write([]byte(name))
		write(documents[name])
	}
	return contentSum(h.Sum(nil))
}

// settle returns how long to wait before documents are believed; 0 if they are.
func (v *view) settle(sum contentSum, now time.Time, gather time.Duration) time.Duration {
	if v.unsettledSince.IsZero() {
		v.unsettledSince = now
	}
	if sum != v.candidate {
		v.candidate, v.candidateSince = sum, now
	}
	if now.Sub(v.unsettledSince) >= 10*gather {
		return 0
	}
	return max(gather-now.Sub(v.candidateSince), 0)
}

// take reads the definitions in what has settled.
func (v *view) take(c Config, sum contentSum) {
	since := v.candidateSince
	v.taken, v.candidate, v.unsettledSince = sum, contentSum{}, time.Time{}
	definitions, err := readDocuments(c.Format, v.last)
	if err != nil {
		v.fault = err
		return
	}
	snapshot, err := definitions.Snapshot()
	if err != nil {
		v.fault = err
		return
	}
	good := &state{sum: sum, since: since, definitions: definitions, snapshot: snapshot, documents: len(v.last), open: len(v.last) > 1}
	for name, content := range v.last {
		good.size += len(content)
		good.open = good.open || syntaxOf(name, content) != inJSON
	}
	v.fault, v.good = nil, good
}
