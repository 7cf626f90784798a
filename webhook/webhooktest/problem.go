package webhooktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A problem is what is wrong with a value, in the shape of Django REST framework:
// messages, or problems by field, or problems by position. nil is none.
type problem any

// say is a message about a value as a whole.
func say(format string, args ...any) problem { return []string{fmt.Sprintf(format, args...)} }

// nonField is how an object or a list is refused that is none.
func nonField(format string, args ...any) problem {
	return map[string]problem{"non_field_errors": say(format, args...)}
}

// inList gives the problems of a list's items, nil for a good one, their shape
// before Django REST framework 3.18.
func inList(items []problem) problem {
	for i, item := range items {
		if item == nil {
			items[i] = struct{}{}
		}
	}
	return items
}

// byIndex is their shape from 3.18 on.
type byIndex []problem

func (items byIndex) MarshalJSON() ([]byte, error) {
	var members []string
	for i, item := range items {
		if item != nil {
			members = append(members, fmt.Sprintf(`"%d":%s`, i, encodeJSON(item)))
		}
	}
	return []byte("{" + strings.Join(members, ",") + "}"), nil
}

// encodeJSON encodes as Django REST framework does, without escapes for HTML. The
// fields of an object are in the order of their names, which is that of the rules.
func encodeJSON(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // what is made of text and numbers always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
