package killswitch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

const (
	// recordCall bounds a call of the emitter.
	recordCall = 10 * time.Second
	// recordLate is how long the emitter may refuse a record before a person is
	// told.
	recordLate = time.Minute
)

// lateRecords are the records that the emitter does not take.
type lateRecords struct {
	mu       sync.Mutex
	n        int
	recorded map[string]struct{}
	order    []string
}

// record gives the emitter the change, again and again until it takes it. It
// reports whether the switch is done with: recorded, or never to be.
func (r *Relay) record(ctx context.Context, k *kill, id string) bool {
	if r.config.Emitter == nil || k.Again {
		return true
	}
	r.counts.recordWaits(1)
	defer r.counts.recordWaits(-1)
	change := changeOf(k, id)
	began, told := time.Now(), false
	for failures := 0; ; failures++ {
		err := r.emit(ctx, change)
		if err == nil {
			if told {
				r.late.add(-1)
			}
			return true
		}
		if isInvalid(err) {
			r.report(reportOf(k, fmt.Errorf("%w, and never will be: %w", ErrNotRecorded, err), 0))
			return true
		}
		if !told && time.Since(began) > recordLate {
			told = true
			r.late.add(1)
			r.report(reportOf(k, fmt.Errorf("%w yet; it is tried again: %w", ErrNotRecorded, err), 0))
		}
		if !r.waits(ctx, pauseAfter(failures)) {
			return false
		}
	}
}

// waits waits, and reports whether to go on: not when the relay is to end and
// another process can.
func (r *Relay) waits(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-r.hurry:
	}
	return false
}

// emission is a record on its way to the emitter.
type emission struct {
	change webhook.Change
	done   chan error
}

// emissions are given to the emitter together, as many as have come while it took
// those before: a storm is not to cost a transaction for each of its records.
type emissions struct {
	mu      sync.Mutex
	waiting []emission
	busy    bool
}

// together is how long the first of them waits for others.
const together = 5 * time.Millisecond

// maxEmit is how many records the emitter is given at once.
const maxEmit = 100

// emit gives the emitter a change, with those of others.
func (r *Relay) emit(ctx context.Context, change webhook.Change) error {
	own := emission{change, make(chan error, 1)}
	r.emissions.mu.Lock()
	r.emissions.waiting = append(r.emissions.waiting, own)
	first := !r.emissions.busy
	r.emissions.busy = true
	r.emissions.mu.Unlock()
	if first {
		r.works.Go(func() {
			_ = sleep(ctx, together) // those that were written down with it follow
			for group := r.emissions.next(); len(group) > 0; group = r.emissions.next() {
				r.emitAll(ctx, group)
			}
		})
	}
	return <-own.done
}

// next returns what is to be emitted next; when there is nothing, the next one to
// come is the first again.
func (e *emissions) next() []emission {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(len(e.waiting), maxEmit)
	group := e.waiting[:n:n]
	e.waiting, e.busy = e.waiting[n:], n > 0
	return group
}

// emitAll gives the emitter changes. One that it refuses spoils the others, so
// that each is then given by itself.
func (r *Relay) emitAll(ctx context.Context, group []emission) {
	changes := make([]webhook.Change, len(group))
	for i, e := range group {
		changes[i] = e.change
	}
	err := r.call(ctx, changes)
	invalid := isInvalid(err)
	for _, e := range group {
		if invalid && len(group) > 1 {
			err = r.call(ctx, []webhook.Change{e.change})
		}
		e.done <- err
	}
}

// isInvalid reports whether an emitter refuses a change for what it is.
func isInvalid(err error) bool {
	invalid, ok := errors.AsType[*webhook.ChangeError](err)
	return ok && invalid != nil
}

// call calls the emitter, which may be anybody's, and survives it.
func (r *Relay) call(ctx context.Context, changes []webhook.Change) (err error) {
	// A relay that is told to end still tries, but not for long.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordCall)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastCall, cancel) })()
	defer func() {
		if recover() != nil {
			err = errors.New("killswitch: the emitter panicked")
		}
	}()
	return contain(r.config.Emitter.Emit(call, changes...))
}

// changeOf makes the same change of the same item every time, so that a crash
// between switching and settling does not make two records of one switch.
func changeOf(k *kill, id string) webhook.Change {
	sum := sha256.Sum256([]byte(id))
	author := webhook.Author{ID: k.Alert, Type: webhook.AuthorName}
	if k.By != "" {
		author.ID = k.By
		if strings.Contains(k.By, "@") {
			author.Type = webhook.AuthorEmail
		}
	}
	return webhook.Change{
		Action:    webhook.ActionUpdated,
		ChangeID:  max(int64(binary.BigEndian.Uint64(sum[:8])>>1), 1),
		CreatedAt: k.At,
		CreatedBy: author,
		Flag:      k.Flag,
		ItemID:    "killswitch-" + id,
	}
}

func (l *lateRecords) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += n
}

// recordsLate reports whether the emitter has refused a record for long.
func (r *Relay) recordsLate() bool {
	r.late.mu.Lock()
	defer r.late.mu.Unlock()
	return r.late.n > 0
}

// recorded keeps in mind that an item is settled, so that the state need not.
func (r *Relay) recorded(id string) {
	l := &r.late
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recorded == nil {
		l.recorded = map[string]struct{}{}
	}
	l.recorded[id] = struct{}{}
	l.order = append(l.order, id)
	if len(l.order) > maxSeen {
		delete(l.recorded, l.order[0])
		l.order = l.order[1:]
	}
}

func (r *Relay) isRecorded(id string) bool {
	r.late.mu.Lock()
	defer r.late.mu.Unlock()
	_, found := r.late.recorded[id]
	return found
}
