package webhooktest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// Handler is the stand-in as an http.Handler, to be mounted at the root of a
// server of your own; [NewServer] runs one for you. It is safe for concurrent
// use.
type Handler struct {
	config Config

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced at every change of what follows
	secret     signing.Secret
	queue      []Fault
	persistent Fault
	requests   []*Request
	answered   int // of them
	records    []Record
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a stand-in. It panics if the config is impossible, as it
// is meant for tests.
func NewHandler(config Config) *Handler {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		panic(err)
	}
	return &Handler{
		config:  config,
		changed: make(chan struct{}),
		secret:  config.Secret,
	}
}

// Path is the endpoint's path, with the slash at its end that Sentry requires.
func (h *Handler) Path() string {
	return apiPath + h.config.Organization + hookSuffix
}

// LogsPath is the path that the log is read under.
func (h *Handler) LogsPath() string {
	return apiPath + h.config.Organization + logsSuffix
}

// Token is the one that the log is read with.
func (h *Handler) Token() string { return h.config.Token }

// Secret is the one that is saved now.
func (h *Handler) Secret() signing.Secret {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.secret
}

// SetSecret saves a new secret in place of the old one, with no overlap, as
// Sentry does. The zero value plays a Sentry without any: 401.
func (h *Handler) SetSecret(secret signing.Secret) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret = secret
}

// Records returns what was stored, in that order.
func (h *Handler) Records() []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.records)
}

// Changes returns the changes of [Handler.Records].
func (h *Handler) Changes() []webhook.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	changes := make([]webhook.Change, len(h.records))
	for i, record := range h.records {
		changes[i] = record.Change
	}
	return changes
}

// Requests returns every request received so far, except those of the log.
func (h *Handler) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := make([]Request, len(h.requests))
	for i, r := range h.requests {
		requests[i] = r.clone()
	}
	return requests
}

const (
	apiPath    = "/api/0/organizations/"
	hookSuffix = "/flags/hooks/provider/generic/"
	hookPrefix = "/flags/hooks/provider/"
	logsSuffix = "/flags/logs/"
)

// ServeHTTP judges a request, unless a fault has been scripted for it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, isAPI := strings.CutPrefix(r.URL.Path, apiPath)
	if organization, isLogs := strings.CutSuffix(rest, logsSuffix); isAPI && isLogs && !strings.Contains(organization, "/") {
		h.logs(r, organization).write(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.config.MaxBody))
	request, fault := h.receive(r, body)
	answer := func() answer {
		if err != nil {
			return unreadable(err)
		}
		a, entries := h.judge(r, body)
		h.store(request, entries)
		return a
	}
	h.play(w, r, request, fault, answer)
}

// receive notes the request and takes the fault that is meant for it.
func (h *Handler) receive(r *http.Request, body []byte) (*Request, Fault) {
	now := h.config.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	fault := h.persistent
	if len(h.queue) > 0 {
		fault, h.queue = h.queue[0], h.queue[1:]
	}
	request := &Request{
		Number:     len(h.requests) + 1,
		ReceivedAt: now,
		Method:     r.Method,
		URI:        r.RequestURI,
		Header:     r.Header.Clone(),
		Body:       body,
		Fault:      fault,
	}
	h.requests = append(h.requests, request)
	h.broadcast()
	return request, fault
}

// store writes all entries of a request at once.
func (h *Handler) store(request *Request, entries []entry) {
	if len(entries) == 0 {
		return
	}
	now := h.config.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		// Inside a request a repeated change_id is dropped without a word.
		if seen[e.changeID] {
			continue
		}
		seen[e.changeID] = true
		h.records = append(h.records, Record{
			ID:       int64(len(h.records) + 1),
			Change:   e.change,
			ChangeID: e.changeID,
			StoredAt: now,
			Request:  request.Number,
		})
		request.Stored++
	}
	h.broadcast()
}

// finish notes what became of a request.
func (h *Handler) finish(request *Request, status int, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	request.Answered, request.Status, request.Answer = true, status, body
	h.answered++
	h.broadcast()
}

// broadcast wakes those who wait. h.mu is held.
func (h *Handler) broadcast() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// String keeps the secret and the bodies out of what is printed.
func (h *Handler) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("webhooktest.Handler(%s: %d requests, %d changes)", h.config.Organization, len(h.requests), len(h.records))
}

// WaitChanges waits until n changes are stored and returns all that are. It
// fails when ctx is done first, and says how far it came and what the newest
// request was answered.
func (h *Handler) WaitChanges(ctx context.Context, n int) ([]webhook.Change, error) {
	err := h.wait(ctx, "changes stored", n, func() int { return len(h.records) })
	return h.Changes(), err
}

// WaitReceived waits until n requests were received with their whole bodies,
// answered or not, and returns all that were.
func (h *Handler) WaitReceived(ctx context.Context, n int) ([]Request, error) {
	err := h.wait(ctx, "requests received", n, func() int { return len(h.requests) })
	return h.Requests(), err
}

// WaitAnswered waits until n requests are over, however they ended, and returns
// all that were received.
func (h *Handler) WaitAnswered(ctx context.Context, n int) ([]Request, error) {
	err := h.wait(ctx, "requests answered", n, func() int { return h.answered })
	return h.Requests(), err
}

// wait looks at each change of the handler, with h.mu held: so it counts, and
// leaves copying for the end.
func (h *Handler) wait(ctx context.Context, what string, n int, count func() int) error {
	for {
		h.mu.Lock()
		have, changed := count(), h.changed
		h.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("webhooktest: %d of %d %s, %s: %w", have, n, what, h.newest(), context.Cause(ctx))
		}
	}
}

// newest says what became of the newest request, where a sender's fault shows.
func (h *Handler) newest() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.requests) == 0 {
		return "no request came"
	}
	r := h.requests[len(h.requests)-1]
	return fmt.Sprintf("and of %d requests the newest, %s %s, was answered %d %.300q", len(h.requests), r.Method, r.URI, r.Status, r.Answer)
}
