package vwo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

var _ http.Handler = (*Relay)(nil)

// resourceHeader is Sentry's header that names the resource. It is not signed.
const resourceHeader = "Sentry-Hook-Resource"

// ServeHTTP takes one webhook. See [Relay] for what it answers.
func (r *Relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	deadline := time.Now().Add(r.config.AnswerWithin)
	if !r.enter() {
		r.conclude(request.Context(), w, refuse(ReasonClosing, http.StatusServiceUnavailable))
		return
	}
	defer r.accepting.Done()
	r.conclude(request.Context(), w, r.handle(w, request, deadline))
}

func refuse(reason Reason, status int) Decision {
	return Decision{Verdict: Refused, Reason: reason, Status: status}
}

func (r *Relay) handle(w http.ResponseWriter, request *http.Request, deadline time.Time) Decision {
	if request.Method != http.MethodPost {
		return refuse(ReasonMethod, http.StatusMethodNotAllowed)
	}
	body, refused := r.read(w, request, deadline)
	if refused != nil {
		return *refused
	}
	a, d := r.judge(request.Header, body)
	if d.Verdict != "" {
		return d
	}
	return r.act(request.Context(), &a, body, d, deadline)
}

// read returns the verified body.
func (r *Relay) read(w http.ResponseWriter, request *http.Request, deadline time.Time) ([]byte, *Decision) {
	// Not every ResponseWriter has deadlines; the server's ReadTimeout then
	// takes their place.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(r.config.ReadTimeout))
	// What names no signature, or the wrong second header, is not worth a place.
	if request.ContentLength > MaxAlert {
		return nil, new(refuse(ReasonTooLarge, http.StatusRequestEntityTooLarge))
	}
	if request.Header.Get(signing.HookHeader) == "" {
		return nil, new(refuse(ReasonUnsigned, http.StatusUnauthorized))
	}
	if r.config.Header != "" {
		if given := request.Header.Values(r.config.Header); len(given) != 1 || !anyMatches(r.config.HeaderValues, given[0]) {
			return nil, new(refuse(ReasonHeader, http.StatusUnauthorized))
		}
	}
	if !r.place(request.Context(), deadline) {
		return nil, new(refuse(ReasonBusy, http.StatusServiceUnavailable))
	}
	defer func() { <-r.bodies }()

	body, err := signing.VerifyRequest(request, signing.HookHeader, r.keys, MaxAlert)
	if err != nil {
		// The deadline stays: the server reads what is left of the body.
		return nil, new(refuse(reasonOf(err), signing.StatusCode(err)))
	}
	// It would end a request that waits for its flag.
	_ = control.SetReadDeadline(time.Time{})
	// Select-option requests sign the empty string: one constant signature that
	// everybody who has seen such a request knows.
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, new(refuse(ReasonEmpty, http.StatusUnauthorized))
	}
	return body, nil
}

// place waits for one of the places for bodies until the answer is due.
func (r *Relay) place(ctx context.Context, deadline time.Time) bool {
	select {
	case r.bodies <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case r.bodies <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func reasonOf(err error) Reason {
	switch {
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

// judge reads a verified body. A decision with a verdict is final.
func (r *Relay) judge(header http.Header, body []byte) (alert, Decision) {
	a, err := decodeAlert(body)
	if err != nil {
		return a, Decision{Verdict: Ignored, Reason: ReasonMalformed, Status: http.StatusOK}
	}
	if r.config.Installation != "" && a.installation != r.config.Installation {
		return a, refuse(ReasonInstallation, http.StatusUnauthorized)
	}
	var d Decision
	d.describe(&a)
	for _, named := range header.Values(resourceHeader) {
		switch named := resource(named); {
		case named == a.resource:
		case named.recognisable() && a.resource != resourceUnknown:
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

// act decides on an authentic alert and does what follows.
func (r *Relay) act(ctx context.Context, a *alert, body []byte, d Decision, deadline time.Time) Decision {
	now := time.Now()
	d.Verdict, d.Status = Ignored, http.StatusOK
	kills, reason := decide(a, r.config.Rules, r.config.MaxAge, now)
	d.Reason = reason
	if reason != ReasonActs {
		return d
	}
	digest := sha256.Sum256(body)
	kills, d.Reason = r.memory.admit(a, digest, kills, now)
	if d.Reason == ReasonCap && r.memory.reportCap(now) {
		r.report(Report{Err: ErrCapReached, Alert: printable(a.name, maxQuoted), AcceptedAt: now})
	}
	if d.Reason != ReasonActs {
		return d
	}
	d.Verdict = Acted
	for i := range kills {
		kills[i].Alert, kills[i].AcceptedAt = authorName(a), now.UTC().Truncate(time.Microsecond)
		d.Targets = append(d.Targets, kills[i].target())
		if kills[i].Enabled {
			d.SwitchOn = append(d.SwitchOn, kills[i].target())
		}
	}
	if r.config.DryRun {
		d.Reason = ReasonDryRun
		return d
	}
	// Sentry may hang up; the alert is taken on all the same.
	return r.accept(context.WithoutCancel(ctx), digest, kills, d, deadline)
}
