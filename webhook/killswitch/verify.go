package killswitch

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/request"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// resourceHeader is Sentry's header that names the resource. It is not signed.
const resourceHeader = "Sentry-Hook-Resource"

// verify returns the body of a request, if it is certain that Sentry sent it.
func (r *Relay) verify(w http.ResponseWriter, incoming *http.Request, deadline time.Time) ([]byte, *Decision) {
	if incoming.Method != http.MethodPost {
		return nil, refuse(ReasonMethod, http.StatusMethodNotAllowed)
	}
	// Not every ResponseWriter has deadlines; the server's ReadTimeout then
	// takes their place.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(r.config.ReadTimeout))
	if incoming.ContentLength > MaxAlert {
		return nil, refuse(ReasonTooLarge, http.StatusRequestEntityTooLarge)
	}
	if incoming.Header.Get(signing.HookHeader) == "" {
		// Whoever looks for holes posts forms.
		if strings.HasPrefix(incoming.Header.Get("Content-Type"), "application/json") && r.counts.unsigned() {
			r.reportOnce("unsigned", Report{Err: ErrUnsigned, Reason: ReasonUnsigned})
		}
		return nil, refuse(ReasonUnsigned, http.StatusUnauthorized)
	}
	if r.config.Header != "" && !r.secondFactor(incoming.Header.Values(r.config.Header)) {
		return nil, refuse(ReasonHeader, http.StatusUnauthorized)
	}
	arriving := request.NewBody(incoming, smallBody, r.places, deadline)
	defer arriving.Leave()
	incoming.Body = arriving
	body, err := signing.VerifyRequest(incoming, signing.HookHeader, r.keys, MaxAlert)
	switch {
	case arriving.WasRead(incoming.ContentLength):
		return nil, refuse(ReasonBodyRead, http.StatusInternalServerError)
	case err != nil:
		// The deadline stays: the server reads what is left of the body.
		return nil, refuse(reasonOf(err), statusOf(err))
	}
	// It would end a incoming that waits for its flag.
	_ = control.SetReadDeadline(time.Time{})
	// Select-option requests sign the empty string: one constant signature that
	// everybody who has seen such a incoming knows.
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuse(ReasonEmpty, http.StatusUnauthorized)
	}
	return body, nil
}

func refuse(reason Reason, status int) *Decision {
	return &Decision{Verdict: Refused, Reason: reason, Status: status}
}

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, request.ErrBusy):
		return ReasonBusy
	case errors.Is(err, signing.ErrBodyTooLarge):
		return ReasonTooLarge
	case errors.Is(err, signing.ErrMissingSignature):
		return ReasonUnsigned
	case errors.Is(err, signing.ErrMalformedSignature), errors.Is(err, signing.ErrMismatch):
		return ReasonForged
	default:
		return ReasonUnreadable
	}
}

func statusOf(err error) int {
	if errors.Is(err, request.ErrBusy) {
		return http.StatusServiceUnavailable
	}
	return signing.StatusCode(err)
}

// secondFactor compares in constant time: texts are equal if they sign equally.
func (r *Relay) secondFactor(given []string) bool {
	if len(given) != 1 || given[0] == "" {
		return false
	}
	message := []byte("second factor")
	signature, err := signing.Sign(signing.NewSecret(given[0]), message)
	return err == nil && signing.Verify(r.factors, message, signature) == nil
}

// read reads a verified body. A decision with a verdict is final.
func (r *Relay) read(header http.Header, body []byte) (alert.Alert, Decision) {
	a, err := alert.Parse(body)
	if err != nil {
		return a, Decision{Verdict: Ignored, Reason: ReasonMalformed, Status: http.StatusOK, Note: errorText(err)}
	}
	if r.config.Installation != "" && a.Installation != r.config.Installation {
		return a, *refuse(ReasonInstallation, http.StatusUnauthorized)
	}
	var d Decision
	d.describe(&a)
	for _, named := range header.Values(resourceHeader) {
		switch named := alert.Resource(named); {
		case named == a.Resource:
		case recognisable(named) && a.Resource != alert.Unknown:
			d.Verdict, d.Reason, d.Status = Refused, ReasonContradicted, http.StatusUnauthorized
			return a, d
		default:
			// A resource of which nothing is known may look like another one.
			d.Verdict, d.Reason, d.Status = Ignored, ReasonResource, http.StatusOK
			return a, d
		}
	}
	return a, d
}

// recognisable reports whether a body of the resource would be recognised.
func recognisable(r alert.Resource) bool {
	switch r {
	case alert.EventAlert, alert.MetricAlert, alert.ActivityAlert, alert.Issue, alert.Error, alert.Comment, alert.Installation:
		return true
	}
	return false
}
