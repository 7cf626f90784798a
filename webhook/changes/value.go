package changes

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// kind is what a value is. Its bytes are part of every digest.
type kind byte

const (
	nothing kind = iota // absent: the zero value
	null
	boolFalse
	boolTrue
	number  // bits
	integer // text: an integer that no float64 can hold
	str     // text
	array   // of
	object  // of, with its names sorted
)

// value is what any of the parsers read, so that a document in YAML and the same
// in JSON are alike.
type value struct {
	kind kind
	bits uint64
	text string
	of   *composite
}

// composite is what an array or an object holds.
type composite struct {
	names  []string // of an object; sorted, each once
	values []value
}

// maxExact is where float64 begins to leave out integers.
const maxExact = 1 << 53

func numberOf(f float64) value {
	if f == 0 {
		f = 0 // and not -0
	}
	return value{kind: number, bits: math.Float64bits(f)}
}

// numberIn reads the text of a number. 1, 1.0 and 1e0 are the same; beyond what
// float64 tells apart an integer is kept digit by digit.
func numberIn(text string) (value, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return value{}, errNotFinite
	}
	if math.Abs(f) >= maxExact && !strings.ContainsAny(text, ".eE") {
		return value{kind: integer, text: text}, nil
	}
	return numberOf(f), nil
}

func boolOf(b bool) value {
	if b {
		return value{kind: boolTrue}
	}
	return value{kind: boolFalse}
}

// errNotFinite means a number that JSON has no word for: NaN, or an infinity.
var errNotFinite = errors.New("it has a number that is not finite")

func arrayOf(items []value) value { return value{kind: array, of: &composite{values: items}} }

func textOf(s string) value { return value{kind: str, text: s} }

func (v value) items() []value {
	if v.of == nil {
		return nil
	}
	return v.of.values
}

// members yields an object's members in the order of their names.
func (v value) members(yield func(string, value) bool) {
	if v.kind != object {
		return
	}
	for i, name := range v.of.names {
		if !yield(name, v.of.values[i]) {
			return
		}
	}
}

// member returns what an object has under a name; nothing if it has not, or if
// it is no object.
func (v value) member(name string) value {
	if v.kind != object {
		return value{}
	}
	i, found := slices.BinarySearch(v.of.names, name)
	if !found {
		return value{}
	}
	return v.of.values[i]
}

// objectOf sorts members, given as names and values side by side, into an
// object. It returns the name that occurs twice, if one does.
func objectOf(names []string, values []value) (v value, twice string, ok bool) {
	of := &composite{names, values}
	sortMembers(of)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return value{}, names[i], false
		}
	}
	return value{kind: object, of: of}, "", true
}

func sortMembers(of *composite) {
	if slices.IsSorted(of.names) {
		return
	}
	if len(of.names) <= 12 { // most objects, and then this is quickest
		for i := 1; i < len(of.names); i++ {
			for j := i; j > 0 && of.names[j] < of.names[j-1]; j-- {
				of.names[j], of.names[j-1] = of.names[j-1], of.names[j]
				of.values[j], of.values[j-1] = of.values[j-1], of.values[j]
			}
		}
		return
	}
	order := make([]int, len(of.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(of.names[a], of.names[b]) })
	names, values := make([]string, len(order)), make([]value, len(order))
	for to, from := range order {
		names[to], values[to] = of.names[from], of.values[from]
	}
	copy(of.names, names)
	copy(of.values, values)
}

// errTooMuch means that shared parts, written out where they are referred to,
// are more than is reasonable.
var errTooMuch = errors.New("its shared parts refer to each other so often that they are too large when written out")

// maxWrittenOut is the most bytes that the shared parts of a document may add to
// the digests of its flags.
const maxWrittenOut = 64 << 20

// maxWrittenDepth is how deep values may be nested with the shared parts written
// out: several of the deepest documents within each other.
const maxWrittenDepth = 10 * maxDepth

// encoder writes values in the one form that digests are made of.
type encoder struct {
	buffer []byte
	// resolve finds what counts in the place of a reference.
	resolve resolver
	within  []string // the references that are being written out
	start   int      // where the outermost of them began
	written int      // by those before
	depth   int
	failed  error
}

func (e *encoder) value(v *value) {
	if e.failed != nil {
		return
	}
	if e.resolve != nil && v.kind == object {
		// A reference within itself stays what it is.
		if name, content, ok := e.resolve(*v); ok && !slices.Contains(e.within, name) {
			e.writeOut(name, content)
			return
		}
	}
	e.buffer = append(e.buffer, byte(v.kind))
	switch v.kind {
	case number:
		e.buffer = binary.BigEndian.AppendUint64(e.buffer, v.bits)
	case integer, str:
		e.text(v.text)
	case array, object:
		e.composite(v)
	}
}

func (e *encoder) composite(v *value) {
	e.depth++
	if e.depth > maxWrittenDepth || len(e.within) > 0 && e.written+len(e.buffer)-e.start > maxWrittenOut {
		e.failed = errTooMuch
		return
	}
	e.buffer = binary.AppendUvarint(e.buffer, uint64(len(v.of.values)))
	for i := range v.of.values {
		if v.kind == object {
			e.text(v.of.names[i])
		}
		e.value(&v.of.values[i])
	}
	e.depth--
}

// writeOut writes a shared part where it is referred to.
func (e *encoder) writeOut(name string, content value) {
	if len(e.within) == 0 {
		e.start = len(e.buffer)
		defer func() { e.written += len(e.buffer) - e.start }()
	}
	e.within = append(e.within, name)
	e.value(&content)
	e.within = e.within[:len(e.within)-1]
}

func (e *encoder) text(s string) {
	e.buffer = binary.AppendUvarint(e.buffer, uint64(len(s)))
	e.buffer = append(e.buffer, s...)
}

// show returns a value as JSON, for people, at most about limit bytes of it.
func (v value) show(limit int) string {
	b, _ := v.appendJSON(nil, limit)
	return string(b)
}

func (v value) appendJSON(b []byte, limit int) ([]byte, bool) {
	if len(b) > limit {
		return append(b, "…"...), false
	}
	whole := true
	switch v.kind {
	case null:
		b = append(b, "null"...)
	case boolFalse:
		b = append(b, "false"...)
	case boolTrue:
		b = append(b, "true"...)
	case number:
		b = jsontext.AppendFloat(b, math.Float64frombits(v.bits), 64)
	case integer:
		b = append(b, v.text...)
	case str:
		b = appendQuoted(b, v.text, limit)
	case array:
		b = append(b, '[')
		for i, item := range v.of.values {
			if i > 0 {
				b = append(b, ',')
			}
			if b, whole = item.appendJSON(b, limit); !whole {
				return b, false
			}
		}
		b = append(b, ']')
	case object:
		b = append(b, '{')
		for i, name := range v.of.names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, name, limit), ':')
			if b, whole = v.of.values[i].appendJSON(b, limit); !whole {
				return b, false
			}
		}
		b = append(b, '}')
	}
	return b, true
}

func appendQuoted(b []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strconv.AppendQuote(b, s)
}

// equal reports whether two values are alike, references by their names.
func (v value) equal(w value) bool {
	if v.kind != w.kind || v.bits != w.bits || v.text != w.text {
		return false
	}
	if v.of == nil || w.of == nil {
		return v.of == w.of
	}
	return slices.Equal(v.of.names, w.of.names) && slices.EqualFunc(v.of.values, w.of.values, value.equal)
}
