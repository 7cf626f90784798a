package gitlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// Log is what the history between two commits says of flags.
type Log struct {
	// Sets are the edits, a set for each commit that made any, in the order of the
	// branch.
	Sets []Set
	// Commits is how many commits there are between the two.
	Commits int
	// NewBranch says that Before was zeros only, so that nothing was looked for.
	NewBranch bool
	// Problems are documents that could not be read, oldest first. The last good
	// ones stood until the next that could.
	Problems []Problem
	// Broken is the last of the problems if it is that of After itself: what reads
	// the documents now may have no flags. Otherwise nil.
	Broken error
	// Moved are those paths that are called otherwise by now.
	Moved []Move
}

// Set is what one commit changed.
type Set struct {
	// Commit is its id.
	Commit string
	// Date is when it was committed, in UTC. It has microseconds only to tell
	// commits of the same second apart.
	Date time.Time
	// Forced says that the branch was pushed by force, and that the edits are all
	// that is between what it was and Commit.
	Forced bool
	// Edits are sorted by the flag.
	Edits []Edit
}

// Edit is what became of one flag.
type Edit struct {
	changes.Edit
	// Author is who made it.
	Author webhook.Author
}

// Problem is a commit whose documents could not be read.
type Problem struct {
	Commit string
	// Err names the document, and wraps a sentinel of package changes or of this
	// one.
	Err error
}

// Move is a path that has been renamed, in the repository's names.
type Move struct{ Path, Now string }

// Changes are the set's edits as Sentry takes them. Whoever reads the same
// history makes the same of it, to the ItemID, so that an emitter too takes each
// once, for as long as its store remembers.
func (s Set) Changes() []webhook.Change {
	list := make([]webhook.Change, len(s.Edits))
	for i, edit := range s.Edits {
		sum := sha256.Sum256([]byte(s.Commit + "\x00" + strconv.FormatBool(s.Forced) + "\x00" + string(edit.Action) + "\x00" + edit.Flag))
		list[i] = webhook.Change{
			Action:    edit.Action,
			ChangeID:  max(int64(binary.BigEndian.Uint64(sum[:])>>1), 1),
			ItemID:    "git-" + hex.EncodeToString(sum[:16]),
			CreatedAt: s.Date,
			CreatedBy: edit.Author,
			Flag:      edit.Flag,
		}
	}
	return list
}

// Changes are those of all sets, in their order.
func (l Log) Changes() []webhook.Change {
	var list []webhook.Change
	for _, set := range l.Sets {
		list = append(list, set.Changes()...)
	}
	return list
}

// Read finds what was changed between two commits. It fails only if the history
// cannot be read, with one of the errors of this package or git's own reason, and
// never shows credentials that git shows; documents that cannot be read are
// [Problem] values.
func Read(ctx context.Context, config Config) (Log, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return Log{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, config.Timeout, fmt.Errorf("%w: Timeout is %v", context.DeadlineExceeded, config.Timeout))
	defer cancel()
	r, err := open(ctx, config)
	if err != nil {
		return Log{}, err
	}
	defer r.close()
	paths := make([]string, len(config.Paths))
	for i, given := range config.Paths {
		if paths[i], err = r.inside(given); err != nil {
			return Log{}, err
		}
	}
	after, err := r.resolve("After", config.After)
	if err != nil || isZero(config.Before) {
		return Log{NewBranch: err == nil}, err
	}
	start, err := r.resolve("Before", config.Before)
	if err != nil {
		return Log{}, err
	}
	steps, err := r.line(ctx, start, after)
	if err != nil {
		return Log{}, err
	}
	names, err := r.follow(ctx, start, steps, paths)
	if err != nil {
		return Log{}, err
	}
	h := history{reader: reader{repository: r}, start: start, steps: steps, names: names, log: Log{Commits: len(steps)}}
	if err := h.read(ctx); err != nil {
		return Log{}, err
	}
	for i, now := range names[len(steps)] {
		if now != paths[i] {
			h.log.Moved = append(h.log.Moved, Move{paths[i], now})
		}
	}
	return h.log, nil
}

func quoted(name string) string { return strconv.Quote(name) }

// history is a line that is being read.
type history struct {
	reader
	start commit
	steps []step
	names trail
	log   Log
	found bool // any document
}

func (h *history) read(ctx context.Context) error {
	good, err := h.baseline(ctx)
	if err != nil {
		return err
	}
	h.found = good == nil || len(good.documents) > 0
	for i, s := range h.steps {
		is, err := h.reader.read(ctx, s.to.tree, h.names[i+1])
		switch {
		case err != nil:
			return err
		case is.err != nil:
			h.problem(s.to.id, is.err)
			continue
		}
		h.log.Broken, h.found = nil, h.found || len(is.documents) > 0
		if good != nil && good != is {
			if err := h.compare(ctx, i, good, is); err != nil {
				return err
			}
		}
		good = is
	}
	if !h.found && len(h.log.Problems) == 0 {
		return fmt.Errorf("%w: %q are folders without a file that ends in .json, .yaml, .yml or .toml, of which those within do not count", ErrNoDocument, h.config.Paths)
	}
	return nil
}

func (h *history) problem(commit string, err error) {
	h.log.Problems = append(h.log.Problems, Problem{commit, err})
	h.log.Broken = err
}

// maxBack is how many commits before the first one are looked at for documents
// that can be read.
const maxBack = 1000

// baseline returns the last documents that could be read before the first step,
// nil if there are none.
func (h *history) baseline(ctx context.Context) (*state, error) {
	at, names := h.start, h.names[0]
	for range maxBack {
		is, err := h.reader.read(ctx, at.tree, names)
		if err != nil || is.err == nil {
			return is, err
		}
		if at.id == h.start.id {
			h.problem(at.id, is.err)
		}
		parent, err := h.parent(at.id)
		if err == nil && parent.id == "" {
			return nil, nil
		}
		if errors.Is(err, errMissing) && h.shallow {
			return nil, fmt.Errorf("%w: the documents cannot be read in %s, and those before it are not here", ErrShallow, h.start.id)
		}
		if err != nil {
			return nil, err
		}
		earlier := make([]string, len(names))
		for i, name := range names {
			if earlier[i], err = h.before(ctx, parent, at, name); err != nil {
				return nil, err
			}
		}
		at, names = parent, earlier
	}
	return nil, nil
}

// compare adds the set of a step, if there is any difference.
func (h *history) compare(ctx context.Context, at int, was, is *state) error {
	found, err := changes.DiffDefinitions(was.definitions, is.definitions)
	s := h.steps[at]
	if err != nil {
		h.problem(s.to.id, err)
		return nil
	}
	if len(found) == 0 {
		return nil
	}
	author := s.to.author()
	if s.forced {
		author = webhook.Author{} // who pushed is nowhere
	}
	if author.ID == "" {
		author = webhook.Author{ID: h.config.Name, Type: webhook.AuthorName}
	}
	set := Set{Commit: s.to.id, Date: s.date, Forced: s.forced, Edits: make([]Edit, len(found))}
	for i, edit := range found {
		set.Edits[i] = Edit{edit, author}
	}
	if s.forced || h.config.MergedAuthor && len(s.to.parents) > 1 {
		if err := h.attribute(ctx, at, was, set.Edits); err != nil {
			return err
		}
	}
	h.log.Sets = append(h.log.Sets, set)
	return nil
}
