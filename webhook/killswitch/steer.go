package killswitch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ToggleError is an error of a [Toggler] that says what is to follow. Make one
// with [Final], [RetryAfter] or [Unconfirmed]; the outermost one counts.
type ToggleError struct {
	// Final means that repeating the switch would change nothing.
	Final bool
	// Unconfirmed means that the flag system took the switch, and that its answer
	// does not show the state.
	Unconfirmed bool
	// RetryAfter is how long to wait before the next attempt, at least. More than
	// a minute counts as a minute: a kill does not wait on a slip in a header.
	RetryAfter time.Duration
	// Err is what went wrong. Never nil.
	Err error
}

// Error returns the text of Err.
func (e *ToggleError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *ToggleError) Unwrap() error { return e.Err }

// Final says that repeating the switch would change nothing: the flag is not
// there, say. It returns nil for nil.
func Final(err error) error { return steered(err, ToggleError{Final: true}) }

// RetryAfter says that the switch is to be tried again, and not before d has
// passed; more than a minute counts as a minute. It returns nil for nil.
func RetryAfter(err error, d time.Duration) error {
	return steered(err, ToggleError{RetryAfter: max(d, 0)})
}

// Unconfirmed says that the flag system took the switch, and that its answer
// does not show the state: err says what it shows instead. The switch counts as
// done. It returns nil for nil.
func Unconfirmed(err error) error { return steered(err, ToggleError{Unconfirmed: true}) }

func steered(err error, e ToggleError) error {
	if err == nil {
		return nil
	}
	e.Err = err
	return &e
}

// steering returns what an error says about what is to follow. An error whose
// own methods panic says nothing.
func steering(err error) (e ToggleError) {
	defer func() {
		if recover() != nil {
			e = ToggleError{Err: err}
		}
	}()
	if found, ok := errors.AsType[*ToggleError](err); ok && found != nil {
		return *found
	}
	return ToggleError{Err: err}
}

// contained is an error of somebody else's, whose methods may panic: a nil
// pointer that was taken for an error, say. It has no Unwrap, because whoever
// walks down its chain, as Sentry's SDK does, would meet them unprotected.
type contained struct{ err error }

// contain makes an error of a toggler or an emitter safe to look at.
func contain(err error) error {
	if err == nil {
		return nil
	}
	return contained{err}
}

func (c contained) Error() string { return errorText(c.err) }

// Is says for [errors.Is] what is in the chain.
func (c contained) Is(target error) (is bool) {
	defer func() { is = recover() == nil && is }()
	return errors.Is(c.err, target)
}

// As finds for [errors.As] what is in the chain.
func (c contained) As(target any) (as bool) {
	defer func() { as = recover() == nil && as }()
	return errors.As(c.err, target)
}

// maxErrorText is how many bytes of an error are shown.
const maxErrorText = 500

// errorText returns the text of an error that may be anybody's, fit for a log
// line: on one line, cut, and whatever its Error method does.
func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T, whose text cannot be read", err)
		}
	}()
	if err == nil {
		return ""
	}
	return oneLine(err.Error(), maxErrorText)
}

// oneLine escapes what does not print and cuts what is longer than limit bytes.
func oneLine(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= limit {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) && r != utf8.RuneError {
			b.WriteRune(r)
			continue
		}
		escaped := strconv.QuoteRuneToASCII(r)
		b.WriteString(escaped[1 : len(escaped)-1])
	}
	return b.String()
}
