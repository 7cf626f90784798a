package gitlog

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
)

// trail is what the paths are called at each commit of a line: first at its
// start, and then after each step.
type trail [][]string

// follow finds the names of the paths through the steps. They are those at the
// end of the line, or else those that were there before.
func (r *repository) follow(ctx context.Context, start commit, steps []step, paths []string) (trail, error) {
	names := make(trail, len(steps)+1)
	for i := range names {
		names[i] = make([]string, len(paths))
	}
	for at, name := range paths {
		if err := r.followOne(ctx, start, steps, names, at, name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (r *repository) followOne(ctx context.Context, start commit, steps []step, names trail, at int, name string) error {
	last := len(steps)
	there, err := r.exists(treeAfter(start, steps, last), name)
	if err != nil {
		return err
	}
	names[last][at] = name
	lost := -1 // the step by which it went away, for good
	found := there
	for i := last; i > 0; i-- {
		s := steps[i-1]
		before, err := r.before(ctx, s.from, s.to, names[i][at])
		if err != nil {
			return err
		}
		names[i-1][at] = before
		was, err := r.exists(s.from.tree, before)
		if err != nil {
			return err
		}
		if was && !found && lost < 0 {
			lost = i - 1
		}
		found = found || was
	}
	if !found {
		return &nowhereError{name}
	}
	if there || lost < 0 {
		return nil
	}
	for i := lost; i < last; i++ {
		if names[i+1][at], err = r.after(ctx, steps[i].from, steps[i].to, names[i][at]); err != nil {
			return err
		}
	}
	return nil
}

// nowhereError is a path that is in no commit.
type nowhereError struct{ name string }

func (e *nowhereError) Error() string { return ErrNoDocument.Error() + ": " + quoted(e.name) }
func (e *nowhereError) Unwrap() error { return ErrNoDocument }

func treeAfter(start commit, steps []step, n int) string {
	if n == 0 {
		return start.tree
	}
	return steps[n-1].to.tree
}

// exists reports whether there is something under a name.
func (r *repository) exists(tree, name string) (bool, error) {
	found, err := r.at(tree, name)
	if errors.Is(err, ErrSubmodule) || errors.Is(err, ErrOutside) {
		return true, nil
	}
	return found.mode != "", err
}

// before returns what a file or a folder of a commit was called in the one
// before.
func (r *repository) before(ctx context.Context, from, to commit, name string) (string, error) {
	return r.otherName(ctx, to, from, name, false)
}

// after returns what a file or a folder of a commit is called in the next one.
func (r *repository) after(ctx context.Context, from, to commit, name string) (string, error) {
	return r.otherName(ctx, from, to, name, true)
}

func (r *repository) otherName(ctx context.Context, here, there commit, name string, forward bool) (string, error) {
	if here.tree == there.tree {
		return name, nil
	}
	stays, err := r.exists(there.tree, name)
	if err != nil || stays {
		return name, err
	}
	found, err := r.at(here.tree, name)
	if err != nil || found.mode == "" {
		if errors.Is(err, ErrSubmodule) || errors.Is(err, ErrOutside) {
			err = nil
		}
		return name, err
	}
	from, to := there, here
	if forward {
		from, to = here, there
	}
	moves, err := r.moves(ctx, from.id, to.id)
	if err != nil {
		return "", err
	}
	if !forward {
		moves = moves.reversed()
	}
	if found.mode == modeTree {
		other := moves.folder(name)
		gone, err := r.exists(here.tree, other)
		if err != nil || gone {
			return name, err // it is another folder, which stays
		}
		return other, nil
	}
	return moves.file(name), nil
}

// moves are the files that one commit has and another has not.
type moves struct {
	renamed     [][2]string // from, to
	gone, fresh []string
}

func (m moves) reversed() moves {
	renamed := make([][2]string, len(m.renamed))
	for i, pair := range m.renamed {
		renamed[i] = [2]string{pair[1], pair[0]}
	}
	return moves{renamed, m.fresh, m.gone}
}

// file returns where a file has gone: what git takes for a rename, or the only
// document beside it of the same name that is written in another language.
func (m moves) file(name string) string {
	for _, pair := range m.renamed {
		if pair[0] == name {
			return pair[1]
		}
	}
	stem := strings.TrimSuffix(name, path.Ext(name))
	var others []string
	for _, other := range m.fresh {
		if isDocument(path.Base(other)) && strings.TrimSuffix(other, path.Ext(other)) == stem {
			others = append(others, other)
		}
	}
	if len(others) == 1 && isDocument(path.Base(name)) {
		return others[0]
	}
	return name
}

// folder returns where a folder has gone, by its documents.
func (m moves) folder(name string) string {
	for _, pair := range m.renamed {
		file, within := strings.CutPrefix(pair[0], name+"/")
		if within && isDocument(file) && !strings.Contains(file, "/") && path.Base(pair[1]) == file {
			return path.Dir(pair[1])
		}
	}
	return name
}

// moves asks git what was renamed, added and deleted between two commits.
func (r *repository) moves(ctx context.Context, from, to string) (moves, error) {
	out, err := r.run(ctx, "diff-tree", "-r", "-z", "--raw", "--no-ext-diff", "--no-textconv", "--find-renames=50%", "-l1000", from, to)
	if err != nil {
		return moves{}, err
	}
	var m moves
	fields := strings.Split(string(out), "\x00")
	for len(fields) >= 2 {
		status := fields[0][strings.LastIndexByte(fields[0], ' ')+1:]
		used := 2
		switch {
		case strings.HasPrefix(status, "R") && len(fields) > 2:
			m.renamed = append(m.renamed, [2]string{fields[1], fields[2]})
			used = 3
		case status == "A":
			m.fresh = append(m.fresh, fields[1])
		case status == "D":
			m.gone = append(m.gone, fields[1])
		}
		fields = fields[used:]
	}
	return m, nil
}

// namesAt returns the names of both sets that a tree has.
func (r *repository) namesAt(tree string, sets ...[]string) ([]string, error) {
	var names []string
	for _, set := range sets {
		for _, name := range set {
			there, err := r.exists(tree, name)
			if err != nil {
				return nil, err
			}
			if there && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
