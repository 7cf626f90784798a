package webhook

import "time"

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

	// ChangeID tells the changes within one request apart: Sentry silently
	// drops the second change with the same ChangeID in a request and does not
	// store the ID, so that across requests it means nothing. Zero means that
	// one is made up; a negative one is refused.
	ChangeID int64

	// ItemID is what an [Emitter] recognises the change by, when it is emitted
	// again or by another replica: at most 200 bytes. It is not sent. Defaults to
	// a hash of the whole change, so that replicas which each set a time of their
	// own make several changes of one, and several rows in Sentry: give them the
	// same ItemID.
	ItemID string

	// CreatedAt is when the change was made. It is sent in UTC, cut to the
	// microsecond. Zero means now. A change dated in the future stays
	// invisible in Sentry's log until then.
	CreatedAt time.Time

	// CreatedBy is who made the change. Sentry requires it.
	CreatedBy Author

	// Flag is the flag's name, exactly as it is evaluated: that is what lets
	// Sentry show the change beside an error. Its length after trimming white
	// space is 1 to [Config.MaxFlag] code points, and it has no U+0000.
	Flag string
}
