package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"unicode"
)

// roundTrip makes a request without http.Client, which turns a redirected POST
// into a GET without a body, and an answer with a Location that is no URL into
// an error that quotes it.
func (c *Client) roundTrip(request *http.Request) (*http.Response, error) {
	transport := c.transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return transport.RoundTrip(request)
}

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

// private matches what must not come through from foreign text: a digest that
// somebody echoes, and the credentials within a URL.
var private = regexp.MustCompile(`[0-9A-Fa-f]{64,}|//[^/\s"@]*@`)

// clean makes foreign text fit for an error or a log: nothing private, no
// control characters, at most limit code points.
func clean(s string, limit int) string {
	// Longer text is cut first, so that ten megabytes cost nothing; the margin
	// keeps a digest whole for the pattern to see.
	if most := 4*limit + 256; len(s) > most {
		s = s[:most]
	}
	s = private.ReplaceAllStringFunc(s, func(found string) string {
		if strings.HasPrefix(found, "//") {
			return "//[redacted]@"
		}
		return "[redacted]"
	})
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
