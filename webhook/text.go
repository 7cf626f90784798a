package webhook

import (
	"regexp"
	"strings"
	"unicode"
)

// trim takes off the white space that Sentry takes off: its serializers strip
// text as Python does, which counts the four ASCII separators as white space.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || (r >= 0x1c && r <= 0x1f)
	})
}

// private matches what must not come through from foreign text: a digest that
// somebody echoes, and the credentials within a URL.
var private = regexp.MustCompile(`[0-9A-Fa-f]{64,}|//[^/\s"@]*@`)

// clean makes foreign text fit for an error or a log: nothing private, no
// control characters, at most limit code points.
func clean(s string, limit int) string {
	// Longer text is cut first, so that ten megabytes cost nothing; the margin
	// keeps a digest whole for the pattern to see.
	if most := 4*limit + 256; len(s) > most {
		s = s[:most]
	}
	s = private.ReplaceAllStringFunc(s, func(found string) string {
		if strings.HasPrefix(found, "//") {
			return "//[redacted]@"
		}
		return "[redacted]"
	})
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
