package receive

import (
	"errors"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/request"
	"github.com/sentryflags/sentryflags-go/signing"
)

const (
	// smallBody is what needs no place, so that slow strangers keep nobody out.
	smallBody = 64 << 10
	// maxLargeBodies is how many larger ones may arrive at once, so that they
	// cannot fill the memory.
	maxLargeBodies = 8
)

// admit returns the body of a request that the product has sent, or why it is
// refused.
func (r *Receiver) admit(w http.ResponseWriter, incoming *http.Request) ([]byte, Result, int) {
	if encoding := incoming.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, Unfit, http.StatusUnsupportedMediaType
	}
	// Not every ResponseWriter has deadlines; the server's ReadTimeout then takes
	// their place.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(r.config.ReadTimeout))
	body := request.NewBody(incoming, smallBody, r.places, time.Now().Add(r.config.ReadTimeout))
	defer body.Leave()
	arriving := *incoming
	arriving.Body = body
	content, err := r.config.Product.admit(&arriving, r.keys, r.config.MaxBody)
	switch {
	case body.WasRead(incoming.ContentLength):
		return nil, BodyRead, http.StatusInternalServerError
	case errors.Is(err, request.ErrBusy):
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
