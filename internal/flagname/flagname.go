// Package flagname knows how Sentry shows the name of a flag, so that an evaluation and a change of one flag are
// reported under one name.
//
// Sentry's ingestion keeps a name of 1 to 200 characters out of a-z, A-Z, 0-9 and "_.:-", and deletes any other.
package flagname

import (
	"hash/fnv"
	"strconv"
	"unicode/utf8"
)

// MaxLen is the longest flag name that Sentry's ingestion keeps, in characters, which are bytes in a legal name.
const MaxLen = 200

// hashLen is the length of what Shown appends to a name that it had to change: a dash and 32 bits in hex.
const hashLen = 1 + 8

// Shown returns the name under which Sentry shows a flag: name itself where it is legal, otherwise name with an
// underscore for each character that is not, cut to fit, and a hash of the original behind it: "my flag" becomes
// "my_flag-a84e63b3". The hash keeps apart what would look the same otherwise ("my flag" and "my/flag") and is the same
// in every process. The empty name stays empty: there is nothing to show. Shown(Shown(name)) is Shown(name).
func Shown(name string) string {
	if name == "" || Legal(name) {
		return name
	}
	out := make([]byte, 0, MaxLen)
	for i := 0; i < len(name) && len(out) < MaxLen-hashLen; {
		_, size := utf8.DecodeRuneInString(name[i:])
		if size == 1 && legalByte(name[i]) {
			out = append(out, name[i])
		} else {
			out = append(out, '_')
		}
		i += size
	}
	return string(appendHash(out, name))
}

// Legal reports whether Sentry shows name as it is.
func Legal(name string) bool {
	if name == "" || len(name) > MaxLen {
		return false
	}
	for i := range len(name) {
		if !legalByte(name[i]) {
			return false
		}
	}
	return true
}

// TellApart returns another name for flag, which would be shown under the name of a different flag.
func TellApart(name, flag string) string {
	return string(appendHash([]byte(name[:min(len(name), MaxLen-hashLen)]), flag+"\x00"+name))
}

// legalByte reports whether Sentry's ingestion allows c in a flag name. One other byte and it deletes the whole name.
func legalByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '_' || c == '.' || c == ':' || c == '-'
}

// appendHash appends a dash and the hash of s in eight hex digits.
func appendHash(out []byte, s string) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	sum := uint64(h.Sum32()) | 1<<32 // the extra bit keeps leading zeros
	out = append(out, '-')
	return append(out, strconv.FormatUint(sum, 16)[1:]...)
}
