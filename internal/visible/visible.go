// Package visible prepares text that comes from outside for people to look at.
package visible

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text writes what would not show, or would change how the rest shows, as its
// code: control characters, marks that turn the direction of writing, invalid
// bytes.
func Text(text string) string {
	if isVisible(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case hides(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

func isVisible(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, hides) < 0
}

func hides(r rune) bool {
	return !unicode.IsGraphic(r)
}

// Cut shortens a text to so many characters.
func Cut(text string, most int) string {
	if short := First(text, most); len(short) < len(text) {
		return short + "…"
	}
	return text
}

// First returns the first n characters of a text, or all of it.
func First(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}

// maxQuoted is how many characters of foreign text a log line or an error shows.
const maxQuoted = 100

// Quote makes a text fit for a log line or an error: its first 100 characters, in
// quotes, with everything but printable ASCII escaped.
func Quote(text string) string {
	short := First(text, maxQuoted)
	quoted := strconv.QuoteToASCII(short)
	if len(short) < len(text) {
		quoted += "…"
	}
	return quoted
}
