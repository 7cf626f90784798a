package webhook

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// timeFormat is ISO 8601 to the microsecond, which is as fine as Sentry stores.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

type wireChange struct {
	Action    Action     `json:"action"`
	ChangeID  int64      `json:"change_id"`
	CreatedAt string     `json:"created_at"`
	CreatedBy wireAuthor `json:"created_by"`
	Flag      string     `json:"flag"`
}

type wireAuthor struct {
	ID   string     `json:"id"`
	Type AuthorType `json:"type"`
}

// encode completes a change, checks it and returns it as the JSON object that
// goes into a request. A refusal is a *ChangeError without its Index.
func (c *Client) encode(change Change, now time.Time) ([]byte, Change, error) {
	change = complete(change, now)
	if err := c.validate(change); err != nil {
		return nil, Change{}, err
	}
	encoded, err := json.Marshal(wireChange{
		Action:    change.Action,
		ChangeID:  change.ChangeID,
		CreatedAt: strings.Replace(change.CreatedAt.Format(timeFormat), "Z", "+00:00", 1),
		CreatedBy: wireAuthor{ID: change.CreatedBy.ID, Type: change.CreatedBy.Type},
		Flag:      change.Flag,
	})
	if err != nil {
		return nil, Change{}, fmt.Errorf("webhook: encode a change: %w", err)
	}
	return encoded, change, nil
}

// newChangeID makes up an identifier: positive, and unlikely to be made twice.
func newChangeID() int64 { return 1 + rand.Int64N(math.MaxInt64) }

// complete fills in what the caller left to us and brings the rest into the
// form in which it is sent.
func complete(change Change, now time.Time) Change {
	if change.ChangeID == 0 {
		change.ChangeID = newChangeID()
	}
	if change.CreatedAt.IsZero() {
		change.CreatedAt = now
	}
	change.CreatedAt = change.CreatedAt.UTC().Truncate(time.Microsecond)
	change.CreatedBy.ID = trim(change.CreatedBy.ID)
	change.Flag = trim(change.Flag)
	return change
}

// validate holds a completed change against Sentry's rules.
func (c *Client) validate(change Change) error {
	refuse := func(field, reason string, args ...any) error {
		return &ChangeError{Field: field, Reason: fmt.Sprintf(reason, args...)}
	}
	if !change.Action.valid() {
		return refuse("Action", "has to be %q, %q or %q", ActionCreated, ActionUpdated, ActionDeleted)
	}
	if change.ChangeID < 0 {
		return refuse("ChangeID", "must not be negative; leave it zero to have one made up")
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
	if reason := textFault(change.Flag, c.maxFlag); reason != "" {
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

// joinBody appends to dst the request body that carries the encoded changes.
func joinBody(dst []byte, encoded ...[]byte) []byte {
	size := len(encoded) + 40 // commas and what is around them
	for _, e := range encoded {
		size += len(e)
	}
	dst = append(slices.Grow(dst, size), `{"data":[`...)
	for i, e := range encoded {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, `],"meta":{"version":1}}`...)
}
