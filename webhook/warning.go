package webhook

import "fmt"

// Warning tells of a change that Sentry stores and that will not do what its
// sender expects. The change is sent all the same.
type Warning struct {
	// Flag is the name of the change's flag.
	Flag string
	// Field names the field of [Change] that the warning is about.
	Field string
	// Reason says what will go wrong.
	Reason string
}

// String returns the flag, the field and the reason.
func (w Warning) String() string {
	return fmt.Sprintf("flag %q: %s %s", clean(w.Flag, 100), w.Field, w.Reason)
}

// maxEvaluatedName is the longest name, in characters, that Sentry's ingestion
// leaves an evaluated flag; see [Correlates].
const maxEvaluatedName = 200

// Correlates reports whether a change of the flag can ever be shown beside the
// errors that carry it. On the evaluation side Sentry's ingestion keeps names
// of 1 to 200 of the characters a-z, A-Z, 0-9, '_', '.', ':' and '-', and
// deletes any other.
func Correlates(flag string) bool {
	if flag == "" || len(flag) > maxEvaluatedName {
		return false
	}
	for i := range len(flag) {
		c := flag[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}
