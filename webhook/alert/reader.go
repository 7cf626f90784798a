package alert

import (
	"bytes"
	"iter"
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads JSON of which the shape is not certain: what is not as expected
// is skipped, since Sentry's serializers change and one odd value must not
// silence an alert. Broken JSON and a limit end the reading; err says which.
type reader struct {
	*jsontext.Decoder
	err error
}

// object ranges over the names of an object. Each turn must read or skip the
// value; the name is valid until then. Anything but an object is skipped.
func (r *reader) object() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !r.enter(jsontext.KindBeginObject) {
			return
		}
		for r.more(jsontext.KindEndObject) {
			if name := r.name(); r.err == nil && !yield(name) {
				return
			}
		}
		r.token()
	}
}

// array counts the elements of an array, which must not be more than
// MaxElements. Each turn must read or skip one. Anything but an array is
// skipped.
func (r *reader) array() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !r.enter(jsontext.KindBeginArray) {
			return
		}
		for n := 0; r.more(jsontext.KindEndArray); n++ {
			if n == MaxElements {
				r.err = ErrTooMany
				return
			}
			if !yield(n) {
				return
			}
		}
		r.token()
	}
}

func (r *reader) enter(begin jsontext.Kind) bool {
	if r.err != nil || r.PeekKind() != begin {
		r.skip()
		return false
	}
	r.token()
	return true
}

func (r *reader) more(end jsontext.Kind) bool { return r.err == nil && r.PeekKind() != end }

func (r *reader) token() (t jsontext.Token) {
	if r.err == nil {
		t, r.err = r.ReadToken()
	}
	return t
}

func (r *reader) skip() {
	if r.err == nil {
		r.err = r.SkipValue()
	}
}

// name reads a name without a string of its own, unless it is escaped.
func (r *reader) name() []byte {
	var value jsontext.Value
	if value, r.err = r.ReadValue(); r.err != nil {
		return nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	name, _ := jsontext.AppendUnquote(nil, value) // it fails for half surrogate pairs, which name nothing
	return name
}

func (r *reader) isString() bool { return r.PeekKind() == jsontext.KindString }

// value reads a value that is neither an object nor an array. Those are skipped,
// and give a token of no kind, as an error does.
func (r *reader) value() jsontext.Token {
	switch r.PeekKind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		r.skip()
		return jsontext.Token{}
	}
	return r.token()
}

// text reads a string, or a number's digits, since ids come as either; "" for
// anything else.
func (r *reader) text() string {
	switch t := r.value(); t.Kind() {
	case jsontext.KindString, jsontext.KindNumber:
		return t.String()
	}
	return ""
}

// scalar reads a bool, a string or a float64; nil for anything else.
func (r *reader) scalar() any {
	switch t := r.value(); t.Kind() {
	case jsontext.KindTrue, jsontext.KindFalse:
		return t.Bool()
	case jsontext.KindString:
		return t.String()
	case jsontext.KindNumber:
		if number, err := t.Float(); err == nil {
			return number
		}
	}
	return nil
}

// time reads ISO 8601 text or Unix seconds; zero for anything else.
func (r *reader) time() time.Time {
	switch t := r.value(); t.Kind() {
	case jsontext.KindString:
		return parseTime(t.String())
	case jsontext.KindNumber:
		// Beyond 1e11 seconds, the year 5138, it is no time.
		if seconds, err := t.Float(); err == nil && math.Abs(seconds) < 1e11 {
			whole, fraction := math.Modf(seconds)
			return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
		}
	}
	return time.Time{}
}

func parseTime(text string) time.Time {
	// Python leaves the zone out of a time that it thinks of as UTC.
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}
