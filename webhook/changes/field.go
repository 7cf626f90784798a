package changes

import (
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Field is something within a flag that changed.
type Field struct {
	// Path is where it stands, as in "targeting" or "variants.on".
	Path string
	// Old and New show it before and after, as JSON, cut to 200 bytes; empty
	// when it was not there. They are parts of a definition, so they may be
	// personal data: show them to who may see the document.
	Old, New string
}

const (
	// shownValue is how much of a value is shown.
	shownValue = 200
	// shownFields is how many of them are told apart; the rest is one.
	shownFields = 50
	// shownLevels is how deep a path goes.
	shownLevels = 4
)

// explain fills in the fields of edits between two sets of definitions.
func explain(edits []Edit, before, after Definitions) {
	for i := range edits {
		if edits[i].Action == webhook.ActionUpdated {
			edits[i].Fields = fieldsBetween(before.flags[edits[i].Flag], after.flags[edits[i].Flag])
		}
	}
}

// enabledField is what tells whether a flag is on, whatever its format calls it.
const enabledField = "(on or off)"

func fieldsBetween(was, is definition) []Field {
	var fields []Field
	if was.on != is.on {
		fields = append(fields, Field{Path: enabledField, Old: was.on.String(), New: is.on.String()})
	}
	fields = appendFields(fields, nil, was.rest, is.rest)
	if was.beside.kind+is.beside.kind != nothing {
		fields = appendFields(fields, nil, was.beside.orEmpty(), is.beside.orEmpty())
	}
	if was.next == nil && is.next == nil {
		return fields
	}
	var before, after definition
	if was.next != nil {
		before = *was.next
	}
	if is.next != nil {
		after = *is.next
	}
	for _, f := range fieldsBetween(before, after) {
		fields = append(fields, Field{Path: strings.TrimSuffix("next definition: "+f.Path, ": "), Old: f.Old, New: f.New})
	}
	return fields
}

func (p position) String() string {
	switch p {
	case off, hidden:
		return "off"
	case on:
		return "on"
	}
	return ""
}

// appendFields adds the differences between two values. Objects are looked into,
// down to a few levels; JsonLogic and lists are shown as a whole.
func appendFields(fields []Field, path []string, was, is value) []Field {
	if len(fields) >= shownFields || was.equal(is) {
		return fields
	}
	if was.kind != object || is.kind != object || len(path) == shownLevels || isLogic(path) {
		return append(fields, Field{Path: strings.Join(path, "."), Old: was.shown(), New: is.shown()})
	}
	// Both are sorted by name.
	i, j := 0, 0
	for i < len(was.of.names) || j < len(is.of.names) {
		switch {
		case j == len(is.of.names) || i < len(was.of.names) && was.of.names[i] < is.of.names[j]:
			fields = appendFields(fields, append(path, was.of.names[i]), was.of.values[i], value{})
			i++
		case i == len(was.of.names) || was.of.names[i] > is.of.names[j]:
			fields = appendFields(fields, append(path, is.of.names[j]), value{}, is.of.values[j])
			j++
		default:
			fields = appendFields(fields, append(path, is.of.names[j]), was.of.values[i], is.of.values[j])
			i, j = i+1, j+1
		}
	}
	return fields
}

// isLogic reports whether a path leads to a flag's rules, of which a part means
// nothing.
func isLogic(path []string) bool { return len(path) > 0 && path[len(path)-1] == "targeting" }

func (v value) orEmpty() value {
	if v.kind == nothing {
		return value{kind: object, of: &composite{}}
	}
	return v
}

func (v value) shown() string {
	if v.kind == nothing {
		return ""
	}
	return v.show(shownValue)
}
