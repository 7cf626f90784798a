package webhooktest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth is about where Python's parser gives up on nesting.
	maxDepth = 1000
	// maxIntDigits is Python's limit for turning text into an integer.
	maxIntDigits = 4300
)

// errTooDeep is Python's RecursionError, which is no parse error: it ends in a
// 500.
var errTooDeep = errors.New("nested too deeply")

// parseJSON reads a whole body as Django REST framework does: UTF-8, strict
// JSON, the last of a repeated key, no NaN and no Infinity, a lone surrogate
// allowed if it is escaped. Its errors are in the words of Python's json module
// (3.13).
func parseJSON(body []byte) (value, error) {
	body = cutIncomplete(body)
	if err := checkUTF8(body); err != nil {
		return nil, err
	}
	p := &parser{text: body}
	if bytes.HasPrefix(body, []byte("\uFEFF")) {
		return nil, p.fail("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0)
	}
	p.skipSpace()
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.skipSpace()
	if p.at < len(p.text) {
		return nil, p.fail("Extra data", p.at)
	}
	return v, nil
}

// cutIncomplete drops the beginning of a character at the very end, which
// Python's stream reader keeps back for a next read that never comes.
func cutIncomplete(body []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(body); n++ {
		if tail := body[len(body)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return body[:len(body)-n]
			}
			break
		}
	}
	return body
}

func checkUTF8(body []byte) error {
	if utf8.Valid(body) {
		return nil
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(body[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	if b := body[at]; b < 0xC2 || b > 0xF4 {
		return fmt.Errorf("'utf-8' codec can't decode byte 0x%02x in position %d: invalid start byte", b, at)
	}
	// The start of a character that is still well-formed belongs to the error.
	good := 1
	for n := 2; n <= 3 && at+n <= len(body) && !utf8.FullRune(body[at:at+n]); n++ {
		good = n
	}
	if good == 1 {
		return fmt.Errorf("'utf-8' codec can't decode byte 0x%02x in position %d: invalid continuation byte", body[at], at)
	}
	return fmt.Errorf("'utf-8' codec can't decode bytes in position %d-%d: invalid continuation byte", at, at+good-1)
}

type parser struct {
	text []byte // valid UTF-8
	at   int
}

// fail words an error as Python does: positions count code points.
func (p *parser) fail(message string, at int) error {
	before := p.text[:at]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return fmt.Errorf("%s: line %d column %d (char %d)", message,
		bytes.Count(before, []byte{'\n'})+1, utf8.RuneCount(before[lineStart:])+1, utf8.RuneCount(before))
}

func (p *parser) skipSpace() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end; a U+0000 fits nowhere either.
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) take(word string) bool {
	if bytes.HasPrefix(p.text[p.at:], []byte(word)) {
		p.at += len(word)
		return true
	}
	return false
}

func (p *parser) value(depth int) (value, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	switch p.peek() {
	case '"':
		return p.string()
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	}
	switch {
	case p.take("null"):
		return nil, nil
	case p.take("true"):
		return true, nil
	case p.take("false"):
		return false, nil
	}
	for _, constant := range []string{"NaN", "Infinity", "-Infinity"} {
		if p.take(constant) {
			return nil, fmt.Errorf("Out of range float values are not JSON compliant: '%s'", constant) //nolint:revive,staticcheck // Sentry's words
		}
	}
	return p.number()
}

func (p *parser) object(depth int) (value, error) {
	o := &object{values: map[string]value{}}
	p.at++
	p.skipSpace()
	if p.take("}") {
		return o, nil
	}
	for {
		if p.peek() != '"' {
			return nil, p.fail("Expecting property name enclosed in double quotes", p.at)
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		p.skipSpace()
		if !p.take(":") {
			return nil, p.fail("Expecting ':' delimiter", p.at)
		}
		p.skipSpace()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.set(key.(string), v)
		if done, err := p.next('}', "object"); done || err != nil {
			return o, err
		}
	}
}

func (p *parser) array(depth int) (value, error) {
	list := []value{}
	p.at++
	p.skipSpace()
	if p.take("]") {
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if done, err := p.next(']', "array"); done || err != nil {
			return list, err
		}
	}
}

// next goes on behind a member: to the next one, or past the end.
func (p *parser) next(end byte, what string) (done bool, err error) {
	p.skipSpace()
	comma := p.at
	switch p.peek() {
	case end:
		p.at++
		return true, nil
	case ',':
		p.at++
	default:
		return false, p.fail("Expecting ',' delimiter", p.at)
	}
	p.skipSpace()
	if p.peek() == end {
		return false, p.fail("Illegal trailing comma before end of "+what, comma)
	}
	return false, nil
}

func (p *parser) number() (value, error) {
	start := p.at
	at := start
	digits := func() int {
		from := at
		for at < len(p.text) && '0' <= p.text[at] && p.text[at] <= '9' {
			at++
		}
		return at - from
	}
	if p.peek() == '-' {
		at++
	}
	intStart := at
	if at < len(p.text) && p.text[at] == '0' {
		at++
	} else if digits() == 0 {
		return nil, p.fail("Expecting value", start)
	}
	intEnd, float := at, false
	if at < len(p.text) && p.text[at] == '.' {
		at++
		if digits() == 0 {
			at = intEnd
		} else {
			float = true
		}
	}
	if mantissaEnd := at; at < len(p.text) && (p.text[at] == 'e' || p.text[at] == 'E') {
		at++
		if at < len(p.text) && (p.text[at] == '+' || p.text[at] == '-') {
			at++
		}
		if digits() == 0 {
			at = mantissaEnd
		} else {
			float = true
		}
	}
	p.at = at
	if n := intEnd - intStart; !float && n > maxIntDigits {
		return nil, tooManyDigits(n)
	}
	return number{text: string(p.text[start:at]), float: float}, nil
}

func tooManyDigits(n int) error {
	//nolint:revive,staticcheck // Python's words
	return fmt.Errorf("Exceeds the limit (%d digits) for integer string conversion: value has %d digits; use sys.set_int_max_str_digits() to increase the limit", maxIntDigits, n)
}

func (p *parser) string() (value, error) {
	begin := p.at
	p.at++
	var text []byte
	for {
		start := p.at
		for p.at < len(p.text) && p.text[p.at] >= ' ' && p.text[p.at] != '"' && p.text[p.at] != '\\' {
			p.at++
		}
		text = append(text, p.text[start:p.at]...)
		if p.at == len(p.text) {
			return nil, p.fail("Unterminated string starting at", begin)
		}
		switch p.text[p.at] {
		case '"':
			p.at++
			return string(text), nil
		case '\\':
			var err error
			if text, err = p.escape(text, begin); err != nil {
				return nil, err
			}
		default:
			return nil, p.fail("Invalid control character at", p.at)
		}
	}
}

var simpleEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *parser) escape(text []byte, begin int) ([]byte, error) {
	backslash := p.at
	p.at++
	if p.at == len(p.text) {
		return nil, p.fail("Unterminated string starting at", begin)
	}
	letter := p.text[p.at]
	p.at++
	if letter != 'u' {
		b, ok := simpleEscapes[letter]
		if !ok {
			return nil, p.fail(`Invalid \escape`, backslash)
		}
		return append(text, b), nil
	}
	first, ok := p.hex4()
	if !ok {
		return nil, p.fail(`Invalid \uXXXX escape`, backslash+1)
	}
	if !isSurrogate(first) {
		return utf8.AppendRune(text, first), nil
	}
	after := p.at
	if p.take(`\u`) {
		if second, ok := p.hex4(); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return utf8.AppendRune(text, r), nil
			}
		}
		p.at = after
	}
	return appendSurrogate(text, first), nil
}

func (p *parser) hex4() (rune, bool) {
	if len(p.text)-p.at <= 4 { // Python wants one more character behind the digits
		return 0, false
	}
	digits := p.text[p.at : p.at+4]
	if digits[0] == '+' || bytes.IndexByte(digits, '_') >= 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return 0, false
	}
	p.at += 4
	return rune(n), true
}
