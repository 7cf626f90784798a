package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// noAnswer is the error for a request whose answer did not arrive, or not to
// its end (status is not 0 then).
//
// Of the cause only what the standard library makes of sockets, names and
// certificates is kept: an error from anywhere else may quote the request, a
// proxy's password or a token.
func noAnswer(ctx context.Context, status int, cause error) error {
	answer := &AnswerError{Status: status, kind: ErrAmbiguous}
	if ctx.Err() != nil {
		answer.cause = contextError(ctx)
		return answer
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		answer.kind, answer.cause = ErrUnreachable, certificate
		return answer
	}
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		if op.Op == "dial" || op.Op == "proxyconnect" {
			answer.kind = ErrUnreachable
		}
		answer.cause = op
		return answer
	}
	for _, known := range []error{io.ErrUnexpectedEOF, io.EOF, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(cause, known) {
			answer.cause = known
			return answer
		}
	}
	answer.cause = fmt.Errorf("the transport failed with a %T", cause)
	return answer
}

// contextError returns why ctx ended: its own error, for errors.Is, and the
// application's cause if there is one.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
