package webhooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// maxAuthorID is the longest created_by.id in code points.
const maxAuthorID = 100

// entry is a change that keeps the rules. Its id is of any length.
type entry struct {
	changeID string
	change   webhook.Change
}

// parseJSON reads a whole body: UTF-8, strict JSON, the last of a repeated key.
// A number stays as it is written. The words of its errors are not Sentry's.
func parseJSON(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF { //nolint:errorlint // Token returns it bare
		return nil, errors.New("extra data")
	}
	return v, nil
}

// rules judge a payload as the serializers of Sentry's generic provider do
// (src/sentry/flags/providers.py), on top of Django REST framework.
type rules struct {
	maxFlag int
	shape   ErrorShape
}

// payload returns the changes of a body, or what is wrong with it.
func (r rules) payload(v any) ([]entry, problem) {
	if v == nil {
		return nil, nonField("No data provided")
	}
	f := newFields(v)
	entries := read(f, "data", r.data)
	read(f, "meta", meta)
	return entries, f.problem()
}

func meta(v any) (struct{}, problem) {
	f := newFields(v)
	read(f, "version", integer)
	return struct{}{}, f.problem()
}

func (r rules) data(v any) ([]entry, problem) {
	list, ok := v.([]any)
	if !ok {
		return nil, nonField("Expected a list of items but got type \"%s\".", typeName(v))
	}
	entries, problems, bad := make([]entry, len(list)), make([]problem, len(list)), false
	for i, item := range list {
		entries[i], problems[i] = r.item(item)
		bad = bad || problems[i] != nil
	}
	switch {
	case !bad:
		return entries, nil
	case r.shape == ErrorsInList:
		return nil, inList(problems)
	}
	return nil, byIndex(problems)
}

func (r rules) item(v any) (e entry, wrong problem) {
	if v == nil {
		return e, say(isNull)
	}
	f := newFields(v)
	id := read(f, "change_id", integer)
	e.change = webhook.Change{
		Action:    webhook.Action(read(f, "action", choice("created", "updated", "deleted"))),
		CreatedAt: read(f, "created_at", dateTime),
		CreatedBy: read(f, "created_by", author),
		Flag:      read(f, "flag", text(r.maxFlag)),
	}
	if wrong = f.problem(); wrong != nil {
		return e, wrong
	}
	e.changeID = id.String()
	if id.IsInt64() {
		e.change.ChangeID = id.Int64()
	}
	return e, nil
}

func author(v any) (webhook.Author, problem) {
	f := newFields(v)
	return webhook.Author{
		ID:   read(f, "id", text(maxAuthorID)),
		Type: webhook.AuthorType(read(f, "type", choice("email", "id", "name"))),
	}, f.problem()
}

// fields are those of an object, and what is wrong with them.
type fields struct {
	object   map[string]any // nil if it is none
	problems map[string]problem
}

func newFields(v any) *fields {
	object, ok := v.(map[string]any)
	if !ok {
		return &fields{problems: map[string]problem{"non_field_errors": say("Invalid data. Expected a dictionary, but got %s.", typeName(v))}}
	}
	return &fields{object: object, problems: map[string]problem{}}
}

func (f *fields) problem() problem {
	if len(f.problems) == 0 {
		return nil
	}
	return f.problems
}

const isNull = "This field may not be null."

// read reads a required field that may not be null.
func read[T any](f *fields, name string, rule func(any) (T, problem)) (result T) {
	if f.object == nil {
		return result
	}
	var wrong problem
	switch v, there := f.object[name]; {
	case !there:
		wrong = say("This field is required.")
	case v == nil:
		wrong = say(isNull)
	default:
		result, wrong = rule(v)
	}
	if wrong != nil {
		f.problems[name] = wrong
	}
	return result
}

func choice(choices ...string) func(any) (string, problem) {
	return func(v any) (string, problem) {
		s := str(v)
		if !slices.Contains(choices, s) {
			return "", say("\"%s\" is not a valid choice.", s)
		}
		return s, nil
	}
}

// strip takes away what Python's str.strip does: U+001C to U+001F as well.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f })
}

// text is a CharField: trimmed, numbers taken as text.
func text(limit int) func(any) (string, problem) {
	return func(v any) (string, problem) {
		switch v.(type) {
		case string, json.Number:
		default:
			return "", say("Not a valid string.")
		}
		s := strip(str(v))
		var wrong []string
		if s == "" {
			wrong = append(wrong, "This field may not be blank.")
		}
		if utf8.RuneCountInString(s) > limit {
			wrong = append(wrong, fmt.Sprintf("Ensure this field has no more than %d characters.", limit))
		}
		if strings.ContainsRune(s, 0) {
			wrong = append(wrong, "Null characters are not allowed.")
		}
		if wrong != nil {
			return "", wrong
		}
		return s, nil
	}
}

// integer is an IntegerField: a number or a string of digits, of any length, of
// which a fraction of zeros is cut off.
func integer(v any) (*big.Int, problem) {
	s := strings.TrimSpace(str(v))
	if whole, fraction, _ := strings.Cut(s, "."); strings.Trim(fraction, "0") == "" {
		s = whole
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, say("A valid integer is required.")
	}
	return n, nil
}

// timeLayouts are the forms of a time that senders make, with and without a
// zone. (Sentry takes odder ones, too: weeks, no colons.)
var timeLayouts = func() (layouts []string) {
	for _, clock := range []string{"T15:04:05", " 15:04:05", "T15:04", " 15:04"} {
		for _, zone := range []string{"Z07:00", "-0700", "-07", ""} {
			layouts = append(layouts, "2006-01-02"+clock+zone)
		}
	}
	return append(layouts, time.DateOnly)
}()

// dateTime is a DateTimeField: to the microsecond; without a zone it is in UTC.
func dateTime(v any) (time.Time, problem) {
	s, _ := v.(string)
	t, ok := parseTime(s)
	if !ok {
		return t, say("Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].")
	}
	return t, nil
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return t.UTC().Truncate(time.Microsecond), true
		}
	}
	return time.Time{}, false
}

// typeName is what Python calls the type of v.
func typeName(v any) string {
	switch v := v.(type) {
	case bool:
		return "bool"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float"
		}
		return "int"
	case string:
		return "str"
	case []any:
		return "list"
	}
	return "dict"
}

// str is Python's str of a scalar. Of a list or an object, which no sender puts
// in the place of a text, it is the JSON.
func str(v any) string {
	switch v {
	case true:
		return "True"
	case false:
		return "False"
	}
	if s, ok := v.(string); ok {
		return s
	}
	return encodeJSON(v)
}
