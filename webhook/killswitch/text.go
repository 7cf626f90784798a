package killswitch

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// maxQuoted is how many code points of foreign text a log line or an error
// shows.
const maxQuoted = 100

// quote makes foreign text fit for a log line: cut, in quotes, and with
// everything but printable ASCII escaped.
func quote(s string) string {
	short := firstRunes(s, maxQuoted)
	quoted := strconv.QuoteToASCII(short)
	if len(short) < len(s) {
		quoted += "…"
	}
	return quoted
}

// firstRunes returns the first n code points of s.
func firstRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// printable returns the first n code points of s that print, spaces included.
// Control and formatting characters (U+202E turns text around) are left out.
func printable(s string, n int) string {
	kept := make([]byte, 0, min(len(s), n*utf8.UTFMax))
	for _, r := range s {
		if n == 0 {
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		kept = utf8.AppendRune(kept, r)
		n--
	}
	return string(kept)
}
