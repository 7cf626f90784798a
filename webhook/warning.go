package webhook

import (
	"fmt"
	"time"
)

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

// futureTolerance is how far ahead of our clock a change may be dated before it
// is worth a warning: clocks differ.
const futureTolerance = time.Minute

// warn is called with changes that are all valid, before they are sent.
func (c *Client) warn(changes []Change, now time.Time) {
	if c.onWarning == nil {
		return
	}
	for _, change := range changes {
		if !Correlates(change.Flag) {
			c.onWarning(Warning{
				change.Flag, "Flag",
				"never matches an evaluated flag, whose name Sentry keeps only if it is 1 to 200 of a-z, A-Z, 0-9, '_', '.', ':' and '-'",
			})
		}
		if change.CreatedAt.After(now.Add(futureTolerance)) {
			c.onWarning(Warning{change.Flag, "CreatedAt", "lies in the future; Sentry's log does not show the change until then"})
		}
	}
}
