package vwo

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep JSON may nest. Sentry's payloads stay below 20.
const maxDepth = 500

var (
	errSyntax   = errors.New("it is not valid JSON")
	errDepth    = errors.New("it nests too deep")
	errRepeated = errors.New("it has a key twice")
	errNoObject = errors.New("it is not an object")
)

// scanner walks through JSON text, checks all of it, and decodes only what it
// is asked for. An alert carries a whole error event of which the relay needs a
// dozen values; making Go values of the rest would be most of the work, and
// would keep personal data in memory.
type scanner struct {
	text  []byte
	at    int
	depth int
}

// next returns the first byte of the next token without taking it; 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// end fails if anything but white space is left.
func (s *scanner) end() error {
	if s.next() != 0 || s.at < len(s.text) {
		return errSyntax
	}
	return nil
}

func (s *scanner) take(c byte) error {
	if s.next() != c {
		return errSyntax
	}
	s.at++
	return nil
}

func (s *scanner) enter() error {
	s.depth++
	if s.depth > maxDepth {
		return errDepth
	}
	s.at++
	return nil
}

// object calls member for each member of an object. Each call must take the
// member's value. Anything but an object is passed over.
func (s *scanner) object(member func(key []byte) error) error {
	if s.next() != '{' {
		return s.skip()
	}
	if err := s.enter(); err != nil {
		return err
	}
	for more := s.next() != '}'; more; {
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.at++
		case '}':
			more = false
		default:
			return errSyntax
		}
	}
	s.at++
	s.depth--
	return nil
}

// array calls element for each element of an array, as object does.
func (s *scanner) array(element func() error) error {
	if s.next() != '[' {
		return s.skip()
	}
	if err := s.enter(); err != nil {
		return err
	}
	for more := s.next() != ']'; more; {
		if err := element(); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.at++
		case ']':
			more = false
		default:
			return errSyntax
		}
	}
	s.at++
	s.depth--
	return nil
}

// key takes a member's key and its colon.
func (s *scanner) key() ([]byte, error) {
	raw, plain, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if err := s.take(':'); err != nil {
		return nil, err
	}
	if !plain {
		raw = unescape(raw)
	}
	return raw, nil
}

// skip takes any value.
func (s *scanner) skip() error {
	switch c := s.next(); {
	case c == '"':
		_, _, err := s.quoted()
		return err
	case c == '{':
		return s.object(func([]byte) error { return s.skip() })
	case c == '[':
		return s.array(s.skip)
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	}
	return errSyntax
}

// text takes any value and returns it if it is a string, else "".
func (s *scanner) string() (string, error) {
	if s.next() != '"' {
		return "", s.skip()
	}
	raw, plain, err := s.quoted()
	if err != nil {
		return "", err
	}
	if !plain {
		raw = unescape(raw)
	}
	return string(raw), nil
}

// scalar takes any value and returns a string's text or a number's digits, else
// "": ids come as either.
func (s *scanner) scalar() (string, error) {
	if c := s.next(); c == '-' || c >= '0' && c <= '9' {
		raw, err := s.number()
		return string(raw), err
	}
	return s.string()
}

// isObject reports whether the next value is an object.
func (s *scanner) isObject() bool { return s.next() == '{' }

func (s *scanner) word(w string) error {
	if len(s.text)-s.at < len(w) || string(s.text[s.at:s.at+len(w)]) != w {
		return errSyntax
	}
	s.at += len(w)
	return nil
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

func (s *scanner) has(c byte) bool { return s.at < len(s.text) && s.text[s.at] == c }

func (s *scanner) number() ([]byte, error) {
	start := s.at
	if s.has('-') {
		s.at++
	}
	if s.has('0') {
		s.at++
	} else if !s.digits() {
		return nil, errSyntax
	}
	if s.has('.') {
		s.at++
		if !s.digits() {
			return nil, errSyntax
		}
	}
	if s.has('e') || s.has('E') {
		s.at++
		if s.has('+') || s.has('-') {
			s.at++
		}
		if !s.digits() {
			return nil, errSyntax
		}
	}
	return s.text[start:s.at], nil
}

// quoted takes a string and returns what stands between its quotes; plain means
// that it is its own meaning.
func (s *scanner) quoted() (raw []byte, plain bool, err error) {
	if s.next() != '"' {
		return nil, false, errSyntax
	}
	s.at++
	start, plain := s.at, true
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			raw = s.text[start:s.at]
			s.at++
			return raw, plain, nil
		case c == '\\':
			plain = false
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < ' ':
			return nil, false, errSyntax
		default:
			if c >= utf8.RuneSelf {
				plain = false // it may not be UTF-8
			}
			s.at++
		}
	}
	return nil, false, errSyntax
}

func (s *scanner) escape() error {
	if s.at+1 >= len(s.text) {
		return errSyntax
	}
	switch s.text[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return nil
	case 'u':
		if s.at+6 > len(s.text) || !isHex(s.text[s.at+2:s.at+6]) {
			return errSyntax
		}
		s.at += 6
		return nil
	}
	return errSyntax
}

func isHex(digits []byte) bool {
	for _, c := range digits {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// unescape needs the inside of a string that quoted has checked. What is no
// Unicode text becomes U+FFFD.
func unescape(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		if raw[0] != '\\' {
			r, size := utf8.DecodeRune(raw)
			out = utf8.AppendRune(out, r)
			raw = raw[size:]
			continue
		}
		if raw[1] != 'u' {
			out = append(out, escaped(raw[1]))
			raw = raw[2:]
			continue
		}
		r := hexRune(raw)
		raw = raw[6:]
		if utf16.IsSurrogate(r) {
			second := rune(utf8.RuneError)
			if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
				second = hexRune(raw)
			}
			r = utf16.DecodeRune(r, second)
			if r != utf8.RuneError {
				raw = raw[6:]
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

func escaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hexRune(raw []byte) rune {
	n, _ := strconv.ParseUint(string(raw[2:6]), 16, 32)
	return rune(n)
}
