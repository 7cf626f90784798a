package changes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// owned is a switch that somebody else reports.
type owned struct {
	Flag  string `json:"flag"`
	On    bool   `json:"on"`
	Until int64  `json:"until"` // Unix seconds
}

// Own says that the flag is about to be switched on or off in the watched
// documents, by somebody who reports that themselves: a kill switch. The next
// difference of the flag that is this switch, and nothing else, is not reported.
// It is expected within three times [Config.Lag], in any process: it stands in
// the store.
//
// Call it before the switch, and [Watcher.Disown] if the switch fails. It does
// nothing for a flag that is so already, or as long as there is no baseline.
// Formats that cannot tell whether a flag is on (a [Keyed] one without
// [KeyedFormat.Switch]) take the flag's next difference for the switch, whatever
// it is. A document may leave out flags that are off: when the flag is owned and
// off, and gone, it is not reported as deleted, nor as created when it is back.
func (w *Watcher) Own(ctx context.Context, flag string, on bool) error {
	return w.own(ctx, func(n *note) bool {
		was, there := n.Flags[flag]
		if !there && !on || there && was.on == positionOf(on) || was.on == hidden && !on {
			return false
		}
		n.Own = append(n.Own, owned{Flag: flag, On: on, Until: time.Now().Add(w.ownFor()).Unix()})
		return true
	})
}

// Disown takes back what [Watcher.Own] said, for a switch that was not made.
func (w *Watcher) Disown(ctx context.Context, flag string) error {
	return w.own(ctx, func(n *note) bool {
		before := len(n.Own)
		n.Own = slices.DeleteFunc(n.Own, func(o owned) bool { return o.Flag == flag })
		return len(n.Own) != before
	})
}

func (w *Watcher) ownFor() time.Duration {
	if w.config.Lag < 0 {
		return time.Minute
	}
	return max(3*w.config.Lag, time.Second) // a copy is behind, and a process that took over waits
}

func (w *Watcher) own(ctx context.Context, change func(*note) bool) error {
	err := w.amend(ctx, func(n *note) ([]webhook.Change, bool) {
		changed := change(n)
		n.Own = slices.DeleteFunc(n.Own, expired(time.Now()))
		return nil, changed
	})
	if err != nil && !errors.Is(err, errNilContext) {
		return fmt.Errorf("changes: own a switch: %w", err)
	}
	return err
}

// amendTries is how often the note is read again because somebody has changed it.
const amendTries = 20

// amend changes the note beside the watcher's own work, and adds changes in the
// same transaction. It does nothing as long as there is no note.
func (w *Watcher) amend(ctx context.Context, change func(*note) (report []webhook.Change, changed bool)) error {
	if ctx == nil {
		return errNilContext
	}
	for range amendTries {
		n, version, _, err := w.readNote(ctx)
		if err != nil {
			return err
		}
		if version == 0 || n.Digest > digestVersion {
			return nil
		}
		report, changed := change(&n)
		if !changed {
			return nil
		}
		items, refused, err := w.items(report)
		if err != nil {
			return err
		}
		body, err := n.encode()
		if err != nil {
			return err
		}
		_, err = w.config.Store.Add(ctx, w.config.Emitter.Queue(), queue.Addition{
			Items: items, Notes: []queue.Note{{Name: w.noteName(), Version: version, Body: body}},
		})
		if err == nil {
			w.reported(report, len(items), len(refused))
			return nil
		}
		if !errors.Is(err, queue.ErrNoteChanged) {
			return err
		}
	}
	return queue.ErrNoteChanged
}

func expired(now time.Time) func(owned) bool {
	return func(o owned) bool { return o.Until < now.Unix() }
}

// absorbed is what is left of edits.
type absorbed struct {
	report []Edit
	owned  int
}

// absorb makes n the note about the snapshot that edits lead to, and leaves out
// of the edits what is owned.
func (n *note) absorb(edits []Edit, to Snapshot, now time.Time) absorbed {
	n.Own = slices.DeleteFunc(n.Own, expired(now))
	was := n.Flags
	n.Flags = to.flags
	var left absorbed
	kept := map[string]mark{}
	for flag, mark := range was {
		if _, there := to.flags[flag]; !there && mark.on == hidden {
			kept[flag] = mark
		}
	}
	for _, edit := range edits {
		before, there := was[edit.Flag]
		after := to.flags[edit.Flag]
		i := slices.IndexFunc(n.Own, func(o owned) bool { return o.Flag == edit.Flag })
		if i < 0 {
			left.report = append(left.report, edit)
			continue
		}
		own := n.Own[i]
		gone := edit.Action == webhook.ActionDeleted
		reached := gone && !own.On || !gone && (after.on == positionOf(own.On) || after.on == unknown)
		only := there && (gone || after.on == unknown || before.rest == after.rest)
		if reached || there && before.on == positionOf(own.On) {
			n.Own = slices.Delete(n.Own, i, i+1) // it was made, or is overtaken
		}
		if !reached || !only {
			left.report = append(left.report, edit)
			continue
		}
		left.owned++
		if gone {
			before.on = hidden
			kept[edit.Flag] = before
		}
	}
	if len(kept) > 0 {
		n.keep(kept)
	}
	return left
}

// keep adds marks to a copy of the flags, which belong to the snapshot.
func (n *note) keep(marks map[string]mark) {
	flags := n.clone().Flags
	if flags == nil {
		flags = map[string]mark{}
	}
	for flag, mark := range marks {
		flags[flag] = mark
	}
	n.Flags = flags
}
