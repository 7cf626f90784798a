package gitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// commit is what is needed of one. Its parents are those that this copy of the
// repository has.
type commit struct {
	id, tree string
	parents  []string
	second   int64 // when it was committed
	email    string
	name     string
}

// commitFormat has a line for each field of a commit, in UTF-8.
const commitFormat = "--format=%H%n%T%n%P%n%ct%n%ae%n%an"

// commits lists commits as git rev-list chooses them.
func (r *repository) commits(ctx context.Context, args ...string) ([]commit, error) {
	out, err := r.run(ctx, append([]string{"rev-list", "--encoding=UTF-8", commitFormat}, args...)...)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(out), "\n")
	list := make([]commit, 0, len(lines)/7)
	for ; len(lines) >= 7; lines = lines[7:] { // the first is "commit" and the id
		second, err := strconv.ParseInt(lines[4], 10, 64)
		if err != nil {
			return nil, dateless(lines[1])
		}
		list = append(list, commit{
			id: lines[1], tree: lines[2], parents: strings.Fields(lines[3]), second: second,
			email: strings.TrimSpace(lines[5]), name: strings.TrimSpace(lines[6]),
		})
	}
	return list, nil
}

// noDate stands for a time of a commit that cannot be read.
const noDate = math.MinInt64

func dateless(id string) error {
	return fmt.Errorf("gitlog: the commit %s has no date that can be read", id)
}

// parent returns the first parent of a commit, its tree and its time, as it was
// committed, and "" if it has none. In a shallow copy it may not be there.
func (r *repository) parent(id string) (parent commit, err error) {
	content, err := r.object(id, "commit", maxObject)
	if err != nil {
		return commit{}, err
	}
	header, _, _ := bytes.Cut(content, []byte("\n\n"))
	for line := range strings.Lines(string(header)) {
		if first, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "parent "); ok {
			return r.raw(first)
		}
	}
	return commit{}, nil
}

// raw reads the id, the tree and the time of the commit of that name.
func (r *repository) raw(name string) (commit, error) {
	id, content, err := r.named(name, "commit", maxObject)
	if err != nil {
		return commit{}, err
	}
	c := commit{id: id, second: noDate}
	header, _, _ := bytes.Cut(content, []byte("\n\n"))
	for line := range strings.Lines(string(header)) {
		line = strings.TrimSuffix(line, "\n")
		if tree, ok := strings.CutPrefix(line, "tree "); ok {
			c.tree = tree
		}
		if committer, ok := strings.CutPrefix(line, "committer "); ok {
			fields := strings.Fields(committer[strings.LastIndexByte(committer, '>')+1:])
			if second, err := strconv.ParseInt(append(fields, "")[0], 10, 64); err == nil {
				c.second = second
			}
		}
	}
	return c, nil
}

// isCut reports whether a commit has parents that this copy has not.
func (r *repository) isCut(id string) (bool, error) {
	if !r.shallow {
		return false, nil
	}
	parent, err := r.parent(id)
	if errors.Is(err, errMissing) {
		return true, nil
	}
	return parent.id != "", err
}

// author is who made a commit, as Sentry takes it: the e-mail address, or else
// the name. None is invented, and none is cut, for that would be another one.
func (c commit) author() webhook.Author {
	usable := func(s string) bool {
		return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= webhook.MaxAuthorID && !strings.ContainsFunc(s, unicode.IsControl)
	}
	switch {
	case usable(c.email) && strings.Contains(c.email, "@"):
		return webhook.Author{ID: c.email, Type: webhook.AuthorEmail}
	case c.name != "":
		name := []rune(strings.ToValidUTF8(c.name, "\uFFFD"))
		return webhook.Author{ID: string(name[:min(len(name), webhook.MaxAuthorID)]), Type: webhook.AuthorName}
	case usable(c.email):
		return webhook.Author{ID: c.email, Type: webhook.AuthorName}
	}
	return webhook.Author{}
}

// maxTick is how many commits in a row are looked at for the same second.
const maxTick = 1000

// tick is how many commits before one on its line have the same second, in a
// row.
func (r *repository) tick(c commit) (ticks int, err error) {
	for at := c; ticks < maxTick; ticks++ {
		at, err = r.parent(at.id)
		if errors.Is(err, errMissing) && r.shallow {
			// How many come before it would decide the date, which has to be the same in
			// a copy that has them.
			return 0, ErrShallow
		}
		if err != nil {
			return 0, err
		}
		if at.id == "" || at.second != c.second {
			break
		}
	}
	return ticks, nil
}

// dateOf is when a commit was committed, as [Set.Date] has it.
func (r *repository) dateOf(c commit) (time.Time, error) {
	ticks, err := r.tick(c)
	return ticked(c.second, ticks), err
}

func ticked(second int64, ticks int) time.Time {
	return time.Unix(second, int64(ticks)*int64(time.Microsecond)).UTC()
}
