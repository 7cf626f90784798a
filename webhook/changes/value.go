package changes

import (
	"crypto/sha256"
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
	number // text: in the one form that a number has, see numberIn
	typed  // text: a number with its type in Go
	str    // text
	array  // of
	object // of, with its names sorted
	// digested stands before the digest of a long array or object.
	digested
)

// String returns what JSON calls it.
func (k kind) String() string {
	switch k {
	case null:
		return "null"
	case boolFalse, boolTrue:
		return "boolean"
	case number, typed:
		return "number"
	case str:
		return "string"
	case array:
		return "array"
	case object:
		return "object"
	}
	return "nothing"
}

// value is what any of the parsers read, so that a document in YAML and the same
// in JSON are alike.
type value struct {
	kind kind
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

// errNotFinite means a number that JSON has no word for: NaN, or an infinity.
var errNotFinite = errors.New("it has a number that is not finite")

// numberIn reads the text of a number. 1, 1.0 and 1e0 are the same; beyond what
// float64 tells apart an integer is kept digit by digit.
func numberIn(text string) (value, error) {
	if isPlain(text) {
		return value{kind: number, text: text}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return value{}, errNotFinite
	}
	if math.Abs(f) >= maxExact && !strings.ContainsAny(text, ".eE") {
		return value{kind: number, text: text}, nil
	}
	return numberOf(f)
}

// isPlain reports whether a number is an integer of at most 15 digits, which is
// how most are written, and as numberOf writes it.
func isPlain(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if len(digits) == 0 || len(digits) > 15 || digits[0] == '0' && len(text) > 1 {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

func numberOf(f float64) (value, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return value{}, errNotFinite
	}
	if f == 0 {
		f = 0 // and not -0
	}
	return value{kind: number, text: string(jsontext.AppendFloat(nil, f, 64))}, nil
}

func boolOf(b bool) value {
	if b {
		return value{kind: boolTrue}
	}
	return value{kind: boolFalse}
}

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
	if at := of.twice(); at > 0 {
		return value{}, names[at], false
	}
	return value{kind: object, of: of}, "", true
}

// twice returns where a name stands, of those that are sorted, that is there a
// second time; 0 if none is.
func (of *composite) twice() int {
	for i := 1; i < len(of.names); i++ {
		if of.names[i] == of.names[i-1] {
			return i
		}
	}
	return 0
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

// errTooMuch means that shared parts that refer to each other in circles are,
// written out, more than is reasonable.
var errTooMuch = errors.New("its shared parts refer to each other so often that they are too large when written out")

const (
	// maxWrittenOut is the most values that shared parts in circles, which are
	// written out time and again, may have after the first time.
	maxWrittenOut = 1_000_000
	// maxWrittenDepth is how deep values may be nested with the shared parts
	// written out: several of the deepest documents within each other.
	maxWrittenDepth = 10 * maxDepth
	// maxPlain is how long an object or array may be written out. A digest stands
	// in the place of longer ones, so that what many flags share is worked on once.
	maxPlain = 512
)

// encoder writes values in the one form that digests are made of.
type encoder struct {
	buffer []byte
	// resolve finds what counts in the place of a reference.
	resolve resolver
	within  []string              // the references that are being written out
	circles int                   // how often one of them was met within itself
	shared  map[*composite][]byte // as written; nil if that depends on where
	again   int                   // how many parts are being written out that were before
	written int                   // values in those
	depth   int
	failed  error
}

func (e *encoder) value(v *value) {
	if e.resolve == nil {
		e.buffer = v.appendTo(e.buffer)
		return
	}
	if e.failed != nil {
		return
	}
	if v.kind == object {
		if name, content, ok := e.resolve(*v); ok {
			// A reference within itself stays what it is.
			if !slices.Contains(e.within, name) {
				e.writeOut(name, &content)
				return
			}
			e.circles++
		}
	}
	if v.of == nil {
		e.buffer = v.appendTo(e.buffer)
		return
	}
	e.depth++
	if e.again > 0 {
		e.written += len(v.of.values)
	}
	if e.depth > maxWrittenDepth || e.written > maxWrittenOut {
		e.failed = errTooMuch
		return
	}
	begin := len(e.buffer)
	e.buffer = binary.AppendUvarint(append(e.buffer, byte(v.kind)), uint64(len(v.of.values)))
	for i := range v.of.values {
		if v.kind == object {
			e.buffer = appendText(e.buffer, v.of.names[i])
		}
		e.value(&v.of.values[i])
	}
	e.buffer = folded(e.buffer, begin)
	e.depth--
}

// writeOut writes a shared part where it is referred to.
func (e *encoder) writeOut(name string, content *value) {
	outermost, circles := len(e.within) == 0, e.circles
	e.within = append(e.within, name)
	e.part(content, func() bool { return outermost || e.circles == circles })
	e.within = e.within[:len(e.within)-1]
}

// part writes what several flags share, and works on it once if it is the same
// for all of them.
func (e *encoder) part(v *value, same func() bool) {
	if v.of == nil {
		e.value(v)
		return
	}
	known, again := e.shared[v.of]
	if known != nil {
		e.buffer = append(e.buffer, known...)
		return
	}
	if again {
		e.again++
		defer func() { e.again-- }()
	}
	if e.shared == nil {
		e.shared = map[*composite][]byte{}
	}
	e.shared[v.of] = nil
	begin := len(e.buffer)
	e.value(v)
	if e.failed == nil && same() {
		e.shared[v.of] = slices.Clone(e.buffer[begin:])
	}
}

// beside writes an object of shared parts.
func (e *encoder) beside(v *value) {
	begin := len(e.buffer)
	e.buffer = binary.AppendUvarint(append(e.buffer, byte(v.kind)), uint64(len(v.of.values)))
	for i := range v.of.values {
		e.buffer = appendText(e.buffer, v.of.names[i])
		e.part(&v.of.values[i], func() bool { return true })
	}
	e.buffer = folded(e.buffer, begin)
}

// appendTo writes a value without looking for references.
func (v *value) appendTo(b []byte) []byte {
	begin := len(b)
	b = append(b, byte(v.kind))
	switch v.kind {
	case number, typed, str:
		return appendText(b, v.text)
	case array:
		b = binary.AppendUvarint(b, uint64(len(v.of.values)))
		for i := range v.of.values {
			b = v.of.values[i].appendTo(b)
		}
	case object:
		b = binary.AppendUvarint(b, uint64(len(v.of.values)))
		for i := range v.of.values {
			b = v.of.values[i].appendTo(appendText(b, v.of.names[i]))
		}
	}
	return folded(b, begin)
}

// folded puts a digest in the place of what was written from begin on, if that is
// long.
func folded(b []byte, begin int) []byte {
	if len(b)-begin <= maxPlain {
		return b
	}
	sum := sha256.Sum256(b[begin:])
	return append(append(b[:begin], byte(digested)), sum[:digestSize]...)
}

func appendText(b []byte, s string) []byte {
	if len(s) < 0x80 {
		return append(append(b, byte(len(s))), s...)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
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
	var whole bool
	switch v.kind {
	case null:
		b = append(b, "null"...)
	case boolFalse:
		b = append(b, "false"...)
	case boolTrue:
		b = append(b, "true"...)
	case number, typed:
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
	if v.kind != w.kind || v.text != w.text {
		return false
	}
	if v.of == nil || w.of == nil {
		return v.of == w.of
	}
	return slices.Equal(v.of.names, w.of.names) && slices.EqualFunc(v.of.values, w.of.values, value.equal)
}
