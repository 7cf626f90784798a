package signing

import (
	"errors"
	"net/http"
)

// The causes of a failure, for errors.Is. None carries a secret, a signature
// or any part of a body.
var (
	// ErrEmptySecret means that a secret is empty, or white space only. An
	// empty secret never switches a check off: set one.
	ErrEmptySecret = errors.New("signing: the secret is empty; set the one that is configured in Sentry")

	// ErrShortSecret means that the process enforces FIPS 140-3
	// (GODEBUG=fips140=only) and the secret is shorter than the 14 bytes which
	// that mode asks of an HMAC key.
	ErrShortSecret = errors.New("signing: the secret is shorter than the 14 bytes that FIPS 140-only mode asks for; set a longer one")

	// ErrMissingSignature means that the message came without a signature.
	ErrMissingSignature = errors.New("signing: the signature is missing")

	// ErrMalformedSignature means that what came as a signature cannot be one:
	// it is not 64 lower-case hexadecimal digits, or the header was given more
	// than once. Sentry compares signatures as text, so upper-case digits are
	// as wrong as any other character.
	ErrMalformedSignature = errors.New("signing: the signature is not 64 lower-case hexadecimal digits")

	// ErrMismatch means that the signature belongs to another body or to
	// another secret.
	ErrMismatch = errors.New("signing: the signature does not match the body under any of the secrets")

	// ErrBodyTooLarge means that the body is longer than the limit. Answer it
	// with status 413.
	ErrBodyTooLarge = errors.New("signing: the body is larger than the limit")

	// ErrUnreadableBody means that the body could not be read to its end. The
	// cause is wrapped as well.
	ErrUnreadableBody = errors.New("signing: the body could not be read")
)

// StatusCode returns the HTTP status that tells the sender of a request why
// [VerifyRequest] refused it: 413 for a body over the limit, 401 for a missing,
// malformed or wrong signature, 400 for a body that broke off, and 500 for what
// is the receiver's own fault (no usable secret, no request). It returns 200
// for a nil error.
func StatusCode(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrMissingSignature), errors.Is(err, ErrMalformedSignature), errors.Is(err, ErrMismatch):
		return http.StatusUnauthorized
	case errors.Is(err, ErrUnreadableBody):
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}
