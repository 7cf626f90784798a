package signing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
)

// DefaultMaxBody is the largest body, in bytes, that [VerifyRequest] reads
// unless it is told otherwise: 1 MiB.
const DefaultMaxBody = 1 << 20

// VerifyRequest reads the body of r, at most maxBody bytes, verifies the
// signature in the named header ([Header] or [HookHeader]) over it, and returns
// the raw body. A maxBody of zero or less means [DefaultMaxBody]. The body of r
// is consumed.
//
// A request that names no usable signature, or announces a body over the limit,
// is refused before its body is read. On an error the returned body is nil.
//
// It fails as [Verify] does, and with [ErrBodyTooLarge] or [ErrUnreadableBody].
// [StatusCode] turns the error into an HTTP status. Time limits are the
// server's (http.Server.ReadTimeout, http.ResponseController.SetReadDeadline).
func VerifyRequest(r *http.Request, header string, keys Keys, maxBody int64) ([]byte, error) {
	if r == nil {
		return nil, errors.New("signing: the request is nil")
	}
	if maxBody <= 0 {
		maxBody = DefaultMaxBody
	}
	signature, err := fromHeader(r.Header, header)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r, maxBody)
	if err != nil {
		return nil, err
	}
	if err := Verify(keys, body, signature); err != nil {
		return nil, err
	}
	return body, nil
}

func fromHeader(h http.Header, name string) (string, error) {
	values := h.Values(name)
	switch len(values) {
	case 0:
		return "", ErrMissingSignature
	case 1:
		return values[0], wellFormed(values[0])
	default:
		return "", fmt.Errorf("%w: the header is given %d times", ErrMalformedSignature, len(values))
	}
}

// believed is how many bytes of a body are made room for before they arrive.
const believed = 64 << 10

func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	if r.Body == nil {
		return nil, nil
	}
	// One byte past the limit tells a body that fills it from one that exceeds it.
	past := limit
	if past < math.MaxInt64 {
		past++
	}
	// As much as is announced, unless whoever announces it may not be believed.
	read := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), believed)+bytes.MinRead))
	_, err := read.ReadFrom(io.LimitReader(r.Body, past))
	body := read.Bytes()
	// A body may exceed this limit and, at the same time, one that the server
	// put around it; either way it is too large.
	if _, capped := errors.AsType[*http.MaxBytesError](err); capped || int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadableBody, err)
	}
	return body, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w of %d bytes", ErrBodyTooLarge, limit)
}
