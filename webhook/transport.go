package webhook

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
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
