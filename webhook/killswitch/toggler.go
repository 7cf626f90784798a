package killswitch

import (
	"context"
	"errors"
)

// Toggler sets the state of flags in a flag system.
//
// Toggle sets the flag of s to s.On and returns the state that the flag had
// before, StateUnknown if it cannot tell; it may know that beside an error, too.
// Setting a state that is set already
// must be harmless, because a call whose outcome is not known is repeated, with
// the same [Switch.ID]. Toggle is called from several goroutines, for different
// flags at the same time, and must return when ctx ends.
//
// A nil error means that the flag system has said that it is done. What another
// error says steers what follows:
//
//   - [Final]: repeating it would change nothing; a person is told.
//   - [RetryAfter]: it is tried again, and not before that time has passed.
//   - [Unconfirmed]: the flag system took it, and its answer does not show the
//     state. It counts as done, and a person is told once.
//   - Everything else is tried again, with growing pauses.
//
// Errors are logged and shown to people: they must not hold a token or a URL
// that carries one.
type Toggler interface {
	Toggle(ctx context.Context, s Switch) (was State, err error)
}

// Validator is a [Toggler] that knows which targets it cannot serve by their
// names alone. Validate asks nobody and returns what is wrong with the target:
// a missing attribute, a character that cannot be.
//
// Names are the toggler's business: what is a legal name in one flag system
// ("checkout.v2", "team:checkout", "New checkout") is none in another.
type Validator interface {
	Validate(t Target) error
}

// Checker is a [Toggler] that can ask its flag system whether targets exist and
// whether it may switch them, without changing anything. Check returns one error
// that joins what is wrong with each, and says what there is instead where that
// can be listed. It may take a request per target, and returns when ctx ends.
type Checker interface {
	Check(ctx context.Context, targets ...Target) error
}

var errPanicked = errors.New("killswitch: the toggler panicked")

// toggle calls the toggler, which may be anybody's, and survives it.
func toggle(ctx context.Context, t Toggler, s Switch) (was State, err error) {
	defer func() {
		if recover() != nil {
			was, err = StateUnknown, errPanicked
		}
	}()
	was, err = t.Toggle(ctx, s)
	if !was.known() {
		was = StateUnknown
	}
	return was, contain(err)
}
