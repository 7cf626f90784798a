package queue

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what a [Store] keeps, in bytes. A longer one is [ErrInvalid], but
// for a reason, which is cut.
const (
	// MaxID is the longest [Item.ID].
	MaxID = 200
	// MaxKey is the longest [Item.Key].
	MaxKey = 1024
	// MaxBody is the longest [Item.Body].
	MaxBody = 1 << 20
	// MaxReason is where [Outcome.Reason] is cut.
	MaxReason = 4 << 10
	// MaxName is the longest name of a queue, a lease, a note or an owner.
	MaxName = 200
	// MaxNote is the longest [Note.Body].
	MaxNote = 16 << 20
)

// Item is what a [Store] keeps: bytes that mean nothing to it.
type Item struct {
	// ID is unique within a queue: 1 to [MaxID] bytes of valid UTF-8 without
	// U+0000. An item whose ID the queue knows already is not added again.
	ID string
	// Key orders items: of two with the same key, the one that was added first
	// is due first. Any valid UTF-8 without U+0000, at most [MaxKey] bytes, empty
	// included.
	Key string
	// Body is the content, at most [MaxBody] bytes.
	Body []byte
}

// Validate checks the item against the limits that its fields name. Its error
// is [ErrInvalid]. Every [Store] calls it.
func (i Item) Validate() error {
	if err := validateText("ID", i.ID, MaxID); err != nil {
		return err
	}
	if i.ID == "" {
		return fmt.Errorf("%w: its ID is empty", ErrInvalid)
	}
	if err := validateText("Key", i.Key, MaxKey); err != nil {
		return err
	}
	if len(i.Body) > MaxBody {
		return fmt.Errorf("%w: its Body has %d bytes, the most is %d", ErrInvalid, len(i.Body), MaxBody)
	}
	return nil
}

// ValidateName checks the name of a queue, a lease, a note or an owner: 1 to
// [MaxName] bytes of valid UTF-8 without U+0000. Its error is [ErrInvalid] and
// calls the name what. Every [Store] calls it.
func ValidateName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w: the %s has no name", ErrInvalid, what)
	}
	return validateText(what, name, MaxName)
}

func validateText(what, text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("%w: the %s has %d bytes, the most is %d", ErrInvalid, what, len(text), most)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: the %s is not valid UTF-8", ErrInvalid, what)
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("%w: the %s contains U+0000", ErrInvalid, what)
	}
	return nil
}

// CutReason prepares an [Outcome.Reason] for keeping: cut to [MaxReason] bytes
// at a code point, without invalid UTF-8 and without U+0000, so that any
// database takes it. Every [Store] calls it in Settle.
func CutReason(reason string) string {
	const mark = "\uFFFD"
	if len(reason) > MaxReason {
		reason = reason[:MaxReason]
		for reason != "" && !utf8.RuneStart(reason[len(reason)-1]) {
			reason = reason[:len(reason)-1]
		}
		// What is left ends with the first byte of a code point, whole only if
		// that is a single byte.
		if reason != "" && reason[len(reason)-1] >= utf8.RuneSelf {
			reason = reason[:len(reason)-1]
		}
	}
	reason = strings.ReplaceAll(strings.ToValidUTF8(reason, mark), "\x00", mark)
	if len(reason) > MaxReason {
		return CutReason(reason)
	}
	return reason
}
