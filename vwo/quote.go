package vwo

import "strconv"

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
