package visible

import "strconv"

// MaxQuoted is how many characters of a foreign text [Quote] shows.
const MaxQuoted = 100

// Quote makes foreign text fit for a log line or an error: cut, in quotes, and with
// everything but printable ASCII escaped.
func Quote(s string) string {
	short := First(s, MaxQuoted)
	quoted := strconv.QuoteToASCII(short)
	if len(short) < len(s) {
		quoted += "…"
	}
	return quoted
}

// First returns the first n characters of s.
func First(s string, n int) string {
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
