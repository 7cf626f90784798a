package killswitch

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// TriggerRestore is the trigger of a switch that a person asks for with
// [Journal.Restore].
const TriggerRestore Trigger = "restore"

// What keeps a flag from being restored.
var (
	// ErrNotSwitchedOff means that the journal knows of no such flag that is
	// switched off and not restored, or that the name fits several.
	ErrNotSwitchedOff = errors.New("killswitch: no such flag is switched off and not restored")
	// ErrFormerState means that it is not known how the flag was before it was
	// switched off. Look at it, and force the restoration if it is to be on.
	ErrFormerState = errors.New("killswitch: it is not known whether the flag was on before; force it if it is to be on")
)

// Journal is a toggler's journal for people and their tools, in a process that
// need not be the relay's: what waits, what failed, what is switched off, and how
// to restore it.
type Journal struct {
	store queue.Store
	queue string
}

// OpenJournal opens the journal in the queue of that name: see [QueueName]. It
// starts nothing, and the store stays the caller's.
func OpenJournal(store queue.Store, name string) *Journal { return &Journal{store: store, queue: name} }

// SwitchedOff is a flag that is switched off and not restored.
type SwitchedOff struct {
	Target Target
	// Flag is its name in Sentry's flag log.
	Flag string
	// Alert and Trigger are those that switched it off first, at Since.
	Alert   string
	Trigger Trigger
	Since   time.Time
	// Was is how the flag was before.
	Was State
}

// SwitchedOff lists the flags that are switched off and not restored, the oldest
// first, however long ago that was.
func (j *Journal) SwitchedOff(ctx context.Context) ([]SwitchedOff, error) {
	flags, err := j.flags(ctx)
	if err != nil {
		return nil, err
	}
	var all []SwitchedOff
	for _, f := range flags {
		if k := f.Killed; k != nil {
			all = append(all, SwitchedOff{
				Target: k.Kill.Target, Flag: k.Kill.Flag, Alert: k.Kill.Alert, Trigger: k.Kill.Trigger, Since: k.Since, Was: k.Was,
			})
		}
	}
	slices.SortFunc(all, func(a, b SwitchedOff) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Target.String(), b.Target.String()))
	})
	return all, nil
}

// Pending is a switch that waits, or that has failed for good.
type Pending struct {
	ID      string
	Target  Target
	On      bool
	Alert   string
	Trigger Trigger
	// By is the person who asked for it, if it was not an alert.
	By string
	// At is when it was accepted.
	At time.Time
	// Failed says that it is not tried again. Otherwise it is under way, or due
	// at Due.
	Failed bool
	Due    time.Time
	Tries  int
	// Reason is why it has failed, or was put off last.
	Reason string

	entry queue.Entry
}

// Pending lists what waits and what has failed, the oldest first, 1,000 of each
// at most.
func (j *Journal) Pending(ctx context.Context) ([]Pending, error) {
	var all []Pending
	for _, of := range []queue.State{queue.Waiting, queue.Dead} {
		listed, err := j.store.List(ctx, j.queue, queue.Filter{States: []queue.State{of}, Limit: queue.MaxList})
		if err != nil {
			return nil, err
		}
		for _, entry := range listed {
			p := Pending{ID: entry.ID, At: entry.Added, Failed: of == queue.Dead, Due: entry.Due, Tries: entry.Tries, Reason: entry.Reason, entry: entry}
			if k, err := decodeKill(entry.Body); err == nil {
				p.Target, p.On, p.Alert, p.Trigger, p.By, p.At = k.Target, k.On, k.Alert, k.Trigger, k.By, k.At
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// Discard gives up a switch that waits or has failed.
func (j *Journal) Discard(ctx context.Context, p Pending) error {
	n, err := j.store.Discard(ctx, j.queue, p.entry)
	if err == nil && n == 0 {
		err = queue.ErrNotDead
	}
	return err
}

// Retry has the relays try a switch again that has failed, as if it had been
// accepted now.
func (j *Journal) Retry(ctx context.Context, p Pending) error {
	k, err := decodeKill(p.entry.Body)
	if err != nil {
		return err
	}
	return j.with(ctx, options{}, func(_ *Relay, own *journal) error {
		again := k.kill
		again.At = time.Now().UTC().Truncate(time.Microsecond)
		result, err := own.do(ctx, again.note(), func(f *flagState) applied {
			k := again
			f.admit(&k, p.ID, own.limits, time.Now())
			return applied{order: k.Order}
		})
		if err != nil {
			return err
		}
		again.Order = result.order
		item := own.item(&again, p.ID)
		return j.store.Revise(ctx, j.queue, p.entry, &item)
	})
}

// Restoration is what [Journal.Restore] is to do.
type Restoration struct {
	// Flag is the flag: its name in Sentry's flag log, or its [Target] as text.
	Flag string
	// By is the person who does it, as the flag log is to show: a name or an
	// e-mail address. Required.
	By string
	// Force switches the flag on even though it is not known that it was on.
	Force bool
	// Toggler is the one that has switched it off. Required.
	Toggler Toggler
	// Emitter gets the record. Nil records nothing.
	Emitter Emitter
	// Logger gets a line per attempt. Defaults to slog.Default().
	Logger *slog.Logger
}

// Restored is what [Journal.Restore] has done.
type Restored struct {
	SwitchedOff
	// On says that the flag was switched on. It is not if it was off before.
	On bool
}

// Restore brings a flag back to the state before it was switched off, through the
// same toggler, and ends its cool-downs: the next alert acts. A flag that was off
// before is not switched on.
//
// It tries until the flag system has confirmed it, or ctx ends. When an alert
// switches the flag off meanwhile it stays off, and the error is [ErrOvertaken].
// Other errors are [ErrNotSwitchedOff], [ErrFormerState], those of the toggler and
// of the store. An error that wraps [ErrNotRecorded] means that the flag is
// restored, and that its record waits for a relay.
func (j *Journal) Restore(ctx context.Context, what Restoration) (Restored, error) {
	by := strings.TrimSpace(printable(what.By, maxQuoted))
	if by == "" || what.Toggler == nil {
		return Restored{}, fmt.Errorf("%w: Restoration.By and Restoration.Toggler must be set", ErrInvalidConfig)
	}
	off, err := j.find(ctx, what.Flag)
	if err != nil {
		return Restored{}, err
	}
	restored := Restored{SwitchedOff: off}
	restored.On = off.Was == StateOn || what.Force
	if !restored.On && off.Was == StateUnknown {
		return restored, ErrFormerState
	}
	return restored, j.with(ctx, options{emitter: what.Emitter, logger: what.Logger}, func(r *Relay, own *journal) error {
		if !restored.On {
			return own.forget(ctx, off)
		}
		return r.restore(ctx, own, what.Toggler, kill{
			Version: killVersion, Target: off.Target, Flag: off.Flag, On: true, Trigger: TriggerRestore, By: by,
			At: time.Now().UTC().Truncate(time.Microsecond), Signed: time.Now(),
		})
	})
}

// Forget ends that a flag is listed as switched off, and its cool-downs, and
// switches nothing: the flag is gone from its flag system, say, or somebody has
// switched it on there. The flag is named as in [Restoration.Flag].
// Its errors are [ErrNotSwitchedOff], which names the flags there are, and the store's.
func (j *Journal) Forget(ctx context.Context, flag string) (SwitchedOff, error) {
	off, err := j.find(ctx, flag)
	if err != nil {
		return SwitchedOff{}, err
	}
	return off, j.with(ctx, options{}, func(_ *Relay, own *journal) error { return own.forget(ctx, off) })
}

func (j *journal) forget(ctx context.Context, off SwitchedOff) error {
	_, err := j.do(ctx, noteOf(itemKey(off.Target)), func(f *flagState) applied {
		f.Killed, f.Cooling = nil, nil
		return applied{}
	})
	return err
}

// restore switches a flag on, as the journal's newest decision.
func (r *Relay) restore(ctx context.Context, j *journal, toggler Toggler, k kill) error {
	id := itemID("restore "+rand.Text(), k.Target)
	c := &change{note: k.note(), id: id, held: true, apply: func(f *flagState) applied {
		k := k
		if known := f.decided(id); known != nil {
			k.Order = known.Order
		} else {
			f.admit(&k, id, j.limits, time.Now())
		}
		f.Cooling = nil
		return applied{kill: &k, id: id}
	}}
	j.mu.Lock()
	j.submit(c)
	j.mu.Unlock()
	select {
	case <-c.written:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrStore, ctx.Err())
	}
	w := &work{relay: r, journal: j, toggler: toggler, id: id, kill: c.stored}
	for {
		was, err := w.attempt(ctx, &w.kill, id)
		if err == nil {
			return w.restored(ctx, was)
		}
		wait, over := w.judge(err)
		if over || ctx.Err() != nil || sleep(ctx, wait) != nil {
			w.done(context.WithoutCancel(ctx)) // a person is there to try again
			return fmt.Errorf("%w: %w", ErrNotSwitched, err)
		}
	}
}

func (w *work) restored(ctx context.Context, was State) error {
	newer, err := w.dispute(ctx)
	switch {
	case err != nil:
		w.putOff(ctx, 0, err) // the relays make sure of it
		return err
	case newer != nil && !newer.Kill.On:
		w.done(ctx)
		return ErrOvertaken
	}
	k, id := w.kill, w.id
	_, err = w.journal.do(ctx, k.note(), func(f *flagState) applied {
		f.apply(&k, id, was, time.Now(), w.relay.isRecorded)
		return applied{}
	})
	if err != nil {
		w.putOff(ctx, 0, err)
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if !w.relay.record(ctx, &k, id) {
		w.putOff(ctx, 0, ErrNotRecorded)
		return ErrNotRecorded
	}
	w.done(ctx)
	return nil
}

// find returns the flag that is switched off and goes by a name.
func (j *Journal) find(ctx context.Context, name string) (SwitchedOff, error) {
	all, err := j.SwitchedOff(ctx)
	if err != nil {
		return SwitchedOff{}, err
	}
	var found []SwitchedOff
	for _, off := range all {
		if off.Target.String() == name {
			return off, nil
		}
		if off.Flag == name || off.Target.Flag == name {
			found = append(found, off)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var known []string
	for _, off := range all {
		known = append(known, off.Target.String())
	}
	return SwitchedOff{}, fmt.Errorf("%w: %s; there are: %q", ErrNotSwitchedOff, visible.Quote(name), known)
}

// options are what with needs besides the store.
type options struct {
	emitter Emitter
	logger  *slog.Logger
}

// with lends a journal, and so much of a relay as a single switch takes.
func (j *Journal) with(ctx context.Context, o options, use func(*Relay, *journal) error) error {
	if ctx == nil {
		return errNilContext
	}
	config := Config{Emitter: o.emitter, Logger: o.logger, MaxAge: longestMaxAge, CoolDown: -1, CapPerHour: -1}.withDefaults()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Relay{config: config, ctx: running, cancel: cancel, hurry: make(chan struct{})}
	// The limits only say when to forget, and that is for the relays to say.
	own := newJournal(j.store, j.queue, rand.Text(), limits{maxAge: longestMaxAge, coolDown: 24 * time.Hour}, config.Hold, func(error) {}) // what fails is returned as an error
	defer r.keepers.Wait()
	defer cancel()
	if err := own.read(ctx, nil); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	r.keepers.Go(func() { own.writer(running) })
	r.keepers.Go(func() { own.keep(running, config.Poll) })
	return use(r, own)
}
