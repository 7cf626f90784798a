package webhooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Messages of Django REST framework.
const (
	isRequired    = "This field is required."
	isNull        = "This field may not be null."
	isBlank       = "This field may not be blank."
	isNoInteger   = "A valid integer is required."
	isNoDateTime  = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
	isOutOfRange  = "Datetime value out of range."
	isNoString    = "Not a valid string."
	hasNull       = "Null characters are not allowed."
	isTooLong     = "Ensure this field has no more than %d characters."
	isNoChoice    = "\"%s\" is not a valid choice."
	isNoObject    = "Invalid data. Expected a dictionary, but got %s."
	isNoList      = "Expected a list of items but got type \"%s\"."
	isTooLongText = "String value too large."
)

const (
	// maxAuthorID is the longest created_by.id in code points.
	maxAuthorID = 100
	// maxIntString is the longest string, in code points, that is tried as a
	// number.
	maxIntString = 1000
)

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
}

// payload returns the changes of a body, or what is wrong with it.
func (r rules) payload(v any) ([]entry, problem) {
	if v == nil {
		return nil, nonField("No data provided")
	}
	var f fields
	o, p := asObject(v)
	if p != nil {
		return nil, p
	}
	entries := field(&f, o, "data", r.data)
	field(&f, o, "meta", r.meta)
	return entries, f.problem()
}

func (r rules) meta(v any) (struct{}, problem) {
	var f fields
	o, p := asObject(v)
	if p != nil {
		return struct{}{}, p
	}
	field(&f, o, "version", integer)
	return struct{}{}, f.problem()
}

func (r rules) data(v any) ([]entry, problem) {
	list, ok := v.([]any)
	if !ok {
		return nil, nonField(fmt.Sprintf(isNoList, typeName(v)))
	}
	var entries []entry
	problems, bad := make(itemProblems, len(list)), false
	for i, item := range list {
		e, p := r.item(item)
		problems[i], bad = p, bad || p != nil
		entries = append(entries, e)
	}
	if bad {
		return nil, problems
	}
	return entries, nil
}

func (r rules) item(v any) (entry, problem) {
	if v == nil {
		return entry{}, messages{isNull}
	}
	var f fields
	o, p := asObject(v)
	if p != nil {
		return entry{}, p
	}
	var e entry
	e.change.Action = webhook.Action(field(&f, o, "action", choice("created", "updated", "deleted")))
	e.changeID = field(&f, o, "change_id", integer)
	e.change.CreatedAt = field(&f, o, "created_at", dateTime)
	e.change.CreatedBy = field(&f, o, "created_by", r.author)
	e.change.Flag = field(&f, o, "flag", text(r.maxFlag))
	e.change.ChangeID, _ = strconv.ParseInt(e.changeID, 10, 64)
	if strconv.FormatInt(e.change.ChangeID, 10) != e.changeID {
		e.change.ChangeID = 0 // it does not fit
	}
	return e, f.problem()
}

func (r rules) author(v any) (webhook.Author, problem) {
	var f fields
	o, p := asObject(v)
	if p != nil {
		return webhook.Author{}, p
	}
	author := webhook.Author{
		ID:   field(&f, o, "id", text(maxAuthorID)),
		Type: webhook.AuthorType(field(&f, o, "type", choice("email", "id", "name"))),
	}
	return author, f.problem()
}

func asObject(v any) (map[string]any, problem) {
	if o, ok := v.(map[string]any); ok {
		return o, nil
	}
	return nil, nonField(fmt.Sprintf(isNoObject, typeName(v)))
}

// fields collects what is wrong with the fields of an object.
type fields []fieldProblem

func (f fields) problem() problem {
	if len(f) == 0 {
		return nil
	}
	return fieldProblems(f)
}

// field reads a required field that may not be null.
func field[T any](f *fields, o map[string]any, name string, read func(any) (T, problem)) T {
	var result T
	var p problem
	switch v, there := o[name]; {
	case !there:
		p = messages{isRequired}
	case v == nil:
		p = messages{isNull}
	default:
		result, p = read(v)
	}
	if p != nil {
		*f = append(*f, fieldProblem{field: name, problem: p})
	}
	return result
}

func choice(choices ...string) func(any) (string, problem) {
	return func(v any) (string, problem) {
		s := str(v)
		if !slices.Contains(choices, s) {
			return "", messages{fmt.Sprintf(isNoChoice, s)}
		}
		return s, nil
	}
}

// text is a CharField: trimmed, numbers taken as text.
func text(limit int) func(any) (string, problem) {
	return func(v any) (string, problem) {
		s := strip(str(v))
		switch v.(type) {
		case string, json.Number:
		default:
			return "", messages{isNoString}
		}
		if s == "" {
			return "", messages{isBlank}
		}
		var m messages
		if utf8.RuneCountInString(s) > limit {
			m = append(m, fmt.Sprintf(isTooLong, limit))
		}
		if strings.ContainsRune(s, 0) {
			m = append(m, hasNull)
		}
		if m != nil {
			return "", m
		}
		return s, nil
	}
}

// integer is an IntegerField: a number or a string of digits, of any length, of
// which a fraction of zeros is cut off. It returns the digits.
func integer(v any) (string, problem) {
	s := str(v)
	if _, isText := v.(string); isText && utf8.RuneCountInString(s) > maxIntString {
		return "", messages{isTooLongText}
	}
	s = strip(s)
	if whole, fraction, found := strings.Cut(s, "."); found && strings.Trim(fraction, "0") == "" {
		s = whole
	}
	digits, negative := strings.CutPrefix(s, "-")
	if !negative {
		digits = strings.TrimPrefix(digits, "+")
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", messages{isNoInteger}
	}
	digits = strings.TrimLeft(digits[:len(digits)-1], "0") + digits[len(digits)-1:]
	if negative && digits != "0" {
		digits = "-" + digits
	}
	return digits, nil
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
	switch {
	case !ok:
		return time.Time{}, messages{isNoDateTime}
	case t.Year() < 1 || t.Year() > 9999:
		return time.Time{}, messages{isOutOfRange}
	}
	return t, nil
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		_, offset := t.Zone()
		if t.Year() < 1 || max(offset, -offset) >= 24*60*60 {
			return time.Time{}, false
		}
		return t.UTC().Truncate(time.Microsecond), true
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
	case map[string]any:
		return "dict"
	default:
		return "NoneType"
	}
}

// str is Python's str of a scalar. Of a list or an object, which no sender puts
// in the place of a text, it is the JSON.
func str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "True"
		}
		return "False"
	}
	encoded, _ := json.Marshal(v)
	return string(encoded)
}

// strip takes away what Python's str.strip does: U+001C to U+001F as well.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F })
}
