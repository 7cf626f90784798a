package webhooktest

import (
	"bytes"
	"net/http"
	"strconv"
)

// play answers a request: as Sentry judges it, or as the fault has it.
func (h *Handler) play(w http.ResponseWriter, r *http.Request, request *Request, fault Fault, judge func() answer) {
	said := answer{status: http.StatusOK}
	judged := fault.afterStoring || fault.IsZero()
	if judged {
		said = judge()
	}
	switch fault.kind {
	case noFault:
		h.reply(w, request, said)
	case faultHold:
		h.hold(r, request, fault.release)
		if !judged {
			said = judge()
		}
		h.reply(w, request, said)
	case faultAnswer:
		h.reply(w, request, fault.answer)
	case faultDisconnect:
		h.abort(request, 0, nil)
	case faultTruncate:
		h.truncate(w, request, said)
	case faultEndless:
		h.endless(w, r, request)
	}
}

func (h *Handler) reply(w http.ResponseWriter, request *Request, a answer) {
	// Noted first: whoever has the answer finds it noted.
	h.finish(request, a.status, a.body)
	a.write(w)
}

// abort breaks the connection.
func (h *Handler) abort(request *Request, status int, sent []byte) {
	h.finish(request, status, sent)
	panic(http.ErrAbortHandler)
}

// hold waits for release, and breaks the connection if the sender or the server
// ends first.
func (h *Handler) hold(r *http.Request, request *Request, release <-chan struct{}) {
	select {
	case <-release:
		return
	default:
	}
	select {
	case <-release:
	case <-r.Context().Done():
		h.abort(request, 0, nil)
	}
}

func (h *Handler) truncate(w http.ResponseWriter, request *Request, a answer) {
	body := a.body
	if len(body) == 0 {
		body = []byte(`{"detail":"never said in full"}`)
	}
	half := body[:len(body)/2]
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(half)
	_ = http.NewResponseController(w).Flush()
	h.abort(request, a.status, half)
}

func (h *Handler) endless(w http.ResponseWriter, r *http.Request, request *Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	chunk := bytes.Repeat([]byte(" "), 4096)
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			break
		}
	}
	h.abort(request, http.StatusOK, nil)
}
