package gitlog

import (
	"context"
	"slices"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// attribute finds who wrote what a step brought in at once: for each flag, of the
// commits that did the same to it as the step the author of the last, or else of
// the commits that did anything to it. Where there is none, as when a conflict
// was resolved by a third way, the author stays. was is what stood before the step.
func (h *history) attribute(ctx context.Context, at int, was *state, edits []Edit) error {
	s := h.steps[at]
	args := []string{"--topo-order", "--no-merges", "--full-history", s.to.id, "^" + s.from.id, "--"}
	list, err := h.commits(ctx, append(args, both(h.names[at], h.names[at+1])...)...)
	if err != nil {
		return err
	}
	side := reader{repository: h.repository}
	sure := make([]bool, len(edits))
	any := make([]bool, len(edits))
	for _, c := range list {
		found, err := side.editsOf(ctx, c, was, h.names[at], h.names[at+1])
		if err != nil {
			return err
		}
		author := c.author()
		for i := range edits {
			action, did := found[edits[i].Flag]
			if !did || sure[i] || author.ID == "" {
				continue
			}
			if sure[i] = action == edits[i].Action; sure[i] || !any[i] {
				edits[i].Author, any[i] = author, true
			}
		}
		if !slices.Contains(sure, false) {
			break
		}
	}
	return nil
}

func both(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// editsOf returns what a commit did to which flags, compared with its parent, or
// with what was good if that cannot be read.
func (r *reader) editsOf(ctx context.Context, c commit, good *state, names ...[]string) (map[string]webhook.Action, error) {
	parent, err := r.parent(c.id)
	if err != nil || parent.id == "" {
		return nil, err
	}
	var states [2]*state
	for i, tree := range []string{parent.tree, c.tree} {
		there, err := r.namesAt(tree, names...)
		if err != nil {
			return nil, err
		}
		if states[i], err = r.read(ctx, tree, there); err != nil {
			return nil, err
		}
	}
	if states[0].err != nil {
		states[0] = good
	}
	if states[1].err != nil {
		return nil, nil
	}
	found, err := changes.DiffDefinitions(states[0].definitions, states[1].definitions)
	if err != nil {
		return nil, nil // too large to be compared
	}
	actions := make(map[string]webhook.Action, len(found))
	for _, edit := range found {
		actions[edit.Flag] = edit.Action
	}
	return actions, nil
}
