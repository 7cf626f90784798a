package killswitch

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

var errNilContext = errors.New("killswitch: the context is nil; pass context.Background() if there is none")

// Relay takes Sentry's alert webhooks and switches flags, as an [http.Handler]
// that is put behind the webhook URL of an internal integration. In Sentry the
// integration needs "Alert Rule Action" and nothing else: no boxes under
// webhooks.
//
// An alert acts only if it is
//
//   - signed: by one of the client secrets, over the raw body; with the second
//     header and from the installation, if these are configured;
//   - expected: an issue alert that triggered or a metric alert that became
//     critical (or what the rule lists), and no test notification;
//   - new: its body was not seen before, and the same alert has not switched the
//     flag within the cool-down;
//   - recent: its signed time is not older than MaxAge. Issue alerts carry the
//     event's time (received, else datetime, else timestamp); metric alerts when
//     the incident was started, detected, created or closed, whichever is last.
//     One without a usable time never acts, except that an incident whose end has
//     no time switches the flag on that it has switched off itself. An incident
//     that was a warning for longer than MaxAge before it became critical is too
//     old: let its rule act on warnings too, or alert on critical only;
//   - allowed: by a [Rule]. Whoever can make a rule's alert fire can switch its
//     flag, so read there which fields anybody can forge.
//
// Requests are answered so that Sentry, which waits about a second and never
// asks again, has its answer in time: 405 for anything but POST, 413 for a body
// over [MaxAlert], 401 for what is unsigned, forged, empty, or contradicted by
// its Sentry-Hook-Resource header, 400 for a body that broke off, 500 for one
// that something has read before, 200 for an authentic alert that does not act or
// whose flag was switched in time, 202 when the switch goes on in the background or
// has failed for good, and 503 when too many bodies over 256 KB arrive at once or the relay is closing.
//
// A flag is switched off at once, by the goroutine that took the alert; the
// journal is written at the same time. A switch that fails is tried again, by
// whichever process is there, until it works, the flag system says that it never
// will, or MaxAge has passed; the latter two are reported. With a durable store
// that goes on after a crash; it may then set a state that was set already. A flag
// is switched on only from the journal, and never against a newer decision.
//
// What it is not for: it does not watch anything by itself.
type Relay struct {
	config    Config
	keys      signing.Keys
	factors   signing.Keys
	journals  map[string]*journal // by toggler
	places    chan struct{}       // for large bodies that are being read
	counts    counts
	said      said
	late      lateRecords
	emissions emissions
	lossy     bool // the store is the relay's own memory

	watched sync.Map // by item, the ended of a switch that waits for its turn

	works   sync.WaitGroup     // switches under way
	hurry   chan struct{}      // closed when nothing is tried again in this process
	ctx     context.Context    //nolint:containedctx // the relay's life
	cancel  context.CancelFunc // ends everything
	loops   sync.WaitGroup     // what works on the queues
	loopCtx context.Context    //nolint:containedctx // that of its loops
	endLoop context.CancelFunc
	keepers sync.WaitGroup // what looks after the journals

	closing   chan struct{}
	closeOnce sync.Once
	closed    chan struct{}
	result    error          // of Close; read after closed
	accepting sync.WaitGroup // requests
	gate      sync.RWMutex   // held for reading to join accepting
	lost      lost
}

var _ http.Handler = (*Relay)(nil)

// NewRelay checks the configuration and starts a relay; close it with
// [Relay.Close]. It reads what earlier processes have left in the store, for a
// second at most: a store that does not answer is reported, and does not keep a
// kill switch from starting. Its errors wrap [ErrInvalidConfig].
func NewRelay(config Config) (*Relay, error) {
	keys, err := signing.NewKeys(config.Secrets...)
	if err != nil {
		return nil, fmt.Errorf("%w: Secrets: %w", ErrInvalidConfig, err)
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	r := &Relay{
		config: config, keys: keys, journals: map[string]*journal{}, places: make(chan struct{}, maxLargeBodies),
		hurry: make(chan struct{}), closing: make(chan struct{}), closed: make(chan struct{}),
	}
	if config.Header != "" {
		if r.factors, err = signing.NewKeys(config.HeaderValues...); err != nil {
			return nil, fmt.Errorf("%w: HeaderValues: %w", ErrInvalidConfig, err)
		}
	}
	// What waits in the store of a relay that was no dry run is not touched by
	// one that is.
	store := config.Store
	if r.lossy = store == nil || config.DryRun; r.lossy {
		if store, err = queue.NewMemory(queue.MemoryConfig{Window: 2*config.MaxAge + 2*maxAhead}); err != nil {
			return nil, err
		}
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.loopCtx, r.endLoop = context.WithCancel(r.ctx)
	owner := rand.Text()
	for name := range config.Togglers {
		r.start(name, owner, store)
	}
	return r, nil
}

// start begins to work on a toggler's journal.
func (r *Relay) start(toggler, owner string, store queue.Store) {
	j := newJournal(store, QueueName(r.config.Queue, toggler), owner, limits{
		maxAge: r.config.MaxAge, coolDown: max(r.config.CoolDown, 0), cap: max(r.config.CapPerHour, 0),
	}, r.config.Hold, r.storeFails)
	r.journals[toggler] = j
	loading, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	loaded := make(chan error, 1)
	r.keepers.Go(func() { loaded <- j.load(loading, time.Now().Add(-r.config.MaxAge-2*maxAhead)) })
	select {
	case err := <-loaded:
		j.fails(reads, err)
	case <-loading.Done():
		j.fails(reads, loading.Err())
	}
	r.keepers.Go(func() { j.writer(r.ctx) })
	r.keepers.Go(func() { j.keep(r.ctx, r.config.Poll) })
	if !r.config.DryRun {
		r.loops.Go(func() { r.loop(j, toggler) })
	}
}

func (r *Relay) storeFails(err error) {
	if err == nil {
		r.config.Logger.Info("killswitch: the store works again")
		return
	}
	r.report(Report{Err: fmt.Errorf("%w: %w", ErrStore, err)})
}

// ServeHTTP takes one webhook. See [Relay] for what it answers.
func (r *Relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	deadline := time.Now().Add(r.config.AnswerWithin)
	if !r.enter() {
		r.conclude(request.Context(), w, *refuse(ReasonClosing, http.StatusServiceUnavailable))
		return
	}
	defer r.accepting.Done()
	body, refused := r.verify(w, request, deadline)
	if refused != nil {
		r.conclude(request.Context(), w, *refused)
		return
	}
	a, d := r.read(request.Header, body)
	if d.Verdict == "" {
		// Sentry may hang up; the alert is taken on all the same.
		d = r.act(context.WithoutCancel(request.Context()), &a, body, d, deadline)
	}
	r.conclude(request.Context(), w, d)
}

// enter admits a request unless the relay is closing; accepting.Done must follow.
func (r *Relay) enter() bool {
	r.gate.RLock()
	defer r.gate.RUnlock()
	select {
	case <-r.closing:
		return false
	default:
		r.accepting.Add(1)
		return true
	}
}

// act decides on an authentic alert and does what follows.
func (r *Relay) act(ctx context.Context, a *alert.Alert, body []byte, d Decision, deadline time.Time) Decision {
	now := time.Now()
	d.Verdict, d.Status = Ignored, http.StatusOK
	var kills []asked
	kills, d.Reason = decide(a, r.config.Rules, r.config.MaxAge, now)
	switch d.Reason {
	case ReasonNoTime, ReasonOld:
		own := r.endOfOwn(ctx, a, kills)
		if len(own) == 0 {
			r.didNotAct(kills, d.Reason)
			return d
		}
		kills = own
	case ReasonActs:
	case ReasonTest:
		d.Note = namedBy(r.config.Rules, a)
		return d
	case ReasonNoRule:
		r.noRule(a, &d)
		return d
	default:
		r.didNotAct(kills, d.Reason)
		return d
	}
	digest := sha256.Sum256(body)
	admitted, reason := r.admit(ctx, hex.EncodeToString(digest[:]), kills, now)
	if d.Reason = reason; reason != ReasonActs {
		return d
	}
	if r.config.DryRun {
		d.Reason = ReasonDryRun
		return d.about(admitted)
	}
	return r.await(admitted, d, deadline)
}

// didNotAct reports an alert that a rule matched.
func (r *Relay) didNotAct(kills []asked, reason Reason) {
	for _, one := range kills {
		report := reportOf(&one.kill, fmt.Errorf("%w: %s", ErrDidNotAct, reason), 0)
		report.Reason = reason
		r.reportOnce(fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%t", reason, one.kill.Identity, one.toggler, one.kill.key(), one.kill.On), report)
	}
}

// noRule says which rule comes closest, and reports one that was meant.
func (r *Relay) noRule(a *alert.Alert, d *Decision) {
	text, nearly := closest(r.config.Rules, a)
	d.Note = text
	if nearly {
		r.reportOnce("nearly\x00"+identity(a), Report{Err: fmt.Errorf("%w: %s", ErrNearlyNamed, text), Alert: d.Alert})
	}
}

// endOfOwn returns those of the kills that switch on a flag which the very
// incident has switched off: of its end Sentry does not always tell the time, and
// nobody can make use of a repeat.
func (r *Relay) endOfOwn(ctx context.Context, a *alert.Alert, kills []asked) []asked {
	if Trigger(a.Trigger()) != MetricAlertResolved || a.Incident == nil || !a.Incident.Closed.IsZero() || a.ID == "" {
		return nil
	}
	var own []asked
	for _, one := range kills {
		f, err := r.journals[one.toggler].fresh(ctx, one.kill.note())
		if err != nil {
			continue
		}
		if one.kill.On && f.Killed != nil && f.Off != nil && f.Off.Kill.Incident == incident(a) && f.Off.Kill.Identity == one.kill.Identity {
			// Nothing that was signed before says otherwise.
			one.kill.Signed = f.Off.Kill.Signed
			own = append(own, one)
		}
	}
	return own
}

// conclude writes the answer, the log line and the callback.
func (r *Relay) conclude(ctx context.Context, w http.ResponseWriter, d Decision) {
	run := r.counts.decided(&d, time.Now())
	level := slog.LevelInfo
	if d.Verdict != Ignored {
		level = slog.LevelWarn
	}
	if r.config.Logger.Enabled(ctx, level) {
		r.config.Logger.Log(ctx, level, "killswitch: "+string(d.Verdict), "decision", d)
	}
	if run != nil {
		r.reportOnce(run.Error(), Report{Err: run, Reason: d.Reason})
	}
	switch d.Reason {
	case ReasonBodyRead:
		r.reportOnce("body read", Report{Err: ErrBodyRead, Reason: d.Reason})
	case ReasonMalformed, ReasonContradicted:
		r.reportOnce(string(d.Reason), Report{Err: fmt.Errorf("%w: %s", ErrUnreadable, cmp.Or(d.Note, string(d.Reason))), Reason: d.Reason, Alert: d.Alert})
	}
	if r.config.OnDecision != nil {
		func() {
			defer r.recovered("OnDecision")
			r.config.OnDecision(d)
		}()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if d.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(d.Status)
	if d.Verdict == Refused {
		_, _ = w.Write([]byte("refused\n")) // why is for the log: whoever probes learns nothing
		return
	}
	_, _ = w.Write([]byte(string(d.Verdict) + ": " + string(d.Reason) + "\n"))
}

// Close stops taking alerts, which are then answered 503, and waits until each
// switch that was accepted was tried at least once. What a store of the caller's
// holds after that is left there for the next process; what is held in the relay's
// own memory is tried until it works or ctx ends, and is then reported. Shortly
// before ctx ends everything is broken off, so that the journal still has it.
//
// It returns an error when something was lost, or when a toggler, a store or an
// emitter goes on although its context has ended. It may be called again, and
// then waits for the same end.
func (r *Relay) Close(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	r.closeOnce.Do(func() { //nolint:contextcheck // it ends on its own, or when it is cancelled
		r.gate.Lock()
		close(r.closing)
		r.gate.Unlock()
		if !r.lossy {
			close(r.hurry)
		}
		go r.end()
	})
	early, cancel := context.WithCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		early, cancel = context.WithDeadline(ctx, deadline.Add(-min(2*lastCall, left/4)))
	}
	defer cancel()
	select {
	case <-r.closed:
		return r.result
	case <-early.Done():
		r.cancel()
	}
	timer := time.NewTimer(3 * lastCall)
	defer timer.Stop()
	select {
	case <-r.closed:
		return r.result
	case <-timer.C:
		return fmt.Errorf("killswitch: closing the relay: something does not honour its context: %w", context.Cause(early))
	}
}

func (r *Relay) isClosed() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// end waits for everything that runs, in the order in which it makes work for
// what follows.
func (r *Relay) end() {
	defer close(r.closed)
	r.accepting.Wait()
	if r.lossy {
		r.drain()
	} else {
		// Another process can go on. A store that is gone is not waited for.
		defer time.AfterFunc(attemptTimeout+2*storeCall, r.cancel).Stop()
	}
	r.endLoop()
	r.loops.Wait()
	r.works.Wait()
	r.cancel()
	r.keepers.Wait()
	if r.lossy {
		r.abandon()
	}
	r.result = r.lost.err()
}

// drain waits until nothing waits in the relay's own memory, or it is told to
// hurry.
func (r *Relay) drain() {
	for _, j := range r.journals {
		for r.ctx.Err() == nil && !r.config.DryRun {
			stats, err := j.store.Stats(r.ctx, j.queue, 1)
			if err != nil || stats.Waiting+j.unwritten() == 0 {
				break
			}
			_ = sleep(r.ctx, 10*time.Millisecond)
		}
	}
}

// abandon reports what is left in the relay's own memory.
func (r *Relay) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), lastCall)
	defer cancel()
	for _, j := range r.journals {
		listed, _ := j.store.List(ctx, j.queue, queue.Filter{States: []queue.State{queue.Waiting}, Limit: queue.MaxList})
		for _, entry := range listed {
			k, err := decodeKill(entry.Body)
			if err != nil {
				continue
			}
			f, err := j.fresh(ctx, k.note())
			if err == nil && f.applied(entry.ID) {
				r.lose(&k.kill, ErrNotRecorded)
				continue
			}
			r.lose(&k.kill, ErrNotSwitched)
		}
	}
}

// lost counts what was lost.
type lost struct {
	mu sync.Mutex
	n  int
}

func (r *Relay) lose(k *kill, what error) {
	r.lost.mu.Lock()
	r.lost.n++
	r.lost.mu.Unlock()
	r.report(reportOf(k, fmt.Errorf("%w: the relay was closed before", what), 0))
}

func (l *lost) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		return nil
	}
	return fmt.Errorf("killswitch: %d switches, or their records, were only in memory and are lost; they were reported: %w", l.n, ErrNotSwitched)
}
