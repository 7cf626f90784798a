package gitlog

import (
	"context"
	"slices"
	"time"
)

// step is a commit on the line, and the one before it there.
type step struct {
	from, to commit
	date     time.Time
	forced   bool // from is not in the history of to
}

// line returns the steps from one commit to another.
func (r *repository) line(ctx context.Context, start, end commit) ([]step, error) {
	connected, err := r.isAncestor(ctx, start.id, end.id)
	if err != nil {
		return nil, err
	}
	if !connected {
		if r.shallow {
			// Whether it was pushed by force nobody can tell here.
			return nil, ErrShallow
		}
		return r.forced(start, end)
	}
	list, err := r.lineTo(ctx, start.id, end.id)
	if err != nil {
		return nil, err
	}
	return r.dated(start, list)
}

// lineTo lists the commits after one on the way to another, which has it in its
// history: along the first parents, except where these lead past it.
func (r *repository) lineTo(ctx context.Context, before, after string) ([]commit, error) {
	list, err := r.commits(ctx, "--first-parent", "--reverse", after, "^"+before)
	if err != nil || len(list) == 0 || slices.Contains(list[0].parents[:min(1, len(list[0].parents))], before) {
		return list, err
	}
	if cut, err := r.isCut(list[0].id); err != nil || cut {
		return nil, cmpErr(err, ErrShallow)
	}
	// The oldest commit of these that has the first one in its history is the
	// merge by which it came in.
	at, err := r.firstAfter(ctx, before, list)
	if err != nil {
		return nil, err
	}
	merge := list[at]
	for _, parent := range merge.parents[min(1, len(merge.parents)):] {
		through, err := r.isAncestor(ctx, before, parent)
		if err != nil {
			return nil, err
		}
		if !through {
			continue
		}
		until, err := r.lineTo(ctx, before, parent)
		return append(until, list[at:]...), err
	}
	return nil, ErrShallow // its parents are not all here
}

// firstAfter returns the place of the first commit of a line that has another
// one in its history; so have all that follow.
func (r *repository) firstAfter(ctx context.Context, before string, list []commit) (int, error) {
	low, high := 0, len(list)-1
	for low < high {
		middle := (low + high) / 2
		has, err := r.isAncestor(ctx, before, list[middle].id)
		if err != nil {
			return 0, err
		}
		if has {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// dated makes steps of a line. A commit of the same second as the one before it
// is a microsecond later, or else Sentry would show them in any order, and one
// that changes a flag again could not be told from the first.
func (r *repository) dated(start commit, list []commit) ([]step, error) {
	tick, steps := 0, make([]step, len(list))
	if len(list) > 0 && list[0].second == start.second {
		var err error
		if tick, err = r.tick(start); err != nil {
			return nil, err
		}
	}
	for i, c := range list {
		from := start
		if i > 0 {
			from = list[i-1]
		}
		if c.second == from.second {
			tick++
		} else {
			tick = 0
		}
		steps[i] = step{from: from, to: c, date: ticked(c.second, tick)}
	}
	return steps, nil
}

// forced is the one step to a commit that does not have the other one in its
// history. It was made after both of them.
func (r *repository) forced(start, end commit) ([]step, error) {
	date, err := r.dateOf(end)
	if err != nil {
		return nil, err
	}
	if start.second >= end.second {
		other, err := r.dateOf(start)
		if err != nil {
			return nil, err
		}
		if !other.Before(date) {
			date = other.Add(time.Microsecond)
		}
	}
	return []step{{from: start, to: end, date: date, forced: true}}, nil
}
