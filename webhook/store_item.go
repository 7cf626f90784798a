package webhook

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of an [Item] and of what a [Store] keeps with it, in bytes.
const (
	// MaxItemID is the longest [Item.ID].
	MaxItemID = 200
	// MaxItemKey is the longest [Item.Key].
	MaxItemKey = 1024
	// MaxItemBody is the longest [Item.Body].
	MaxItemBody = 1 << 20
	// MaxReason is where [Outcome.Reason] is cut.
	MaxReason = 4 << 10
	// MaxQueue is the longest name of a queue.
	MaxQueue = 200
)

// Validate checks the item against the limits that its fields name. Its error
// is [ErrInvalidItem]. Every [Store] calls it in Enqueue.
func (i Item) Validate() error {
	if err := validateText("ID", i.ID, MaxItemID); err != nil {
		return err
	}
	if i.ID == "" {
		return fmt.Errorf("%w: its ID is empty", ErrInvalidItem)
	}
	if err := validateText("Key", i.Key, MaxItemKey); err != nil {
		return err
	}
	if len(i.Body) > MaxItemBody {
		return fmt.Errorf("%w: its Body has %d bytes, the most is %d", ErrInvalidItem, len(i.Body), MaxItemBody)
	}
	return nil
}

// ValidateQueue checks the name of a queue: 1 to [MaxQueue] bytes of valid
// UTF-8 without U+0000. Its error is [ErrInvalidItem]. Every [Store] calls it.
func ValidateQueue(queue string) error {
	if queue == "" {
		return fmt.Errorf("%w: the queue has no name", ErrInvalidItem)
	}
	return validateText("queue", queue, MaxQueue)
}

func validateText(what, text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("%w: %s has %d bytes, the most is %d", ErrInvalidItem, what, len(text), most)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: %s is not valid UTF-8", ErrInvalidItem, what)
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("%w: %s contains U+0000", ErrInvalidItem, what)
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
