package request

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// ErrBusy is that no place for a large body was free in time.
var ErrBusy = errors.New("too many large bodies at once")

// Body is a request's body that a stranger may send. As much as small needs
// nothing, so that slow strangers keep nobody out; a larger one needs a place from
// there on, so that they cannot fill the memory.
type Body struct {
	body   io.ReadCloser
	small  int64
	places chan struct{}
	until  time.Time
	ctx    context.Context //nolint:containedctx // the request's, for as long as its body is read

	asked, placed bool
	read          int64
	err           error
}

// NewBody returns the body of a request, which waits for one of the places no
// longer than until. Leave has to be called.
func NewBody(r *http.Request, small int64, places chan struct{}, until time.Time) *Body {
	return &Body{body: r.Body, small: small, places: places, until: until, ctx: r.Context()}
}

// Read fails with [ErrBusy] where a place is needed and none is free.
func (b *Body) Read(p []byte) (int, error) {
	b.asked = true
	if b.body == nil {
		return 0, io.EOF
	}
	if b.read >= b.small && !b.placed && !b.enter() {
		return 0, ErrBusy
	}
	n, err := b.body.Read(p)
	b.read += int64(n)
	if err != nil {
		b.err = err
	}
	return n, err
}

// Close leaves the body to the server.
func (b *Body) Close() error { return nil }

func (b *Body) enter() bool {
	timer := time.NewTimer(time.Until(b.until))
	defer timer.Stop()
	select {
	case b.places <- struct{}{}:
		b.placed = true
	case <-timer.C:
	case <-b.ctx.Done():
	}
	return b.placed
}

// Leave gives the place back.
func (b *Body) Leave() {
	if b.placed {
		<-b.places
	}
}

// WasRead reports whether somebody has read the body before, of which announced
// bytes were announced, or -1. The server gives either what was announced or an
// error; of a body that nobody asked for it says nothing.
func (b *Body) WasRead(announced int64) bool {
	if !b.asked {
		return false
	}
	return errors.Is(b.err, http.ErrBodyReadAfterClose) || b.read == 0 && announced > 0 && (b.body == nil || errors.Is(b.err, io.EOF))
}
