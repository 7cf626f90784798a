package changes

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// ledger is what a watcher knows of the note in the store, which holds the last
// snapshot that was reported.
type ledger struct {
	noted   *note
	version int64
	first   bool // there is no note yet, neither here nor in a former queue
	readAt  time.Time
	// agreed is what there was when it was last the same as the note.
	agreed *state
	// doubted is the first of the documents that say what there is now and may be
	// half-written, and doubtedSince when the first such ones were seen.
	doubted      *state
	doubtedSince time.Time
	// notBefore is when to ask for the lease again, and waitsSince the version of
	// the note for which that was said.
	notBefore  time.Time
	waitsSince int64
	failures   int
	aside      bool // for a note of a later version of this package
	settledAt  time.Time
}

// noteName is the source's name in its queue.
func (w *Watcher) noteName() string { return "changes:" + w.config.Name }

// leaseName is the source's name among all leases of the store, where another
// destination's watchers may use the same names.
func (w *Watcher) leaseName() string {
	sum := sha256.Sum256([]byte(w.config.Emitter.Queue()))
	return "source:" + hex.EncodeToString(sum[:8]) + ":" + w.config.Name
}

// readNote reads the note, and otherwise the last one that a former queue has. A
// note that was never written is an empty one.
func (w *Watcher) readNote(ctx context.Context) (n note, version int64, first bool, err error) {
	kept, err := w.config.Store.Note(ctx, w.config.Emitter.Queue(), w.noteName())
	if err != nil {
		return note{}, 0, false, err
	}
	version = kept.Version
	if former, ok := w.config.Emitter.(interface{ FormerQueues() []string }); ok && version == 0 {
		for _, name := range former.FormerQueues() {
			if kept, err = w.config.Store.Note(ctx, name, w.noteName()); err != nil {
				return note{}, 0, false, err
			}
			if kept.Version > 0 {
				break
			}
		}
	}
	if kept.Version == 0 {
		return note{}, 0, true, nil
	}
	n, err = decodeNote(kept.Body)
	return n, version, false, err
}

// maxStoreBackoff bounds the wait after the store failed.
const maxStoreBackoff = 30 * time.Second

// reconcile compares what there is with what was reported last, and reports the
// difference. It returns when to try again, sooner or later than at the next
// look; 0 if then.
func (w *Watcher) reconcile(ctx context.Context) (again time.Duration, err error) {
	l := &w.ledger
	if wait := time.Until(l.notBefore); wait > 0 {
		return wait, w.problemNow()
	}
	again, err = w.tryReconcile(ctx)
	if err != nil {
		l.noted = nil // whatever became of it, the store knows
		l.failures++
		wait := min(w.config.Interval<<min(l.failures-1, 5), maxStoreBackoff)
		l.notBefore = time.Now().Add(wait)
		return wait, fmt.Errorf("changes: the store: %w", err)
	}
	l.failures = 0
	return again, nil
}

func (w *Watcher) problemNow() error {
	if w.ledger.failures == 0 {
		return nil
	}
	return w.Stats().Problem
}

func (w *Watcher) tryReconcile(ctx context.Context) (again time.Duration, err error) {
	l, good := &w.ledger, w.view.good
	if l.noted != nil && l.agreed == good && time.Since(l.readAt) <= w.refresh() {
		return 0, nil
	}
	// What another process has reported shows only in the store.
	if l.noted == nil || time.Since(l.readAt) > w.refresh() || w.differs(good) {
		n, version, first, err := w.readNote(ctx)
		if err != nil {
			return 0, err
		}
		l.noted, l.version, l.first, l.readAt = &n, version, first, time.Now()
	}
	w.count(func(s *Stats) { s.Version, s.Unsigned = l.version, len(l.noted.Lending.Unsigned) })
	if l.noted.Digest > digestVersion {
		w.standAside()
		return 0, nil
	}
	if !w.differs(good) {
		l.agreed, l.doubted = good, nil
		w.count(func(s *Stats) { s.Pending = 0 })
		return 0, nil
	}
	pending := len(Diff(Snapshot{l.noted.Flags}, good.snapshot))
	w.count(func(s *Stats) { s.Pending = pending })
	if wait := w.doubt(good, time.Now()); wait > 0 {
		return wait, nil
	}
	if wait, err := w.lease(ctx); wait > 0 || err != nil {
		return 0, err
	}
	// Now that nobody else writes, look once more: this process may have been
	// frozen since it looked.
	sum, err := w.view.read(ctx, w.config)
	if err != nil || sum != good.sum {
		return w.config.Gather, nil
	}
	return w.write(ctx, good)
}

// doubts is how many times longer than others documents have to stay as they are
// that may be half of what is being written, and how many times that all of them
// together, where they go on changing.
const doubts = 10

// doubt returns for how long what there is is not believed yet, though it has
// settled: it lacks flags, or the end of the last one.
func (w *Watcher) doubt(good *state, now time.Time) time.Duration {
	l, patience := &w.ledger, doubts*w.config.Gather
	if l.first || !w.sameRules() || !w.mayBeHalf(good) {
		l.doubted = nil
		return 0
	}
	switch {
	case l.doubted == nil:
		l.doubted, l.doubtedSince = good, good.since
	case !l.doubted.snapshot.equal(good.snapshot):
		l.doubted = good
	}
	if now.Sub(l.doubtedSince) >= doubts*patience {
		return 0
	}
	return max(patience-now.Sub(l.doubted.since), 0)
}

// mayBeHalf reports whether documents may be a part of what will be there when
// somebody has finished writing.
func (w *Watcher) mayBeHalf(good *state) bool {
	before := w.ledger.agreed
	if !good.open && (before == nil || before.documents <= good.documents) {
		return false
	}
	if before != nil && good.size < before.size {
		return true
	}
	return slices.ContainsFunc(Diff(Snapshot{w.ledger.noted.Flags}, good.snapshot), func(e Edit) bool { return e.Action == webhook.ActionDeleted })
}

// refresh is how often the note is read although nothing has changed.
func (w *Watcher) refresh() time.Duration {
	if w.config.Lag < 0 {
		return time.Minute
	}
	return max(w.config.Lag/2, w.config.Interval)
}

// differs reports whether what there is is not what was reported.
func (w *Watcher) differs(good *state) bool {
	l := &w.ledger
	return l.noted != nil && (l.version == 0 || !w.sameRules() || !Snapshot{l.noted.Flags}.equal(good.snapshot))
}

func (w *Watcher) sameRules() bool {
	return w.ledger.noted.Digest == digestVersion && w.ledger.noted.Rules == w.config.Format.Rules()
}

func (w *Watcher) standAside() {
	if !w.ledger.aside {
		w.ledger.aside = true
		w.config.Logger.Error("changes: stand aside: the snapshot in the store was made by a later version, whose process reports", "source", w.config.Name)
	}
}

// lease asks to be the one who reports. For as long as another process's copy of
// the documents may be ahead of this one's it is that process.
func (w *Watcher) lease(ctx context.Context) (time.Duration, error) {
	if w.config.Lag < 0 {
		return 0, nil
	}
	wait, err := w.config.Store.Lease(ctx, w.leaseName(), w.owner, w.config.Lag)
	if err != nil || wait <= 0 {
		return 0, err
	}
	l := &w.ledger
	l.notBefore = time.Now().Add(min(wait, w.config.Lag))
	if l.waitsSince != l.version {
		l.waitsSince = l.version
		w.config.Logger.Info("changes: differences wait: another process, or this one before its start, has reported lately, and its copy may be the newer one",
			"source", w.config.Name, "pending", w.Stats().Pending, "until", l.notBefore)
	}
	return wait, nil
}

// write puts the snapshot in the place of the one before, and the changes between
// the two into the queue, in one transaction.
func (w *Watcher) write(ctx context.Context, good *state) (again time.Duration, err error) {
	l := &w.ledger
	next := l.noted.clone()
	next.Digest, next.Rules = digestVersion, w.config.Format.Rules()
	edits := w.editsTo(&next, good)
	report := w.sign(ctx, &next, edits, good.since)
	items, refused, err := w.items(report)
	if err != nil {
		return 0, err
	}
	body, err := next.encode()
	if err != nil {
		return 0, err
	}
	_, err = w.config.Store.Add(ctx, w.config.Emitter.Queue(), queue.Addition{
		Items: items, Notes: []queue.Note{{Name: w.noteName(), Version: l.version, Body: body}},
	})
	if errors.Is(err, queue.ErrNoteChanged) {
		l.noted = nil
		return w.config.Gather, nil
	}
	if err != nil {
		return 0, err
	}
	if l.first {
		w.warnOfOtherQueues(ctx, good)
	}
	l.noted, l.version, l.first, l.readAt, l.agreed = &next, l.version+1, false, time.Now(), good
	w.count(func(s *Stats) {
		s.Version, s.Pending, s.Unsigned = l.version, 0, len(next.Lending.Unsigned)
	})
	w.reported(report, len(items), len(refused))
	w.log(slices.DeleteFunc(edits, func(e Edit) bool { return slices.Contains(refused, e.Flag) }))
	return 0, nil
}

// editsTo makes next the note about good, and returns what is to be reported.
func (w *Watcher) editsTo(next *note, good *state) []Edit {
	switch l := &w.ledger; {
	case l.first && w.config.EmitBaseline:
		w.config.Logger.Info("changes: first snapshot; all its flags are reported as created", "source", w.config.Name, "flags", len(good.snapshot.flags))
		next.Flags = good.snapshot.flags
		return Diff(Snapshot{}, good.snapshot)
	case l.first:
		w.config.Logger.Info("changes: first snapshot; changes are counted from here", "source", w.config.Name, "flags", len(good.snapshot.flags))
		w.warnOfNames(good)
		next.Flags, next.Own = good.snapshot.flags, nil
		return nil
	case !w.sameRules():
		w.config.Logger.Warn("changes: what counts is counted otherwise than before; changes are counted anew from here", "source", w.config.Name, "flags", len(good.snapshot.flags))
		next.Flags, next.Own = good.snapshot.flags, nil
		return nil
	}
	edits := Diff(Snapshot{next.Flags}, good.snapshot)
	if before := w.ledger.agreed; before != nil && before.snapshot.equal(Snapshot{next.Flags}) {
		explain(edits, before.definitions, good.definitions)
	}
	left := next.absorb(edits, good.snapshot, time.Now())
	w.count(func(s *Stats) { s.Owned += int64(left.owned) })
	return left.report
}

// reported counts what was added to the queue, and lets it be delivered.
func (w *Watcher) reported(report []webhook.Change, items, refused int) {
	nobody := w.config.author()
	w.count(func(s *Stats) {
		for _, change := range report {
			if change.CreatedBy != nobody {
				s.Signed++
			}
		}
		s.Changes += int64(items)
		s.Refused += int64(refused)
	})
	if items > 0 {
		w.config.Emitter.Wake()
	}
}

// items makes the queue's items of changes. What Sentry would refuse is left out,
// and said; refused are the flags.
func (w *Watcher) items(list []webhook.Change) (items []queue.Item, refused []string, err error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	items, err = w.config.Emitter.Items(list...)
	if !errors.Is(err, webhook.ErrInvalidChange) {
		return items, nil, err
	}
	for _, change := range list {
		item, err := w.config.Emitter.Items(change)
		switch {
		case errors.Is(err, webhook.ErrInvalidChange):
			refused = append(refused, change.Flag)
			w.config.Logger.Error("changes: a change cannot be reported", "source", w.config.Name, "action", string(change.Action),
				"flag", cut(change.Flag, 2*maxShown), "err", err.Error())
		case err != nil:
			return nil, nil, err
		default:
			items = append(items, item...)
		}
	}
	return items, refused, nil
}

// change is an edit as Sentry gets it. Its id tells a change from the same one
// later on, and is the same for whoever tries to report it.
func (w *Watcher) change(edit unsigned, author webhook.Author) webhook.Change {
	h := sha256.New()
	for _, part := range []string{w.config.Name, edit.Flag, string(edit.Action)} {
		_ = binary.Write(h, binary.BigEndian, int64(len(part)))
		h.Write([]byte(part))
	}
	_ = binary.Write(h, binary.BigEndian, edit.Version)
	sum := h.Sum(nil)
	return webhook.Change{
		Action:    edit.Action,
		ChangeID:  max(int64(binary.BigEndian.Uint64(sum)>>1), 1),
		CreatedAt: time.UnixMicro(edit.At),
		CreatedBy: author,
		Flag:      edit.Flag,
		ItemID:    "changes-" + hex.EncodeToString(sum[:16]),
	}
}

// log tells what was found: flags and what within them, no values.
func (w *Watcher) log(edits []Edit) {
	for _, edit := range edits {
		paths := make([]string, len(edit.Fields))
		for i, field := range edit.Fields {
			paths[i] = field.Path
		}
		w.config.Logger.Info("changes: "+string(edit.Action), "source", w.config.Name, "flag", cut(edit.Flag, 2*maxShown), "fields", paths)
	}
}

// warnOfOtherQueues tells of snapshots that a first one has passed over, of a
// queue that may be this one under its former name.
func (w *Watcher) warnOfOtherQueues(ctx context.Context, good *state) {
	store, ok := w.config.Store.(interface {
		Noted(ctx context.Context, name string) (queues []string, err error)
	})
	if !ok {
		return
	}
	queues, _ := store.Noted(ctx, w.noteName()) // a warning is not worth a failure
	for _, name := range queues {
		kept, err := w.config.Store.Note(ctx, name, w.noteName())
		if err != nil || name == w.config.Emitter.Queue() {
			continue
		}
		n, err := decodeNote(kept.Body)
		if err != nil || n.Digest != digestVersion || n.Rules != w.config.Format.Rules() {
			continue
		}
		edits := Diff(Snapshot{n.Flags}, good.snapshot)
		if len(edits) == 0 {
			continue
		}
		var flags []string
		for _, edit := range edits[:min(len(edits), shownNames)] {
			flags = append(flags, cut(edit.Flag, maxShown))
		}
		w.config.Logger.Warn("changes: another queue has a snapshot of this source, and what differs from it is not reported here; if the queue was called so before, it belongs in FormerQueues (former_queues) at the first start",
			"source", w.config.Name, "queue", w.config.Emitter.Queue(), "other", name, "differences", len(edits), "first", flags)
	}
}

// shownNames is how many names a warning gives as examples.
const shownNames = 5

// warnOfNames tells once of flags that Sentry can never show beside an error.
func (w *Watcher) warnOfNames(good *state) {
	var names []string
	for flag := range good.snapshot.flags {
		if !webhook.Correlates(flag) {
			names = append(names, cut(flag, maxShown))
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		w.config.Logger.Warn("changes: Sentry matches only names of 1 to 200 of a-z, A-Z, 0-9, '_', '.', ':' and '-' with evaluated flags",
			"source", w.config.Name, "flags", len(names), "first", names[:min(len(names), shownNames)])
	}
}
