package webhooktest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Messages of Django REST framework that several rules use.
const (
	isRequired = "This field is required."
	isNull     = "This field may not be null."
	isBlank    = "This field may not be blank."
)

// maxAuthorID is the longest created_by.id in code points.
const maxAuthorID = 100

// entry is a change that keeps the rules. Its id is of any length.
type entry struct {
	changeID string
	change   webhook.Change
}

// rules judge a payload as the serializers of Sentry's generic provider do
// (src/sentry/flags/providers.py), on top of Django REST framework.
type rules struct {
	maxFlag int
}

// payload returns the changes of a body, or what is wrong with it.
func (r rules) payload(v value) ([]entry, problem) {
	if v == nil {
		return nil, nonField("No data provided")
	}
	o, ok := v.(*object)
	if !ok {
		return nil, notAnObject(v)
	}
	var f fields
	entries := field(&f, o, "data", r.data)
	field(&f, o, "meta", r.meta)
	return entries, f.problem()
}

func (r rules) meta(v value) (struct{}, problem) {
	o, ok := v.(*object)
	if !ok {
		return struct{}{}, notAnObject(v)
	}
	var f fields
	field(&f, o, "version", integer)
	return struct{}{}, f.problem()
}

func (r rules) data(v value) ([]entry, problem) {
	list, ok := v.([]value)
	if !ok {
		return nil, nonField(fmt.Sprintf("Expected a list of items but got type \"%s\".", typeName(v)))
	}
	var entries []entry
	problems, bad := make(itemProblems, len(list)), false
	for i, item := range list {
		e, p := r.item(item)
		problems[i], bad = p, bad || p != nil
		if !bad {
			entries = append(entries, e)
		}
	}
	if bad {
		return nil, problems
	}
	return entries, nil
}

func (r rules) item(v value) (entry, problem) {
	if v == nil {
		return entry{}, messages{isNull}
	}
	o, ok := v.(*object)
	if !ok {
		return entry{}, notAnObject(v)
	}
	var f fields
	var e entry
	e.change.Action = webhook.Action(field(&f, o, "action", choice("created", "updated", "deleted")))
	e.changeID = field(&f, o, "change_id", integer)
	e.change.CreatedAt = field(&f, o, "created_at", dateTime)
	e.change.CreatedBy = field(&f, o, "created_by", r.author)
	e.change.Flag = field(&f, o, "flag", text(r.maxFlag))
	e.change.ChangeID = toInt64(e.changeID)
	return e, f.problem()
}

func (r rules) author(v value) (webhook.Author, problem) {
	o, ok := v.(*object)
	if !ok {
		return webhook.Author{}, notAnObject(v)
	}
	var f fields
	author := webhook.Author{
		ID:   field(&f, o, "id", text(maxAuthorID)),
		Type: webhook.AuthorType(field(&f, o, "type", choice("email", "id", "name"))),
	}
	return author, f.problem()
}

func notAnObject(v value) problem {
	return nonField("Invalid data. Expected a dictionary, but got " + typeName(v) + ".")
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
func field[T any](f *fields, o *object, name string, read func(value) (T, problem)) T {
	var result T
	var p problem
	switch v, there := o.values[name]; {
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

func choice(choices ...string) func(value) (string, problem) {
	return func(v value) (string, problem) {
		s := str(v)
		if !slices.Contains(choices, s) {
			return "", messages{`"` + s + `" is not a valid choice.`}
		}
		return s, nil
	}
}

// text is a CharField: trimmed, numbers taken as text.
func text(limit int) func(value) (string, problem) {
	return func(v value) (string, problem) {
		s := strip(str(v))
		if s == "" {
			return "", messages{isBlank}
		}
		switch v.(type) {
		case string, number:
		default:
			return "", messages{"Not a valid string."}
		}
		var m messages
		if length(s) > limit {
			m = append(m, fmt.Sprintf("Ensure this field has no more than %d characters.", limit))
		}
		if slices.Contains([]byte(s), 0) {
			m = append(m, "Null characters are not allowed.")
		}
		if r := firstSurrogate(s); r != 0 {
			m = append(m, fmt.Sprintf("Surrogate characters are not allowed: U+%X.", r))
		}
		if m != nil {
			return "", m
		}
		return s, nil
	}
}

func dateTime(v value) (time.Time, problem) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, messages{wrongDateTime}
	}
	t, err := parseDateTime(s)
	if err != nil {
		return time.Time{}, messages{err.Error()}
	}
	return t, nil
}
