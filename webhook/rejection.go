package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Fields are Sentry's objections by the wire name of the field, as "flag" or
// "created_by.id". What is said of an object as a whole stands under
// "non_field_errors", of a field that Sentry is not known to have under
// "another field".
//
// An objection is one that Sentry is known to make, with its numbers and without
// the values that it quotes: `"…" is not a valid choice.` Of any other only its
// length is kept, since it may quote the change. There are at most ten for each
// field.
type Fields map[string][]string

// String returns the objections on one line, ordered by field.
func (f Fields) String() string {
	parts := make([]string, 0, len(f))
	for _, name := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, name+": "+strings.Join(f[name], " "))
	}
	return strings.Join(parts, "; ")
}

// RejectionError is Sentry's refusal of a request under status 200: one change
// that breaks a rule makes it store none. It wraps [ErrRejected].
type RejectionError struct {
	// Changes holds what Sentry says of each refused change, by its position
	// in the request, which is always that of a change that was sent. The other
	// changes were in order.
	Changes map[int]Fields
	// Request holds what Sentry says of the request as a whole, as "data" or
	// "meta.version".
	Request Fields
}

const (
	// shownChanges is how many refused changes an error text names.
	shownChanges = 5
	// shownText bounds, in code points, what it shows of each.
	shownText = 300
)

// Error names the refused changes, the first five of them in full.
func (e *RejectionError) Error() string {
	var b strings.Builder
	b.WriteString(ErrRejected.Error())
	if len(e.Request) > 0 {
		b.WriteString(": " + clean(e.Request.String(), shownText))
	}
	for n, i := range slices.Sorted(maps.Keys(e.Changes)) {
		if n == shownChanges {
			fmt.Fprintf(&b, "; and %d more", len(e.Changes)-n)
			break
		}
		separator := ";"
		if n == 0 {
			separator = ":"
		}
		fmt.Fprintf(&b, "%s change %d: %s", separator, i, clean(e.Changes[i].String(), shownText))
	}
	return b.String()
}

// Unwrap returns [ErrRejected].
func (e *RejectionError) Unwrap() error { return ErrRejected }

const (
	nonFieldErrors = "non_field_errors"
	// maxObjections bounds how many of Sentry's objections to one field are kept.
	maxObjections = 10
	// maxNesting is how deep Sentry nests errors: data, position, created_by, id.
	maxNesting = 4
)

// parseRejection reads the body of a 200 to n changes as the errors of Sentry's serializers,
// and returns nil if it is anything else.
//
// The errors of the changes come in two shapes: a list with {} in the place of
// each good change (Django REST framework up to 3.17), or an object keyed by
// position (from 3.18).
func parseRejection(body []byte, n int) *RejectionError {
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil || len(top) == 0 {
		return nil
	}
	rejection := &RejectionError{Changes: map[int]Fields{}, Request: Fields{}}
	for key, value := range top {
		ok := false
		switch key {
		case "data":
			ok = rejection.readData(value, n)
		case "meta", nonFieldErrors:
			ok = collect(rejection.Request, key, value, maxNesting)
		}
		if !ok {
			return nil
		}
	}
	if len(rejection.Changes) == 0 && len(rejection.Request) == 0 {
		return nil
	}
	return rejection
}

// readData reads the errors of the list of n changes.
func (e *RejectionError) readData(value json.RawMessage, n int) bool {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) == nil {
		if texts(value) != nil {
			return collect(e.Request, "data", value, maxNesting)
		}
		for i, item := range list {
			if i >= n || !e.readChange(i, item) {
				return false
			}
		}
		return true
	}
	var keyed map[string]json.RawMessage
	if json.Unmarshal(value, &keyed) != nil {
		return false
	}
	for key, item := range keyed {
		if key == nonFieldErrors {
			if !collect(e.Request, "data."+key, item, 0) {
				return false
			}
			continue
		}
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= n || strconv.Itoa(i) != key || !e.readChange(i, item) {
			return false
		}
	}
	return true
}

// readChange reads the errors of one change; none, an empty object, means that
// the change was in order.
func (e *RejectionError) readChange(i int, item json.RawMessage) bool {
	fields := Fields{}
	if texts(item) != nil {
		fields[nonFieldErrors] = texts(item)
	} else if !collect(fields, "", item, maxNesting) {
		return false
	}
	if len(fields) > 0 {
		e.Changes[i] = fields
	}
	return true
}

// collect adds to fields what value, a list of objections or an object of them,
// says of the field called name, and reports whether it is one of the two.
func collect(fields Fields, name string, value json.RawMessage, depth int) bool {
	if objections := texts(value); objections != nil {
		all := append(fields[name], objections...)
		fields[name] = all[:min(len(all), maxObjections)]
		return true
	}
	var object map[string]json.RawMessage
	if depth == 0 || !isObject(value) || json.Unmarshal(value, &object) != nil {
		return false
	}
	for key, inner := range object {
		key = fieldName(key)
		if name != "" {
			key = name + "." + key
		}
		if !collect(fields, key, inner, depth-1) {
			return false
		}
	}
	return true
}

// texts returns the objections, the first few, if value is a list of at least
// one of them and of nothing else, and otherwise nil.
func texts(value json.RawMessage) []string {
	var list []*string
	if isObject(value) || json.Unmarshal(value, &list) != nil {
		return nil
	}
	if slices.Contains(list, nil) {
		return nil
	}
	var objections []string
	for _, s := range list[:min(len(list), maxObjections)] {
		objections = append(objections, objection(*s))
	}
	return objections
}

// isObject tells an object from null, which decodes into a map as well.
func isObject(value json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimSpace(value), []byte("{"))
}
