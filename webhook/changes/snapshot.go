package changes

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Snapshot is what is kept of definitions: for each flag its name, a digest of
// what can change its evaluation, and whether it is on. It holds no definition,
// so no secret and no personal data. Snapshots are comparable as long as they
// were made by the same format. The zero value has no flags.
type Snapshot struct {
	flags map[string]mark
}

// mark is what is kept of a flag.
type mark struct {
	on   position
	rest digest
}

// same reports whether a mark and a later one mean the same.
func (m mark) same(later mark) bool {
	return m.rest == later.rest && (m.on == later.on || m.on == hidden && later.on == off)
}

// Len is how many flags there are.
func (s Snapshot) Len() int { return len(s.flags) }

// Snapshot returns the snapshot of the definitions. It fails with
// [ErrUnreadable] if what they share refers to itself in circles so often that
// it cannot be written out.
func (d Definitions) Snapshot() (Snapshot, error) {
	var e encoder // one for all, for what they share
	s := Snapshot{flags: make(map[string]mark, len(d.flags))}
	for _, flag := range d.inOrder() {
		def := d.flags[flag]
		rest, err := def.digest(&e)
		if err != nil {
			return Snapshot{}, unreadable(err)
		}
		s.flags[flag] = mark{on: def.position(), rest: rest}
	}
	return s, nil
}

// Edit is what became of one flag between two snapshots, or two sets of
// definitions.
type Edit struct {
	Action webhook.Action
	Flag   string
	// Fields says what within the flag changed, in the order of the paths; only
	// for an updated flag, and only if both definitions are at hand. It is empty
	// when the flag changed by something that it refers to.
	Fields []Field
}

// Diff returns the flags that were created, updated and deleted between two
// snapshots, sorted by name.
func Diff(before, after Snapshot) []Edit {
	var edits []Edit
	for flag, is := range after.flags {
		was, there := before.flags[flag]
		switch {
		case !there:
			edits = append(edits, Edit{Action: webhook.ActionCreated, Flag: flag})
		case !was.same(is):
			edits = append(edits, Edit{Action: webhook.ActionUpdated, Flag: flag})
		}
	}
	for flag, was := range before.flags {
		if _, there := after.flags[flag]; !there && was.on != hidden {
			edits = append(edits, Edit{Action: webhook.ActionDeleted, Flag: flag})
		}
	}
	slices.SortFunc(edits, func(a, b Edit) int { return strings.Compare(a.Flag, b.Flag) })
	return edits
}

// DiffDefinitions returns what [Diff] does, and what within each updated flag
// changed. It fails as [Definitions.Snapshot] does.
func DiffDefinitions(before, after Definitions) ([]Edit, error) {
	was, err := before.Snapshot()
	if err != nil {
		return nil, err
	}
	is, err := after.Snapshot()
	if err != nil {
		return nil, err
	}
	edits := Diff(was, is)
	explain(edits, before, after)
	return edits, nil
}

// equal reports whether there is nothing between two snapshots.
func (s Snapshot) equal(other Snapshot) bool { return len(Diff(s, other)) == 0 }

// note is what a store keeps about a source.
type note struct {
	// Digest is the version of the rules by which digests are made.
	Digest int `json:"digest"`
	// Rules are those of the format.
	Rules string `json:"rules"`
	// Flags are the snapshot: a byte for the position, and the digest.
	Flags map[string]mark `json:"flags"`
	// Own are switches that somebody else reports.
	Own []owned `json:"own,omitempty"`
	// Lending is what is known of authors.
	Lending lending `json:"lending,omitzero"`
}

// positions are how a position is written.
const positions = "?-+h"

// MarshalText writes a mark as one character and the digest.
func (m mark) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode([]byte{positions[m.on]}, m.rest[:]), nil
}

var errNoMark = errors.New("changes: this is no mark of a flag")

// UnmarshalText reads what MarshalText writes.
func (m *mark) UnmarshalText(text []byte) error {
	if len(text) != 1+base64.RawURLEncoding.EncodedLen(digestSize) {
		return errNoMark
	}
	at := bytes.IndexByte([]byte(positions), text[0])
	if at < 0 {
		return errNoMark
	}
	m.on = position(at)
	if _, err := base64.RawURLEncoding.Decode(m.rest[:], text[1:]); err != nil {
		return errNoMark
	}
	return nil
}

func (n note) encode() ([]byte, error) {
	body, err := json.Marshal(n, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("changes: write the note: %w", err)
	}
	return body, nil
}

func decodeNote(body []byte) (note, error) {
	var n note
	if err := json.Unmarshal(body, &n); err != nil {
		return note{}, errors.New("changes: the note in the store cannot be read")
	}
	return n, nil
}

// clone is a copy that can be changed.
func (n note) clone() note {
	n.Flags, n.Own, n.Lending = maps.Clone(n.Flags), slices.Clone(n.Own), n.Lending.clone()
	return n
}
