package killswitch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Stats are the numbers of a relay. Those of the store are of all processes that
// share it, the others of this one since it began.
type Stats struct {
	// Alerts counts the requests by what was made of them.
	Alerts map[Verdict]map[Reason]int64
	// LastAuthentic is when the last request with a right signature arrived, and
	// LastActed the last one that acted. Zero if none has.
	LastAuthentic, LastActed time.Time
	// BadSignatures is how many requests in a row had a wrong signature, Unsigned
	// none at all although they were JSON, BadHeaders a wrong second header, and
	// OtherInstallations were signed for another installation than
	// Config.Installation: a relay that is deaf.
	BadSignatures, Unsigned, BadHeaders, OtherInstallations int
	// Reports is how often a person was told of something.
	Reports int64
	// RecordsWaiting is how many switches are made whose record the emitter has
	// not taken yet.
	RecordsWaiting int
	// InMemory is how many switches the store has not taken yet. They would not
	// survive a crash.
	InMemory int

	// Waiting is how many switches wait or are under way, in the store.
	Waiting int
	// OldestWaiting is when the oldest of them was accepted; zero if none waits.
	OldestWaiting time.Time
	// Failed is how many switches in the store have failed for good and are
	// neither retried nor discarded.
	Failed int
	// SwitchedOff is how many flags are switched off and not restored.
	SwitchedOff int
}

// Stats counts. Its error wraps [ErrStore] when the store cannot be asked; what
// this process knows is returned all the same.
func (r *Relay) Stats(ctx context.Context) (Stats, error) {
	if ctx == nil {
		return Stats{}, errNilContext
	}
	total := r.counts.stats()
	for _, j := range r.journals {
		total.InMemory += j.unwritten()
	}
	for _, j := range r.journals {
		stats, err := j.store.Stats(ctx, j.queue, 0)
		if err != nil {
			return total, fmt.Errorf("%w: %w", ErrStore, err)
		}
		total.Waiting += stats.Waiting
		if stats.Waiting > 0 && (total.OldestWaiting.IsZero() || stats.Oldest.Before(total.OldestWaiting)) {
			total.OldestWaiting = stats.Oldest
		}
		total.Failed += stats.Dead
		off, err := j.switchedOff(ctx)
		if err != nil {
			return total, fmt.Errorf("%w: %w", ErrStore, err)
		}
		total.SwitchedOff += off
	}
	return total, nil
}

// counts are what one process has seen.
type counts struct {
	mu             sync.Mutex
	alerts         map[Verdict]map[Reason]int64
	authentic      time.Time
	acted          time.Time
	bad            map[Reason]int // refused in a row, by what makes a relay deaf
	forged         []time.Time    // the last wrong signatures
	reports        int64
	recordsWaiting int
}

// badRun is how many refusals in a row mean that something is wrong.
const badRun = 5

// deaf is what is wrong with a relay that refuses request after request for a
// reason.
var deaf = map[Reason]error{
	ReasonForged: ErrBadSignatures, ReasonHeader: ErrBadHeaders, ReasonInstallation: ErrOtherInstallation,
}

// decided counts a decision, and returns what it makes of a run of refusals.
func (c *counts) decided(d *Decision, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alerts == nil {
		c.alerts = map[Verdict]map[Reason]int64{}
	}
	if c.alerts[d.Verdict] == nil {
		c.alerts[d.Verdict] = map[Reason]int64{}
	}
	c.alerts[d.Verdict][d.Reason]++
	switch {
	case deaf[d.Reason] != nil:
		if c.again(d.Reason) == badRun {
			return deaf[d.Reason]
		}
		if d.Reason == ReasonForged {
			c.forged = append(c.forged[max(0, len(c.forged)-badRun+1):], now)
			if first := c.forged[0]; len(c.forged) == badRun && now.Sub(first) < sayAgain && c.authentic.After(first) {
				return ErrSomeBadSignatures
			}
		}
	case d.Verdict != Refused:
		clear(c.bad)
		c.authentic = now
		if d.Verdict == Acted {
			c.acted = now
		}
	}
	return nil
}

// again counts one more refusal in a row. With the lock held.
func (c *counts) again(reason Reason) int {
	if c.bad == nil {
		c.bad = map[Reason]int{}
	}
	c.bad[reason]++
	return c.bad[reason]
}

// unsigned counts a request that looks like one of Sentry's but for the
// signature, and reports whether it makes a run.
func (c *counts) unsigned() (run bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again(ReasonUnsigned) == badRun
}

func (c *counts) reported() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports++
}

func (c *counts) recordWaits(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recordsWaiting += n
}

func (c *counts) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	alerts := make(map[Verdict]map[Reason]int64, len(c.alerts))
	for verdict, reasons := range c.alerts {
		alerts[verdict] = maps.Clone(reasons)
	}
	return Stats{
		Alerts: alerts, LastAuthentic: c.authentic, LastActed: c.acted, BadSignatures: c.bad[ReasonForged], Unsigned: c.bad[ReasonUnsigned],
		BadHeaders: c.bad[ReasonHeader], OtherInstallations: c.bad[ReasonInstallation], Reports: c.reports, RecordsWaiting: c.recordsWaiting,
	}
}

// said keeps from saying the same over and over.
type said struct {
	mu   sync.Mutex
	when map[string]time.Time
}

const (
	sayAgain = time.Hour
	maxSaid  = 10_000
)

func (s *said) first(what string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, found := s.when[what]; found && now.Sub(at) < sayAgain {
		return false
	}
	if len(s.when) >= maxSaid {
		maps.DeleteFunc(s.when, func(_ string, at time.Time) bool { return now.Sub(at) >= sayAgain })
		if len(s.when) >= maxSaid {
			return false
		}
	}
	if s.when == nil {
		s.when = map[string]time.Time{}
	}
	s.when[what] = now
	return true
}

// Trouble is what is wrong with a relay now.
type Trouble struct {
	// Text says what is wrong and what to do.
	Text string
	// Restart says that a restart may help. Nothing of what a person has to
	// repair is: a wrong secret stays wrong.
	Restart bool
}

const (
	// waitsLong is how long a switch may wait before that is trouble.
	waitsLong = time.Minute
	// healthCall bounds the questions to the store.
	healthCall = time.Second
)

// Health returns what is wrong now; nothing if all is well: the store cannot be
// asked or written to, nothing arrives but what is refused (wrong signatures or
// none, a wrong second header, another installation), a switch or a record waits for long,
// or in a queue that nobody works on, a switch has failed for good and nobody has
// looked after it.
func (r *Relay) Health(ctx context.Context) []Trouble {
	ctx, cancel := context.WithTimeout(ctx, healthCall)
	defer cancel()
	stats, err := r.Stats(ctx)
	var found []Trouble
	page := func(format string, args ...any) {
		found = append(found, Trouble{Text: fmt.Sprintf(format, args...)})
	}
	if r.isClosed() {
		return []Trouble{{Text: "the relay is closed", Restart: true}}
	}
	if errors.Is(err, queue.ErrClosed) {
		found = append(found, Trouble{Text: "the store was closed under the relay", Restart: true})
	} else if err != nil {
		page("the store cannot be asked: flags are switched off from memory, and a crash would lose that")
	}
	if r.takesNothing() && err == nil {
		page("the store takes nothing: %d switches are only in memory, and a crash would lose them", stats.InMemory)
	}
	if stats.BadSignatures >= badRun {
		page("%d requests in a row had a wrong signature: compare the client secret with the one in Sentry", stats.BadSignatures)
	}
	if stats.Unsigned >= badRun {
		page("%d requests in a row had no signature: does a proxy drop the header %s? Send a test notification: once one arrives, this is over", stats.Unsigned, signing.HookHeader)
	}
	if stats.BadHeaders >= badRun {
		page("%d requests in a row had a wrong second header: compare it with the one that was added to the integration in Sentry", stats.BadHeaders)
	}
	if stats.OtherInstallations >= badRun {
		page("%d alerts in a row were for another installation: was the integration made anew in Sentry?", stats.OtherInstallations)
	}
	if names := r.unattended(ctx); len(names) > 0 {
		page("switches wait in queues that nobody works on; was a toggler renamed? %q", names)
	}
	if stats.Waiting > 0 && time.Since(stats.OldestWaiting) > waitsLong {
		page("%d switches wait, the oldest for %v", stats.Waiting, time.Since(stats.OldestWaiting).Round(time.Second))
	}
	switch {
	case stats.Failed > 0 && r.lossy:
		page("%d switches have failed for good: see the log, and switch by hand; without a store this is over with a restart", stats.Failed)
	case stats.Failed > 0:
		page("%d switches have failed for good: list them, then retry or discard them", stats.Failed)
	}
	if stats.RecordsWaiting > 0 && r.recordsLate() {
		page("%d switches are not recorded in Sentry's flag log yet", stats.RecordsWaiting)
	}
	return found
}

// takesNothing reports whether the store has failed when it was written to last.
func (r *Relay) takesNothing() bool {
	for _, j := range r.journals {
		j.mu.Lock()
		down := j.down[writes]
		j.mu.Unlock()
		if down {
			return true
		}
	}
	return false
}

// unattended lists the queues of relays in which something waits, and of which
// nobody has the toggler.
func (r *Relay) unattended(ctx context.Context) []string {
	if r.lossy {
		return nil
	}
	names, _ := queue.Unattended(ctx, r.config.Store, waitsLong) // that the store fails is said above
	return slices.DeleteFunc(names, func(name string) bool {
		toggler, ours := strings.CutPrefix(name, QueueName(r.config.Queue, ""))
		return !ours || r.journals[toggler] != nil
	})
}

// ServeHealth answers 200 when nothing is wrong, and otherwise 503 with a line for
// each trouble, "page: …" or "restart: …". A page is for a person: a restart does
// not repair a wrong secret. So point a pager here, and let an orchestrator
// restart only on [Relay.ServeLive].
func (r *Relay) ServeHealth(w http.ResponseWriter, request *http.Request) {
	WriteHealth(w, r.Health(request.Context()))
}

// WriteHealth answers as [Relay.ServeHealth] does, for programs that have troubles
// of their own to add.
func WriteHealth(w http.ResponseWriter, troubles []Trouble) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(troubles) == 0 {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, t := range troubles {
		what := "page: "
		if t.Restart {
			what = "restart: "
		}
		_, _ = io.WriteString(w, what+t.Text+"\n")
	}
}

// ServeLive answers 200 unless a restart may help.
func (r *Relay) ServeLive(w http.ResponseWriter, request *http.Request) {
	troubles := slices.DeleteFunc(r.Health(request.Context()), func(t Trouble) bool { return !t.Restart })
	WriteHealth(w, troubles)
}

// ServeMetrics answers with the numbers of [Stats] in the text format of
// Prometheus. The only labels are verdict and reason, which are few; nothing of
// an alert is in them.
func (r *Relay) ServeMetrics(w http.ResponseWriter, request *http.Request) {
	ctx, cancel := context.WithTimeout(request.Context(), healthCall)
	defer cancel()
	stats, err := r.Stats(ctx)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = io.WriteString(w, stats.prometheus(err == nil, !r.takesNothing()))
}

// verdicts are all that a request is counted under. Each is written from the start:
// of a series that begins with 1 Prometheus sees no increase, so that the first
// time that a flag reaches its cap would raise no alarm.
var verdicts = map[Verdict][]Reason{
	Refused: {
		ReasonMethod, ReasonTooLarge, ReasonUnreadable, ReasonBodyRead, ReasonBusy, ReasonClosing, ReasonUnsigned,
		ReasonForged, ReasonHeader, ReasonEmpty, ReasonInstallation, ReasonContradicted,
	},
	Ignored: {
		ReasonMalformed, ReasonResource, ReasonAction, ReasonTest, ReasonOwnReport, ReasonNoRule, ReasonFlagAbsent, ReasonClosed,
		ReasonNoTime, ReasonOld, ReasonFuture, ReasonRepeat, ReasonCoolingDown, ReasonOvertaken, ReasonCap,
	},
	Acted: {ReasonActs, ReasonDryRun},
}

func (s Stats) prometheus(storeUp, storeTakes bool) string {
	var b strings.Builder
	metric := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP killswitch_%s %s\n# TYPE killswitch_%s %s\n", name, help, name, kind)
	}
	number := func(name, kind, help string, value float64) {
		metric(name, kind, help)
		fmt.Fprintf(&b, "killswitch_%s %v\n", name, value)
	}
	metric("alerts_total", "counter", "Requests by what was made of them.")
	for _, verdict := range slices.Sorted(maps.Keys(verdicts)) {
		for _, reason := range slices.Sorted(slices.Values(verdicts[verdict])) {
			fmt.Fprintf(&b, "killswitch_alerts_total{verdict=%q,reason=%q} %d\n", string(verdict), string(reason), s.Alerts[verdict][reason])
		}
	}
	number("last_authentic_timestamp_seconds", "gauge", "When the last request with a right signature arrived; 0 if none has.", unix(s.LastAuthentic))
	number("last_acted_timestamp_seconds", "gauge", "When the last alert acted; 0 if none has.", unix(s.LastActed))
	number("bad_signatures", "gauge", "Requests in a row with a wrong signature.", float64(s.BadSignatures))
	number("unsigned", "gauge", "Requests in a row with JSON and without a signature.", float64(s.Unsigned))
	number("bad_headers", "gauge", "Requests in a row with a wrong second header.", float64(s.BadHeaders))
	number("other_installations", "gauge", "Alerts in a row that were signed for another installation.", float64(s.OtherInstallations))
	number("reports_total", "counter", "How often a person was told of something.", float64(s.Reports))
	number("records_waiting", "gauge", "Switches whose record the emitter has not taken yet.", float64(s.RecordsWaiting))
	number("in_memory", "gauge", "Switches that the store has not taken yet.", float64(s.InMemory))
	up := 0.0
	if storeUp && storeTakes {
		up = 1
	}
	number("store_up", "gauge", "Whether the store can be asked and written to.", up)
	if storeUp {
		number("waiting", "gauge", "Switches that wait or are under way.", float64(s.Waiting))
		number("oldest_waiting_timestamp_seconds", "gauge", "When the oldest of them was accepted; 0 if none waits.", unix(s.OldestWaiting))
		number("failed", "gauge", "Switches that have failed for good.", float64(s.Failed))
		number("switched_off", "gauge", "Flags that are switched off and not restored.", float64(s.SwitchedOff))
	}
	return b.String()
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
