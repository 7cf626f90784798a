package webhook

import (
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
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

// Correlates reports whether a change of the flag can be shown beside the errors
// that carry it. On the evaluation side Sentry's ingestion (Relay) keeps names of
// 1 to 200 of the characters a-z, A-Z, 0-9, '_', '.', ':' and '-', and deletes
// any other.
func Correlates(flag string) bool { return flagname.Legal(flag) }

// ShownName returns the name by which package flagtrack shows a flag in Sentry:
// the flag's own where Sentry keeps it, otherwise one made of it that Sentry
// keeps, the same in every process. "my flag" is shown as "my_flag-a84e63b3".
// [Config.ShownNames] sends changes under it.
func ShownName(flag string) string { return flagname.Shown(flag) }

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
				fmt.Sprintf("never matches an evaluated flag, whose name Sentry keeps only if it is 1 to 200 of a-z, A-Z, 0-9, '_', '.', ':' and '-'; "+
					"package flagtrack shows it as %q: set Config.ShownNames to send that", ShownName(change.Flag)),
			})
		}
		if change.CreatedAt.After(now.Add(futureTolerance)) {
			c.onWarning(Warning{change.Flag, "CreatedAt", "lies in the future; Sentry's log does not show the change until then"})
		}
	}
}
