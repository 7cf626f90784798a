package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"sync/atomic"
	"syscall"
)

// roundTrip makes a request without http.Client, which turns a redirected POST
// into a GET without a body, and an answer with a Location that is no URL into
// an error that quotes it. Without an error there is an answer with a body.
func (c *Client) roundTrip(request *http.Request) (*http.Response, error) {
	transport := c.transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	response, err := transport.RoundTrip(request)
	switch {
	case err != nil:
		return nil, err
	case response == nil:
		return nil, errNoResponse
	case response.Body == nil:
		return nil, errNoBody
	}
	return response, nil
}

// What a RoundTripper must not do, and some do.
var (
	errNoResponse = errors.New("the Transport of Config.HTTPClient returned neither an answer nor an error; correct its RoundTrip")
	errNoBody     = errors.New("the Transport of Config.HTTPClient returned an answer whose Body is nil; let its RoundTrip set http.NoBody")
)

// outgoing is a request's body on its way. It knows whether anybody has begun
// to read it, and a body that nobody has read was not sent, whatever the
// transport and whatever went wrong: no address, no connection, a TLS handshake
// that failed, a proxy that refused.
type outgoing struct {
	body  []byte
	state atomic.Int32
}

const (
	outgoingBegun   = 1
	outgoingRevoked = 2
)

var errRevoked = errors.New("webhook: the request was given up before it was sent")

// reader returns the body for one attempt; a transport may make several.
func (o *outgoing) reader() io.ReadCloser {
	r := &outgoingReader{of: o}
	r.Reset(o.body)
	return r
}

// revoke reports whether nothing was sent, and sees to it that nothing will be:
// a transport may go on after it has returned.
func (o *outgoing) revoke() bool {
	return o.state.CompareAndSwap(0, outgoingRevoked)
}

type outgoingReader struct {
	bytes.Reader
	of *outgoing
}

func (r *outgoingReader) Read(p []byte) (int, error) {
	if !r.of.begin() {
		return 0, errRevoked
	}
	return r.Reader.Read(p)
}

// WriteTo serves io.Copy.
func (r *outgoingReader) WriteTo(w io.Writer) (int64, error) {
	if !r.of.begin() {
		return 0, errRevoked
	}
	return r.Reader.WriteTo(w)
}

func (r *outgoingReader) Close() error { return nil }

func (o *outgoing) begin() bool {
	return o.state.CompareAndSwap(0, outgoingBegun) || o.state.Load() == outgoingBegun
}

// noAnswer is the error for a request whose answer did not arrive, or not to
// its end (status is not 0 then). The caller says whether the request was sent.
func noAnswer(ctx context.Context, status int, sent bool, cause error) error {
	answer := &AnswerError{Status: status, kind: ErrAmbiguous}
	if !sent || refusedHandshake(cause) {
		answer.kind = ErrUnreachable
	}
	switch {
	case errors.Is(cause, errNoResponse), errors.Is(cause, errNoBody):
		answer.kind, answer.Detail = ErrUnexpectedAnswer, cause.Error()
	case ctx.Err() != nil:
		answer.cause = contextError(ctx)
	default:
		answer.cause, _ = reason(cause)
		if !sent && answer.cause == io.EOF { //nolint:errorlint // reason returns it bare
			answer.cause = fmt.Errorf("the server hung up before the request: %w", io.EOF)
		}
	}
	return answer
}

// reason says why no answer came, and whether it is for want of a connection.
//
// Of the cause only what the standard library makes of sockets, names, TLS and
// certificates is kept: an error from anywhere else may quote the request, a
// proxy's password or a token.
func reason(cause error) (why error, connecting bool) {
	if record, ok := errors.AsType[tls.RecordHeaderError](cause); ok {
		return notTLS(record), record.Conn != nil
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		return certificate, true
	}
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		return ofSocket(op)
	}
	for _, known := range []error{io.ErrUnexpectedEOF, io.EOF, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(cause, known) {
			return known, false
		}
	}
	for e := cause; e != nil; e = errors.Unwrap(e) {
		switch text := e.Error(); {
		case text == "net/http: TLS handshake timeout":
			return errors.New("the TLS handshake took too long"), true
		case proxyAnswers[text]:
			return fmt.Errorf("the proxy did not connect and answered %q", text), true
		case tlsText.MatchString(text):
			return errors.New("the TLS handshake failed: " + text), true
		}
	}
	if e, ok := errors.AsType[net.Error](cause); ok && e.Timeout() {
		return fmt.Errorf("a time-out of the transport, a %T", cause), false
	}
	return fmt.Errorf("the transport failed with a %T", cause), false
}

// tlsText matches what crypto/tls and crypto/x509 say of a handshake for which
// they have no type.
var tlsText = regexp.MustCompile(`^(?:tls|x509): [A-Za-z0-9 ,:()'/_-]{1,120}$`)

// proxyAnswers are the reasons that HTTP knows: net/http makes an error of the
// one with which a proxy refuses to connect, and it is any text.
var proxyAnswers = func() map[string]bool {
	known := make(map[string]bool)
	for status := 300; status < 600; status++ {
		if text := http.StatusText(status); text != "" {
			known[text] = true
		}
	}
	return known
}()

// notTLS says what answered instead. A record after the first has no Conn.
func notTLS(record tls.RecordHeaderError) error {
	if record.Conn == nil {
		return errors.New("the server's TLS went wrong on the way")
	}
	if string(record.RecordHeader[:]) == "HTTP/" {
		return errors.New("the server speaks plain HTTP on this port, not TLS; correct the port or the scheme")
	}
	return errors.New("what answers on this port does not speak TLS; correct the port or the scheme")
}

// ofSocket keeps an error of a socket, and what is below it if that is known
// to quote nothing.
func ofSocket(op *net.OpError) (why error, connecting bool) {
	if !quotesNothing(op.Err) {
		named := *op
		named.Err = fmt.Errorf("a %T", op.Err)
		op = &named
	}
	switch op.Op {
	case "remote error":
		return fmt.Errorf("the server broke off TLS: %w", op), refusedHandshake(op)
	case "local error":
		return fmt.Errorf("TLS was broken off here: %w", op), false
	}
	return op, op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect"
}

func quotesNothing(err error) bool {
	for _, known := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	switch e := err.(type) { //nolint:errorlint // a wrapper of any other type could quote anything
	case syscall.Errno, *net.DNSError, *net.AddrError, *net.ParseError, net.UnknownNetworkError, net.InvalidAddrError,
		*tls.CertificateVerificationError:
		return true
	case *os.SyscallError:
		return quotesNothing(e.Err)
	case *net.OpError:
		return quotesNothing(e.Err)
	case nil:
		return false
	}
	return isAlert(err) || socksAnswers[err.Error()]
}

// socksAnswers is how net/http says that a SOCKS proxy refuses.
var socksAnswers = map[string]bool{
	"no acceptable authentication methods":            true,
	"username/password authentication failed":         true,
	"unknown error general SOCKS server failure":      true,
	"unknown error connection not allowed by ruleset": true,
	"unknown error network unreachable":               true,
	"unknown error host unreachable":                  true,
	"unknown error connection refused":                true,
	"unknown error TTL expired":                       true,
	"unknown error command not supported":             true,
	"unknown error address type not supported":        true,
}

// refusingAlerts are the alerts with which a server refuses a handshake and
// nothing else. Under TLS 1.3 a client has sent its request by the time that the
// server looks at the client's certificate; the server does not read it.
var refusingAlerts = []tls.AlertError{
	40,                     // handshake failure
	42, 43, 44, 45, 46, 48, // the client's certificate
	49,     // access denied
	70, 71, // version, security level
	109, 112, // missing extension, name
	116, 120, // certificate required, application protocol
}

func refusedHandshake(cause error) bool {
	op, ok := errors.AsType[*net.OpError](cause)
	if !ok || op.Op != "remote error" || !isAlert(op.Err) {
		return false
	}
	for _, alert := range refusingAlerts {
		if op.Err.Error() == alert.Error() {
			return true
		}
	}
	return false
}

// isAlert reports whether err is an alert of crypto/tls, which has no exported
// type and a fixed text.
func isAlert(err error) bool { return fmt.Sprintf("%T", err) == "tls.alert" }

// nothingStored is the error for a context that ended before the request left.
func nothingStored(ctx context.Context) error {
	return fmt.Errorf("webhook: nothing was stored: %w", contextError(ctx))
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
