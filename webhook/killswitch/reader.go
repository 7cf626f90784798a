package killswitch

import (
	"context"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// lookBack is how many entries are looked at again: databases commit out of order.
const lookBack = 50

// read reads flags by the names of their notes, or all of them if none is given.
func (j *journal) read(ctx context.Context, names map[string]struct{}) error {
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	notes, err := j.store.Notes(ctx, j.queue, list...)
	if err != nil {
		return err
	}
	newer := make(map[string]*known, len(notes))
	for _, note := range notes {
		if j.knows(note) || !strings.HasPrefix(note.Name, flagNote) {
			continue
		}
		f, err := decodeFlag(note.Name, note.Body)
		if err != nil {
			return err
		}
		newer[note.Name] = &known{base: f, version: note.Version}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.learn(newer)
	j.review(newer)
	return nil
}

// knows reports whether a note says nothing new.
func (j *journal) knows(note queue.Note) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return note.Version <= j.flag(note.Name).version
}

// learn takes over what is newer than what is known. With the lock held.
func (j *journal) learn(newer map[string]*known) {
	for name, f := range newer {
		if current := j.flag(name); f.version > current.version {
			current.base, current.version = f.base, f.version
		}
	}
}

// review makes the views of flags anew: what is known, with what is not written
// yet. With the lock held.
func (j *journal) review(flags map[string]*known) {
	for name := range flags {
		f := j.flag(name)
		f.view = f.base
	}
	for _, c := range j.unwrit {
		if flags[c.note] != nil {
			j.flag(c.note).change(c)
		}
	}
}

// fresh returns a flag as it is in the store, to be read only.
func (j *journal) fresh(ctx context.Context, note string) (*flagState, error) {
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	if err := j.read(ctx, map[string]struct{}{note: {}}); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flag(note).base, nil
}

// switchedOff counts the flags that are switched off and not restored, by the store.
func (j *journal) switchedOff(ctx context.Context) (n int, err error) {
	if err := j.read(ctx, nil); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.flags {
		if f.base.Killed != nil {
			n++
		}
	}
	return n, nil
}

// load reads what earlier processes have left: the flags, and which alerts were
// seen since.
func (j *journal) load(ctx context.Context, since time.Time) error {
	if err := j.read(ctx, nil); err != nil {
		return err
	}
	for before := int64(0); ; {
		listed, err := j.store.List(ctx, j.queue, queue.Filter{Newest: true, Before: before, Limit: queue.MaxList})
		if err != nil {
			return err
		}
		j.mu.Lock()
		for _, entry := range listed {
			before = entry.Seq
			j.lastSeq = max(j.lastSeq, entry.Seq)
			j.seen.add(bodyOf(entry.ID), entry.Added, j.limits.maxAge)
		}
		j.mu.Unlock()
		if len(listed) < queue.MaxList || listed[len(listed)-1].Added.Before(since) {
			return nil
		}
	}
}

// look lists what is behind a Seq, and keeps in mind that it was seen. Bodies that
// are new here were taken by others, who have swapped the notes of their flags.
func (j *journal) look(ctx context.Context, after int64, entries map[string]queue.Entry) error {
	for {
		listed, err := j.store.List(ctx, j.queue, queue.Filter{After: after, Limit: queue.MaxList})
		if err != nil {
			return err
		}
		j.mu.Lock()
		fresh := map[string]bool{}
		for _, entry := range listed {
			after = max(after, entry.Seq)
			body := bodyOf(entry.ID)
			if fresh[body] = fresh[body] || j.seen.add(body, entry.Added, j.limits.maxAge); fresh[body] {
				j.stale[noteOf(entry.Key)] = struct{}{}
			}
			if seq, ours := j.held[entry.ID]; ours && seq == 0 {
				j.held[entry.ID] = entry.Seq
			}
			if entries != nil {
				entries[entry.ID] = entry
			}
		}
		j.lastSeq = max(j.lastSeq, after)
		j.mu.Unlock()
		if len(listed) < queue.MaxList {
			return nil
		}
	}
}

// keep renews the holds of this process, and looks for what others have done,
// until ctx ends.
func (j *journal) keep(ctx context.Context, poll time.Duration) {
	renewal, look := time.NewTicker(j.hold/3), time.NewTicker(poll)
	defer renewal.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renewal.C:
			j.renew(ctx)
		case <-look.C:
			call, cancel := context.WithTimeout(ctx, storeCall)
			err := j.catchUp(call)
			cancel()
			if ctx.Err() == nil {
				j.fails(reads, err)
			}
		}
	}
}

// catchUp reads what others have done.
func (j *journal) catchUp(ctx context.Context) error {
	j.mu.Lock()
	after := max(0, j.lastSeq-lookBack)
	j.mu.Unlock()
	if err := j.look(ctx, after, nil); err != nil {
		return err
	}
	j.mu.Lock()
	stale := j.stale
	j.stale = map[string]struct{}{}
	j.mu.Unlock()
	if len(stale) == 0 {
		return nil
	}
	err := j.read(ctx, stale)
	if err != nil {
		j.mu.Lock()
		for name := range stale {
			j.stale[name] = struct{}{}
		}
		j.mu.Unlock()
	}
	return err
}
