package webhook

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
)

// Limits of Sentry's generic provider, in code points after trimming white
// space (src/sentry/flags/providers.py in Sentry's source).
const (
	// MaxFlag is the longest flag name on servers since September 2026.
	MaxFlag = 256
	// MaxFlagBefore2026 is the longest flag name on older servers, so on many
	// self-hosted ones; see [Config.MaxFlag].
	MaxFlagBefore2026 = 100
	// MaxAuthorID is the longest [Author.ID].
	MaxAuthorID = 100
)

// Change is one change of a feature flag's definition. Its fields carry the
// names that they have on the wire.
type Change struct {
	// Action says what was done to the flag.
	Action Action

	// ChangeID tells the changes within one request apart, and nothing else:
	// Sentry silently drops the second change with the same ChangeID in a
	// request, and does not store it. Across requests it means nothing, so that
	// a change sent twice is two rows of the log, whatever its ChangeID. It may
	// be negative, as a 64-bit hash is. Zero means that one is made up.
	ChangeID int64

	// ItemID is what an [Emitter] recognises the change by, when it is emitted
	// again or by another replica: at most 200 bytes of UTF-8 without U+0000. It
	// is not sent, and [Client.Send] does not look at it. Defaults to a hash of
	// the whole change, so that one change reported by three replicas, each with
	// a time of its own, is three rows in Sentry: give it the same ItemID in all
	// of them, and let them share a durable store. Or set ChangeID and CreatedAt
	// from what they all see, the record that was changed and not their clocks.
	ItemID string

	// CreatedAt is when the change was made, in the years 1 to 9999. It is sent
	// in UTC, cut to the microsecond. Zero means now: when it is sent or
	// emitted. A change dated in the future stays invisible in Sentry's log
	// until then.
	CreatedAt time.Time

	// CreatedBy is who made the change. Sentry requires it, and shows it to all
	// who can read the organisation's issues.
	CreatedBy Author

	// Flag is the flag's name, exactly as it is evaluated: that is what lets
	// Sentry show the change beside an error. White space around it is trimmed,
	// as Sentry does. After that its length is 1 to [Config.MaxFlag] code
	// points, and it has no U+0000. Sentry takes other names than it keeps of
	// evaluated flags: see [Correlates] and [Config.ShownNames].
	Flag string
}

// Action says what was done to a flag's definition.
type Action string

// The actions that Sentry's generic provider takes; it refuses any other.
const (
	ActionCreated Action = "created"
	ActionUpdated Action = "updated"
	ActionDeleted Action = "deleted"
)

// valid reports whether Sentry takes the action.
func (a Action) valid() bool {
	return a == ActionCreated || a == ActionUpdated || a == ActionDeleted
}

// AuthorType says what an [Author]'s ID is.
type AuthorType string

// The author types that Sentry's generic provider takes; it refuses any other.
const (
	AuthorEmail AuthorType = "email" // Sentry does not check that it looks like one
	AuthorID    AuthorType = "id"
	AuthorName  AuthorType = "name"
)

func (t AuthorType) valid() bool {
	return t == AuthorEmail || t == AuthorID || t == AuthorName
}

// Author is who changed a flag, as it will be shown in Sentry's flag log. Do
// not invent an e-mail address for a change whose author is not known: name the
// system that made it, as {ID: "deploy-bot", Type: AuthorName}.
type Author struct {
	// ID is the author's e-mail address, identifier or name: 1 to
	// [MaxAuthorID] code points after trimming white space.
	ID string
	// Type says which of these ID is.
	Type AuthorType
}

// rules are what changes are held against before they are sent or kept.
type rules struct {
	maxFlag    int
	shownNames bool
	onWarning  func(Warning)
}

// complete fills in what the caller left to us and brings the rest into the
// form in which it is sent.
func (r rules) complete(change Change, now time.Time) Change {
	if change.ChangeID == 0 {
		change.ChangeID = newChangeID()
	}
	if change.CreatedAt.IsZero() {
		change.CreatedAt = now
	}
	change.CreatedAt = change.CreatedAt.UTC().Truncate(time.Microsecond)
	change.CreatedBy.ID = trim(change.CreatedBy.ID)
	change.Flag = trim(change.Flag)
	if r.shownNames {
		change.Flag = ShownName(change.Flag)
	}
	return change
}

// validate holds a completed change against Sentry's rules.
func (r rules) validate(change Change) error {
	refuse := func(field, reason string, args ...any) error {
		return &ChangeError{Field: field, Reason: fmt.Sprintf(reason, args...)}
	}
	if !change.Action.valid() {
		return refuse("Action", "has to be %q, %q or %q", ActionCreated, ActionUpdated, ActionDeleted)
	}
	// The years that Sentry's language can express.
	if year := change.CreatedAt.Year(); year < 1 || year > 9999 {
		return refuse("CreatedAt", "has to lie in the years 1 to 9999")
	}
	if !change.CreatedBy.Type.valid() {
		return refuse("CreatedBy.Type", "has to be %q, %q or %q", AuthorEmail, AuthorID, AuthorName)
	}
	if reason := textFault(change.CreatedBy.ID, MaxAuthorID); reason != "" {
		return refuse("CreatedBy.ID", "%s", reason)
	}
	if reason := textFault(change.Flag, r.maxFlag); reason != "" {
		return refuse("Flag", "%s", reason)
	}
	return nil
}

// textFault says what is wrong with a trimmed text of 1 to limit code points.
func textFault(s string, limit int) string {
	switch {
	case s == "":
		return "must not be empty or white space only"
	case !utf8.ValidString(s):
		return "has to be valid UTF-8"
	case strings.ContainsRune(s, 0):
		return "must not contain U+0000"
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return fmt.Sprintf("has %d code points; Sentry takes at most %d", n, limit)
	}
	return ""
}

// trim takes off the white space that Sentry takes off: its serializers strip
// text as Python does, which counts the four ASCII separators as white space.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || (r >= 0x1c && r <= 0x1f)
	})
}

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

func logWarning(w Warning) {
	slog.Default().Warn("webhook: a change will not do what is expected", "flag", w.Flag, "field", w.Field, "reason", w.Reason)
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
func (r rules) warn(changes []Change, now time.Time) {
	for _, change := range changes {
		if !Correlates(change.Flag) {
			r.onWarning(Warning{
				change.Flag, "Flag",
				fmt.Sprintf("never matches an evaluated flag, whose name Sentry keeps only if it is 1 to 200 of a-z, A-Z, 0-9, '_', '.', ':' and '-'; "+
					"package flagtrack shows it as %q: set Config.ShownNames to send that", ShownName(change.Flag)),
			})
		}
		if change.CreatedAt.After(now.Add(futureTolerance)) {
			r.onWarning(Warning{change.Flag, "CreatedAt", "lies in the future; Sentry's log does not show the change until then"})
		}
	}
}
