package webhooktest

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// codePoints yields the code points of a string [value], lone surrogates
// included, as Python counts them.
func codePoints(s string) iter.Seq2[int, rune] {
	return func(yield func(int, rune) bool) {
		for i := 0; i < len(s); {
			r, size := decode(s[i:])
			if !yield(i, r) {
				return
			}
			i += size
		}
	}
}

func decode(s string) (rune, int) {
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size == 1 && len(s) >= 3 && s[0] == 0xED {
		return 0xD000 | rune(s[1]&0x3F)<<6 | rune(s[2]&0x3F), 3
	}
	return r, size
}

// appendSurrogate keeps a lone surrogate in the three bytes that UTF-8 would
// give it if it were allowed there.
func appendSurrogate(dst []byte, r rune) []byte {
	return append(dst, 0xED, 0x80|byte(r>>6&0x3F), 0x80|byte(r&0x3F))
}

func isSurrogate(r rune) bool { return 0xD800 <= r && r <= 0xDFFF }

// firstSurrogate returns the first lone surrogate of s, or 0.
func firstSurrogate(s string) rune {
	if utf8.ValidString(s) {
		return 0
	}
	for _, r := range codePoints(s) {
		if isSurrogate(r) {
			return r
		}
	}
	return 0
}

// length counts code points.
func length(s string) int {
	if utf8.ValidString(s) {
		return utf8.RuneCountInString(s)
	}
	n := 0
	for range codePoints(s) {
		n++
	}
	return n
}

// isSpace reports what Python's str.strip takes away. It differs from
// unicode.IsSpace in U+001C to U+001F.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F
}

func strip(s string) string {
	// A lone surrogate decodes as U+FFFD here, which is no space either.
	return strings.TrimFunc(s, isSpace)
}

// appendStringRepr appends Python's repr of a string.
func appendStringRepr(dst []byte, s string) []byte {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	dst = append(dst, quote)
	for _, r := range codePoints(s) {
		switch {
		case r == rune(quote) || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ' || r == 0x7F:
			dst = fmt.Appendf(dst, `\x%02x`, r)
		case isSurrogate(r):
			dst = fmt.Appendf(dst, `\u%04x`, r)
		case r < 0x7F || strconv.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r <= 0xFF:
			dst = fmt.Appendf(dst, `\x%02x`, r)
		case r <= 0xFFFF:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = fmt.Appendf(dst, `\U%08x`, r)
		}
	}
	return append(dst, quote)
}
