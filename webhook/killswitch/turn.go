package killswitch

import (
	"context"
	"errors"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// turnNote is the name of the note that says whose turn it is to write.
	turnNote = "turn"
	// turnLength is how long the others wait, and turnLook how often they look: a
	// process that has died with its turn must not hold up an answer.
	turnLength = 250 * time.Millisecond
	turnLook   = 5 * time.Millisecond
)

// turn keeps one process from losing to another for as long as that has much to
// write: the state is swapped as a whole, and whoever has just written it is the
// first to know it, and so to write it again. A process that has lost says so in a
// note, and the others let it go first. Only the writer touches it.
type turn struct {
	journal *journal
	held    int64 // the note's version while it is this process's turn; or 0
}

// await waits while it is another process's turn, and takes it after losses. It
// reports whether somebody else may have changed the state meanwhile.
func (t *turn) await(ctx context.Context, losses int) (waited bool, err error) {
	if t == nil || t.held > 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	j := t.journal
	for began := time.Now(); ; waited = true {
		note, err := j.store.Note(ctx, j.queue, turnNote)
		if err != nil {
			return waited, err
		}
		owner := string(note.Body)
		switch {
		case owner != "" && owner != j.owner && time.Since(began) < turnLength:
			if err := sleep(ctx, turnLook); err != nil {
				return waited, err
			}
			continue
		case losses > 0:
			err = t.set(ctx, note.Version, j.owner)
			if err == nil {
				t.held = note.Version + 1
			}
		case owner != "":
			err = t.set(ctx, note.Version, "") // it has died, or this process has
		}
		if !errors.Is(err, queue.ErrNoteChanged) {
			return waited, err
		}
	}
}

// end lets the others go on. Where that fails they do so by themselves.
func (t *turn) end(ctx context.Context) {
	if t == nil || t.held == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeCall)
	defer cancel()
	_ = t.set(ctx, t.held, "")
	t.held = 0
}

func (t *turn) set(ctx context.Context, version int64, owner string) error {
	note := queue.Note{Name: turnNote, Version: version, Body: []byte(owner)}
	_, err := t.journal.store.Add(ctx, t.journal.queue, queue.Addition{Note: &note})
	return err
}
