package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Receiver takes the webhooks of one product, as an [http.Handler]. It answers
//
//	200  taken, known already, or of no effect; its body says which
//	400  signed, and not as the product writes it, or it broke off
//	401  without a signature, or with a wrong one
//	405  a method that the product does not use
//	413  over [Config.MaxBody]
//	415  compressed: the signature is over what arrives
//	500  something in front of it has read the body
//	503  the store does not answer, there is no room, or it is closing: try again
//
// The type that the body is said to have does not matter: the signature is over
// its bytes. Its errors repeat nothing of a request.
type Receiver struct {
	config Config
	keys   signing.Keys
	places chan struct{} // for large bodies
	counts counts
	queue  deliveries

	cancel  context.CancelFunc
	ended   chan struct{} // when nothing is delivered any more
	closing chan struct{}
	once    sync.Once
}

var _ http.Handler = (*Receiver)(nil)

// New makes a receiver; close it with [Receiver.Close], before the watchers and
// the emitter. Its errors wrap [ErrInvalidConfig].
func New(config Config) (*Receiver, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	keys, err := signing.NewKeys(config.Secrets...)
	if err != nil {
		return nil, fmt.Errorf("%w: Secrets: %w", ErrInvalidConfig, err)
	}
	config.Watchers = slices.Clone(config.Watchers)
	r := &Receiver{
		config: config, keys: keys, places: make(chan struct{}, maxLargeBodies),
		ended: make(chan struct{}), closing: make(chan struct{}),
	}
	r.counts.stats.Results, r.counts.stats.Unknown = make(map[Result]int64, len(results)), map[string]int64{}
	for _, result := range results {
		r.counts.stats.Results[result] = 0
	}
	r.queue.init()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.ended)
		r.deliver(ctx)
	}()
	return r, nil
}

// Name is what the receiver is called.
func (r *Receiver) Name() string { return r.config.Name }

// ServeHTTP takes one webhook.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	result, status, text := r.take(w, request)
	r.counts.change(func(s *Stats) { s.Results[result]++ })
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // nobody is left to tell
}

func (r *Receiver) take(w http.ResponseWriter, request *http.Request) (Result, int, string) {
	select {
	case <-r.closing:
		return Busy, http.StatusServiceUnavailable, "closing; try again"
	default:
	}
	if methods := r.config.Product.methods(); !slices.Contains(methods, request.Method) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return Unfit, http.StatusMethodNotAllowed, "refused: the product does not use this method"
	}
	body, result, status := r.admit(w, request)
	now := time.Now()
	if result != Accepted {
		r.refused(result, now)
		return result, status, "refused: " + string(result)
	}
	r.authentic(now)
	n, err := r.config.Product.read(body)
	if err != nil {
		r.config.Logger.Error("receive: a signed webhook cannot be read", "receiver", r.config.Name, "event", shown(n.event), "bytes", len(body), "err", errorText(err))
		return Unreadable, http.StatusBadRequest, "refused: " + errorText(err)
	}
	if n.result == Accepted {
		r.date(&n, now)
	}
	switch n.result {
	case Accepted:
		return r.accept(request.Context(), body, n, now)
	case Unknown:
		r.unknown(n)
	case Old:
		r.config.Logger.Warn("receive: a webhook is too old, or the clocks differ", "receiver", r.config.Name, "event", shown(n.event))
	}
	return n.result, http.StatusOK, answerText(n.result, n.why)
}

func answerText(result Result, why string) string {
	if why == "" {
		return string(result)
	}
	return string(result) + ": " + why
}

// refused says what a person has to mend.
func (r *Receiver) refused(result Result, now time.Time) {
	switch result {
	case Forged:
		r.forged(now)
	case Unsigned:
		r.unsigned(now)
	case BodyRead:
		r.config.Logger.Error("receive: something has read the body before the receiver: it has to stand in front of what does", "receiver", r.config.Name)
	case TooLarge, Broken, Busy:
		r.config.Logger.Warn("receive: a webhook did not arrive", "receiver", r.config.Name, "result", string(result), "most", r.config.MaxBody)
	}
}

// date takes out what is old, and leaves no time that has not come yet: by a clock
// that is ahead nobody knows when a change was made. Taken for a time after the
// change was found, it would make the author sign the flag's next one.
func (r *Receiver) date(n *notice, now time.Time) {
	said := len(n.edits)
	n.edits = slices.DeleteFunc(n.edits, func(e edit) bool {
		return !e.at.IsZero() && (now.Sub(e.at) > r.config.MaxAge || e.at.Sub(now) > r.config.MaxAge)
	})
	if said > 0 && len(n.edits) == 0 {
		n.result, n.why = Old, "older than what is taken, or the clocks differ"
	}
	for i := range n.edits {
		if n.edits[i].at.After(now) {
			n.edits[i].at = time.Time{}
		}
	}
}

// accept keeps what a webhook says, and answers when it is kept.
func (r *Receiver) accept(ctx context.Context, body []byte, n notice, now time.Time) (Result, int, string) {
	for _, watcher := range r.config.Watchers {
		watcher.Look()
	}
	d := &delivery{id: digest([]byte(r.config.Name), body), notice: n, received: now, kept: make(chan struct{})}
	if len(r.config.Watchers) > 0 {
		d.edits = slices.DeleteFunc(d.edits, func(e edit) bool { return !e.lends() || len(e.flag) > queue.MaxKey })
		d.edits = d.edits[:min(len(d.edits), maxLoans)]
		if len(d.edits) == 0 {
			return Accepted, http.StatusOK, "accepted: the watcher looks"
		}
	}
	d, ok := r.queue.add(d, int64(len(body)))
	r.counts.change(func(s *Stats) { s.Waiting = r.queue.len() })
	if !ok {
		r.config.Logger.Error("receive: too many webhooks wait for the store; this one was refused", "receiver", r.config.Name)
		return Unkept, http.StatusServiceUnavailable, "no room; try again"
	}
	timer := time.NewTimer(r.config.Patience)
	defer timer.Stop()
	select {
	case <-d.kept:
		return d.result, http.StatusOK, answerText(d.result, d.why)
	case <-timer.C:
	case <-ctx.Done():
	case <-r.ended:
	}
	return Unkept, http.StatusServiceUnavailable, "the store does not answer; try again"
}

// maxLoans is how many authors one webhook may lend.
const maxLoans = 200

var errNilContext = errors.New("receive: the context is nil; pass context.Background() if there is none")

// Close refuses further webhooks, keeps those that wait, and ends. What could not
// be kept when ctx ends is lost, unless the product tries again; the error and the
// log say how much. It may be called again.
func (r *Receiver) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	r.once.Do(func() { close(r.closing) })
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
	}
	r.cancel()
	<-r.ended
	if left := r.queue.len(); left > 0 {
		r.config.Logger.Error("receive: closed while webhooks waited for the store; they are lost unless the product tries again", "receiver", r.config.Name, "webhooks", left)
		return fmt.Errorf("receive: close: %d webhooks were not kept: %w", left, context.Cause(ctx))
	}
	return nil
}

// errorText is what is wrong with a body, without anything of it.
func errorText(err error) string {
	for _, own := range []error{errNoEvent, errNoFlag, errNoFlags} {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return "it is no document of this product"
}
