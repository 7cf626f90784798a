package alert

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The limits of [Parse].
const (
	// MaxBody is the largest body in bytes: 5 MiB. Sentry takes events of 1 MiB,
	// and escapes non-ASCII text to up to three times its size.
	MaxBody = 5 << 20
	// MaxDepth is how deep JSON may nest. Sentry's payloads stay below 20; the
	// limit is that of the JSON library, and keeps the stack small.
	MaxDepth = 10_000
	// MaxElements is the largest number of tags, of flags, of settings and of
	// projects, each. Sentry's limits are far below. None is left out quietly,
	// because it could be the one that matters.
	MaxElements = 1000
)

// Why a body cannot be read. The errors of [Parse] wrap one of them and hold
// nothing of the body but the number of a byte.
var (
	// ErrTooLarge means that the body has more than MaxBody bytes.
	ErrTooLarge = errors.New("alert: the body is too large")
	// ErrMalformed means that the body is not one JSON object, or nests deeper
	// than MaxDepth. Check that the body is what arrived, byte for byte.
	ErrMalformed = errors.New("alert: the body is not a JSON object")
	// ErrDuplicateKey means that an object in the body has a key twice. Which of
	// two values counts is for nobody to guess.
	ErrDuplicateKey = errors.New("alert: the body has a key twice")
	// ErrTooMany means that there are more than MaxElements tags, flags, settings
	// or projects.
	ErrTooMany = errors.New("alert: the body has too many tags, flags, settings or projects")
)

// A message or a stack trace may hold half a surrogate pair; the alert is to be
// read all the same. Names with such text are equal to no other name.
var lenient = jsontext.AllowInvalidUTF8(true)

// Parse reads the body of a webhook. Keys count in their exact case, and a key
// that an object has twice is an error ([ErrDuplicateKey]). A value of an
// unexpected type is taken for a missing one, and a resource that is not known
// gives an Alert with the [Unknown] resource.
//
// It verifies nothing: see package signing. It does not keep the body.
func Parse(body []byte) (Alert, error) {
	if len(body) > MaxBody {
		return Alert{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, len(body), MaxBody)
	}
	var p payload
	if err := json.Unmarshal(body, &p, lenient); err != nil {
		return Alert{}, withoutBody(err)
	}
	if !p.isObject {
		return Alert{}, ErrMalformed
	}
	return p.finish(), nil
}

// withoutBody replaces the library's error, which quotes the path to the fault.
func withoutBody(err error) error {
	if errors.Is(err, ErrTooMany) {
		return fmt.Errorf("%w: at most %d of each are allowed", ErrTooMany, MaxElements)
	}
	cause := ErrMalformed
	if errors.Is(err, jsontext.ErrDuplicateName) {
		cause = ErrDuplicateKey
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("%w (at byte %d)", cause, syntactic.ByteOffset)
	}
	return cause
}
