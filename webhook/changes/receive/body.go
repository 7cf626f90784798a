package receive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

const (
	// smallBody is what needs no place, so that slow strangers keep nobody out.
	smallBody = 64 << 10
	// maxLargeBodies is how many larger ones may arrive at once, so that they
	// cannot fill the memory.
	maxLargeBodies = 8
)

var errBusy = errors.New("receive: too many large bodies at once")

// admit returns the body of a request that the product has sent, or why it is
// refused.
func (r *Receiver) admit(w http.ResponseWriter, request *http.Request) ([]byte, Result, int) {
	if encoding := request.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, Unfit, http.StatusUnsupportedMediaType
	}
	// Not every ResponseWriter has deadlines; the server's ReadTimeout then takes
	// their place.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(r.config.ReadTimeout))
	body := &arriving{body: request.Body, places: r.places, ctx: request.Context(), until: time.Now().Add(r.config.ReadTimeout)}
	defer body.leave()
	arriving := *request
	arriving.Body = body
	content, err := r.config.Product.admit(&arriving, r.keys, r.config.MaxBody)
	switch {
	case body.wasRead(request.ContentLength):
		return nil, BodyRead, http.StatusInternalServerError
	case errors.Is(err, errBusy):
		return nil, Busy, http.StatusServiceUnavailable
	case err != nil:
		return nil, resultOf(err), signing.StatusCode(err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return content, Accepted, http.StatusOK
}

func resultOf(err error) Result {
	switch {
	case errors.Is(err, signing.ErrBodyTooLarge):
		return TooLarge
	case errors.Is(err, signing.ErrMissingSignature):
		return Unsigned
	case errors.Is(err, signing.ErrMalformedSignature), errors.Is(err, signing.ErrMismatch):
		return Forged
	}
	return Broken
}

// arriving is a body that is being read.
type arriving struct {
	body   io.ReadCloser
	places chan struct{}
	ctx    context.Context //nolint:containedctx // the request's, for as long as its body is read
	until  time.Time

	asked, placed bool
	read          int64
	err           error
}

func (a *arriving) Read(p []byte) (int, error) {
	a.asked = true
	if a.body == nil {
		return 0, io.EOF
	}
	if a.read >= smallBody && !a.placed && !a.enter() {
		return 0, errBusy
	}
	n, err := a.body.Read(p)
	a.read += int64(n)
	if err != nil {
		a.err = err
	}
	return n, err
}

// Close leaves the body to the server.
func (a *arriving) Close() error { return nil }

func (a *arriving) enter() bool {
	timer := time.NewTimer(time.Until(a.until))
	defer timer.Stop()
	select {
	case a.places <- struct{}{}:
		a.placed = true
	case <-timer.C:
	case <-a.ctx.Done():
	}
	return a.placed
}

func (a *arriving) leave() {
	if a.placed {
		<-a.places
	}
}

// wasRead reports whether somebody has read the body before. The server gives
// either what was announced or an error; a length of -1 announces something of
// any length.
func (a *arriving) wasRead(announced int64) bool {
	if !a.asked {
		return false
	}
	return errors.Is(a.err, http.ErrBodyReadAfterClose) || a.read == 0 && announced > 0 && (a.body == nil || errors.Is(a.err, io.EOF))
}
