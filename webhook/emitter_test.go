package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// rig is an emitter between a store and a stand-in for Sentry, within a bubble.
type rig struct {
	*testing.T
	server  *webhooktest.Server
	client  *webhook.Client
	store   *queue.Memory
	emitter *webhook.Emitter
	events  []webhook.Event // complete after close
}

type rigConfig struct {
	server  webhooktest.Config
	client  func(*webhook.Config)
	store   queue.Store // defaults to rig.store
	emitter webhook.EmitterConfig
}

// emitterTest runs a test in a bubble with a rig of its own.
func emitterTest(t *testing.T, config rigConfig, test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t, config)) })
}

func newRig(t *testing.T, config rigConfig) *rig {
	t.Helper()
	r := &rig{T: t}
	config.server.InMemory = true
	r.server, r.client = newPair(t, config.server, config.client)
	r.store = newMemory(t, queue.MemoryConfig{Capacity: 100_000})
	store := config.store
	if store == nil {
		store = r.store
	}
	if config.emitter.OnEvent == nil {
		config.emitter.OnEvent = func(event webhook.Event) { r.events = append(r.events, event) }
	}
	if config.emitter.Logger == nil {
		config.emitter.Logger = slog.New(slog.DiscardHandler)
	}
	emitter, err := webhook.NewEmitter(r.client, store, config.emitter)
	if err != nil {
		t.Fatal(err)
	}
	r.emitter = emitter
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		emitter.Close(ended)
	})
	return r
}

func (r *rig) emit(changes ...webhook.Change) {
	r.Helper()
	if err := r.emitter.Emit(r.Context(), changes...); err != nil {
		r.Fatalf("Emit: %v", err)
	}
}

// close drains.
func (r *rig) close() {
	r.Helper()
	if err := r.emitter.Close(r.Context()); err != nil {
		r.Fatalf("Close: %v", err)
	}
}

func (r *rig) counts(waiting, dead int) webhook.EmitterStats {
	r.Helper()
	stats, err := r.emitter.Stats(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	if stats.Waiting != waiting || stats.Dead != dead {
		r.Fatalf("%d waiting, %d dead; want %d and %d", stats.Waiting, stats.Dead, waiting, dead)
	}
	return stats
}

// dead lists the dead letters.
func (r *rig) dead() []queue.Entry {
	r.Helper()
	dead, err := r.store.List(r.Context(), r.emitter.Queue(), queue.Filter{States: []queue.State{queue.Dead}, Limit: queue.MaxList})
	if err != nil {
		r.Fatal(err)
	}
	return dead
}

func newMemory(t *testing.T, config queue.MemoryConfig) *queue.Memory {
	t.Helper()
	store, err := queue.NewMemory(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// kinds counts the events by kind.
func (r *rig) kinds() map[webhook.EventKind]int {
	count := make(map[webhook.EventKind]int)
	for _, event := range r.events {
		count[event.Kind]++
	}
	return count
}

// numberedChanges returns changes of several flags with ChangeIDs from 1.
func numberedChanges(n int) []webhook.Change {
	changes := make([]webhook.Change, n)
	for i := range changes {
		changes[i] = someChange(fmt.Sprintf("flag-%d", i%7))
		changes[i].ChangeID = int64(i + 1)
	}
	return changes
}

// sizes are the numbers of changes in the requests received.
func sizes(tb testing.TB, server *webhooktest.Server) []int {
	tb.Helper()
	var n []int
	for _, request := range server.Requests() {
		n = append(n, len(changeIDs(tb, request.Body)))
	}
	return n
}

func changeIDs(tb testing.TB, body []byte) []int64 {
	tb.Helper()
	var payload struct {
		Data []struct {
			ChangeID int64 `json:"change_id"`
		}
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		tb.Errorf("a request is not JSON: %v", err)
	}
	var ids []int64
	for _, change := range payload.Data {
		ids = append(ids, change.ChangeID)
	}
	return ids
}

func TestEmitterDeliversInOrderAndInBatches(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		want := numberedChanges(250)
		synctest.Wait() // the emitter has looked, and rests
		r.emit(want...)
		r.close()
		if got := fmt.Sprint(sizes(t, r.server)); got != "[100 100 50]" {
			t.Errorf("requests of %s changes", got)
		}
		for i, change := range r.server.Changes() {
			if change != want[i] {
				t.Fatalf("change %d is %+v, want %+v", i, change, want[i])
			}
		}
		r.counts(0, 0)
		if r.kinds()[webhook.EventDelivered] != 3 || len(r.events) != 3 {
			t.Errorf("events: %v", r.events)
		}
	})
}

func TestEmitterLingers(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{Linger: time.Second, BatchSize: 3, PollInterval: time.Hour}}, func(t *testing.T, r *rig) {
		synctest.Wait()
		start := time.Now()
		r.emit(numberedChanges(1)...)
		time.Sleep(500 * time.Millisecond)
		r.emit(numberedChanges(2)[1:]...)
		if _, err := r.server.WaitChanges(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Second || len(r.server.Requests()) != 1 {
			t.Errorf("two changes went after %v in %d requests; want 1s and 1", took, len(r.server.Requests()))
		}
		// A whole batch does not wait.
		synctest.Wait()
		start = time.Now()
		r.emit(numberedChanges(5)[2:]...)
		if _, err := r.server.WaitChanges(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("a whole batch waited %v", took)
		}
	})
}

func TestEmitterSeesWhatOthersEnqueue(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		time.Sleep(10 * time.Second)
		items, err := r.emitter.Items(numberedChanges(2)...)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := r.store.Add(t.Context(), r.emitter.Queue(), queue.Addition{Items: items}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.server.WaitChanges(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("seen after %v, want within PollInterval", took)
		}
	})
}

func TestEmitRefusesWhatSentryWould(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		good, bad := someChange("flag"), someChange(" ")
		err := r.emitter.Emit(t.Context(), good, bad)
		invalid, ok := errors.AsType[*webhook.ChangeError](err)
		if !ok || invalid.Index != 1 || invalid.Field != "Flag" {
			t.Errorf("a change without a flag: %v", err)
		}
		if _, err := r.emitter.Items(bad); !errors.Is(err, webhook.ErrInvalidChange) {
			t.Errorf("Items: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.emitter.Emit(ended, good); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
		var none context.Context
		for call, err := range map[string]error{
			"Emit": r.emitter.Emit(none, good), "Flush": r.emitter.Flush(none), "Close": r.emitter.Close(none),
		} {
			if err == nil || !strings.Contains(err.Error(), "context is nil") {
				t.Errorf("%s without a context: %v", call, err)
			}
		}
		if _, err := r.emitter.Stats(none); err == nil {
			t.Error("Stats without a context")
		}
		r.emit() // no changes
		r.counts(0, 0)
		r.close()
		if err := r.emitter.Emit(t.Context(), good); !errors.Is(err, webhook.ErrEmitterClosed) {
			t.Errorf("after Close: %v", err)
		}
		if len(r.server.Requests()) != 0 {
			t.Error("something was sent")
		}
	})
}

func TestNewEmitterRefuses(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{}, nil)
	store := newMemory(t, queue.MemoryConfig{})
	for field, config := range map[string]webhook.EmitterConfig{
		"Queue":        {Queue: "\x00"},
		"FormerQueues": {Queue: "a", FormerQueues: []string{"a"}},
		"Lease":        {Lease: time.Millisecond},
		"BatchSize":    {BatchSize: webhook.MaxBatch + 1},
		"Linger":       {Linger: -2},
		"PollInterval": {PollInterval: -1},
		"MinBackoff":   {MinBackoff: -1},
		"MaxBackoff":   {MaxBackoff: 1},
	} {
		if _, err := webhook.NewEmitter(client, store, config); !errors.Is(err, webhook.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := webhook.NewEmitter(nil, store, webhook.EmitterConfig{}); !errors.Is(err, webhook.ErrInvalidConfig) {
		t.Errorf("no client: %v", err)
	}
	if _, err := webhook.NewEmitter(client, nil, webhook.EmitterConfig{}); !errors.Is(err, webhook.ErrInvalidConfig) {
		t.Errorf("no store: %v", err)
	}
	var none *queue.Memory // as where a store is optional and left out
	if _, err := webhook.NewEmitter(client, none, webhook.EmitterConfig{}); !errors.Is(err, webhook.ErrInvalidConfig) {
		t.Errorf("a nil pointer for a store: %v", err)
	}
}

// TestEmitterAnswerTable plays each answer a few times before all is well, and
// looks at how long the emitter waited, what it reported and what became of the
// changes.
func TestEmitterAnswerTable(t *testing.T) {
	longest := []time.Duration{time.Minute, time.Minute, time.Minute}
	backoff := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second} // bounds
	for _, tc := range []struct {
		name  string
		fault webhooktest.Fault
		kind  error
		waits []time.Duration
		exact bool
	}{
		{"redirect", webhooktest.Redirect(302, "https://login.example.com/"), webhook.ErrRedirected, longest, true},
		{"401", webhooktest.Status(401), webhook.ErrUnauthorized, longest, true},
		{"403", webhooktest.Status(403), webhook.ErrUnauthorized, longest, true},
		{"404", webhooktest.Status(404), webhook.ErrNotFound, longest, true},
		{"405", webhooktest.Status(405), webhook.ErrMisdirected, longest, true},
		{"415", webhooktest.Status(415), webhook.ErrMisdirected, longest, true},
		{"200 of a proxy", webhooktest.ProxyPage(), webhook.ErrUnexpectedAnswer, longest, true},
		{"200 with a position beyond the request", webhooktest.Answer(200, "application/json", `{"data":{"100000":{"flag":["Bad."]}}}`), webhook.ErrUnexpectedAnswer, longest, true},
		{"200 with Sentry's keys and no position", webhooktest.Answer(200, "application/json", `{"data":{"status":["ok"]}}`), webhook.ErrUnexpectedAnswer, longest, true},
		{"10 MB", webhooktest.Answer(200, "text/plain", strings.Repeat("x", 10<<20)), webhook.ErrUnexpectedAnswer, longest, true},
		{"408", webhooktest.Status(408), webhook.ErrAmbiguous, backoff, false},
		{"418", webhooktest.Status(418), webhook.ErrUnexpectedAnswer, longest, true},
		{"429", webhooktest.Status(429).WithHeader("X-Sentry-Rate-Limit-Reset", ""), webhook.ErrRateLimited, backoff, false},
		{"429 with a time", webhooktest.Status(429).WithHeader("X-Sentry-Rate-Limit-Reset", "").WithHeader("Retry-After", "333"), webhook.ErrRateLimited, []time.Duration{333 * time.Second, 333 * time.Second, 333 * time.Second}, true},
		{"500", webhooktest.Status(500), webhook.ErrAmbiguous, backoff, false},
		{"503 with a time", webhooktest.Status(503).WithHeader("Retry-After", "5"), webhook.ErrAmbiguous, []time.Duration{5 * time.Second, 5 * time.Second, 5 * time.Second}, true},
		{"broken connection", webhooktest.Disconnect(), webhook.ErrAmbiguous, backoff, false},
		{"broken answer", webhooktest.Truncate(), webhook.ErrAmbiguous, backoff, false},
		{"no answer", webhooktest.Hold(nil), webhook.ErrAmbiguous, backoff, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
				r.server.Fail(tc.fault, tc.fault, tc.fault)
				r.emit(numberedChanges(20)...)
				r.close()
				if got := len(r.server.Changes()); got != 20 {
					t.Errorf("%d changes stored, want 20", got)
				}
				r.counts(0, 0)
				var paused []webhook.Event
				for _, event := range r.events {
					if event.Kind == webhook.EventPaused {
						paused = append(paused, event)
					}
				}
				if len(paused) != 3 || r.kinds()[webhook.EventResumed] != 1 || r.kinds()[webhook.EventRejected] != 0 {
					t.Fatalf("events: %v", r.events)
				}
				for i, event := range paused {
					if !errors.Is(event.Err, tc.kind) || event.Changes != 20 || event.Failures != i+1 {
						t.Errorf("event %+v", event)
					}
					if event.Wait > tc.waits[i] || tc.exact && event.Wait != tc.waits[i] {
						t.Errorf("wait %d was %v, want %v", i, event.Wait, tc.waits[i])
					}
				}
			})
		})
	}
}

// fakeSentry answers requests by a function of their flags. It judges nothing
// else.
type fakeSentry struct {
	mu     sync.Mutex
	answer func(flags []string) (status int, body string)
	asked  [][]string
}

func (f *fakeSentry) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	var payload struct{ Data []struct{ Flag string } }
	if err := json.Unmarshal(body, &payload); err != nil {
		return nil, err
	}
	var flags []string
	for _, change := range payload.Data {
		flags = append(flags, change.Flag)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, flags)
	status, text := f.answer(flags)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: request}, nil
}

func (f *fakeSentry) use(config *webhook.Config) { config.HTTPClient = &http.Client{Transport: f} }

// TestEmitterHalves has a server that refuses a request for one of its changes
// without saying for which.
func TestEmitterHalves(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
	}{
		{"400", 400, `{"detail":"JSON parse error"}`},
		{"422", 422, ``},
		{"200 without positions", 200, `{"non_field_errors":["Invalid data."]}`},
		{"200 with more than positions", 200, `{"data":{"0":{"flag":["Bad."]}},"meta":["Bad."]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stored []string
			sentry := &fakeSentry{answer: func(flags []string) (int, string) {
				for _, flag := range flags {
					if strings.HasPrefix(flag, "bad") {
						return tc.status, tc.body
					}
				}
				stored = append(stored, flags...)
				return 200, ""
			}}
			emitterTest(t, rigConfig{client: sentry.use}, func(t *testing.T, r *rig) {
				var changes []webhook.Change
				var good []string
				for i := range 300 {
					flag := fmt.Sprintf("flag-%d", i)
					if i == 0 || i == 57 || i == 58 || i == 199 || i == 299 {
						flag = fmt.Sprintf("bad-%d", i)
					} else {
						good = append(good, flag)
					}
					changes = append(changes, someChange(flag))
				}
				r.emit(changes...)
				r.close()
				r.counts(0, 5)
				if fmt.Sprint(stored) != fmt.Sprint(good) {
					t.Errorf("stored %d of %d good ones, or out of order", len(stored), len(good))
				}
				for _, d := range r.dead() {
					if !strings.HasPrefix(d.Key, "bad-") || d.Reason == "" {
						t.Errorf("dead: %s: %s", d.Key, d.Reason)
					}
				}
				// 58 is refused next after 57, so that it could be all requests; what is delivered between the others tells.
				if got := r.kinds()[webhook.EventPaused]; got != 1 {
					t.Errorf("%d pauses, want 1", got)
				}
				if len(sentry.asked) > 80 {
					t.Errorf("%d requests to find 5 bad changes", len(sentry.asked))
				}
			})
		})
	}
}

// TestEmitterWaitsWhenEverythingIsRefused: a proxy that refuses every request
// must not empty the queue in a moment.
func TestEmitterWaitsWhenEverythingIsRefused(t *testing.T) {
	sentry := &fakeSentry{answer: func([]string) (int, string) { return 400, "blocked" }}
	emitterTest(t, rigConfig{client: sentry.use}, func(t *testing.T, r *rig) {
		r.emit(numberedChanges(1000)...)
		time.Sleep(time.Hour)
		stats, err := r.emitter.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Dead > 300 || stats.Dead+stats.Waiting != 1000 {
			t.Errorf("after an hour %d are dead, %d wait", stats.Dead, stats.Waiting)
		}
	})
}

func TestEmitterSendsLessWhenTooLarge(t *testing.T) {
	var stored int
	sentry := &fakeSentry{}
	sentry.answer = func(flags []string) (int, string) {
		if len(flags) > 30 || slices.Contains(flags, "huge") {
			return 413, ""
		}
		stored += len(flags)
		return 200, ""
	}
	emitterTest(t, rigConfig{client: sentry.use}, func(t *testing.T, r *rig) {
		r.emit(numberedChanges(1000)...)
		r.emit(someChange("huge"))
		r.close()
		r.counts(0, 1)
		if stored != 1000 || len(sentry.asked) > 80 {
			t.Errorf("stored %d in %d requests", stored, len(sentry.asked))
		}
	})
}

func TestEmitterRejectedChangesAndReplay(t *testing.T) {
	for _, shape := range []webhooktest.ErrorShape{webhooktest.ErrorsByIndex, webhooktest.ErrorsInList} {
		synctest.Test(t, func(t *testing.T) {
			// The cure is a newer server under the same address.
			config := webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026, ErrorShape: shape, InMemory: true}
			newer := webhooktest.NewServer(webhooktest.Config{InMemory: true})
			defer newer.Close()
			var cured atomic.Bool
			r := newRig(t, rigConfig{server: config, client: func(c *webhook.Config) {
				older := c.HTTPClient.Transport
				c.HTTPClient = &http.Client{Transport: roundTrip(func(request *http.Request) (*http.Response, error) {
					if cured.Load() {
						return newer.Transport().RoundTrip(request)
					}
					return older.RoundTrip(request)
				})}
			}})
			changes := numberedChanges(10_000)
			for _, i := range []int{0, 99, 100, 5000, 9999} {
				changes[i].Flag = fmt.Sprintf("%s%d", strings.Repeat("x", 150), i)
			}
			r.emit(changes...)
			if err := r.emitter.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			delivered := len(r.server.Changes())
			r.counts(0, 5)
			dead := r.dead()
			for _, d := range dead {
				if d.Reason != "flag: Ensure this field has no more than 100 characters." {
					t.Errorf("the reason is %q", d.Reason)
				}
			}
			cured.Store(true)
			for _, d := range dead {
				if err := r.store.Revise(t.Context(), r.emitter.Queue(), d, nil); err != nil {
					t.Fatalf("Revise: %v", err)
				}
			}
			r.close()
			total := delivered + len(newer.Changes())
			r.counts(0, 0)
			t.Logf("poison: changes=10000 bad=5 delivered=%d dead=%d after_replay=%d", delivered, len(dead), total)
			if delivered != 9995 || total != 10_000 || r.kinds()[webhook.EventRejected] != 5 {
				t.Errorf("delivered %d, in the end %d, events %v", delivered, total, r.kinds())
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// TestEmitterOutage takes Sentry away for five seconds in four ways.
func TestEmitterOutage(t *testing.T) {
	most := 0
	for range 20 { // the waits are random
		synctest.Test(t, func(t *testing.T) {
			var refuse atomic.Bool
			r := newRig(t, rigConfig{client: func(c *webhook.Config) {
				c.Timeout = 400 * time.Millisecond
				real := c.HTTPClient.Transport
				c.HTTPClient = &http.Client{Transport: roundTrip(func(request *http.Request) (*http.Response, error) {
					if refuse.Load() {
						return nil, errors.New("connection refused")
					}
					return real.RoundTrip(request)
				})}
			}})
			changes := numberedChanges(2000)
			r.emit(changes[:200]...)
			if err := r.emitter.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			start, failed := time.Now(), 0
			refuse.Store(true)
			go func() {
				for i, fault := range []webhooktest.Fault{webhooktest.Status(503), webhooktest.Hold(nil), webhooktest.Disconnect()} {
					time.Sleep(time.Duration(i+1)*1250*time.Millisecond - time.Since(start))
					refuse.Store(false)
					r.server.FailAlways(fault)
				}
				time.Sleep(5*time.Second - time.Since(start))
				r.server.Recover()
			}()
			for _, change := range changes[200:] {
				r.emit(change)
				time.Sleep(2500 * time.Microsecond)
			}
			time.Sleep(5*time.Second - time.Since(start))
			synctest.Wait()
			r.close()
			for _, event := range r.events {
				if event.Kind == webhook.EventPaused {
					failed++
				}
			}
			most = max(most, failed)
			r.counts(0, 0)
			if got := len(r.server.Changes()); got != 2000 {
				t.Errorf("%d of 2000 changes stored", got)
			}
		})
	}
	t.Logf("outage: seconds=5 runs=20 lost=0 requests_at_most=%d", most)
	if most > 12 {
		t.Errorf("%d requests in an outage of 5 s", most)
	}
}

func TestEmitterSecretRotation(t *testing.T) {
	next := signing.NewSecret("the-next-secret-0123456789abcdef0")
	emitterTest(t, rigConfig{client: func(c *webhook.Config) { c.Secrets = append(c.Secrets, next) }}, func(t *testing.T, r *rig) {
		changes := numberedChanges(1000)
		r.emit(changes[:500]...)
		if err := r.emitter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.server.SetSecret(next)
		r.emit(changes[500:]...)
		r.close()
		if got := len(r.server.Changes()); got != 1000 {
			t.Errorf("%d of 1000 stored", got)
		}
		r.counts(0, 0)
		t.Logf("rotation: lost=0 dead=0 paused=%d", r.kinds()[webhook.EventPaused])
		if r.kinds()[webhook.EventPaused] != 0 {
			t.Error("the rotation was felt")
		}
	})
}

func TestEmitterWrongSecretForAWhile(t *testing.T) {
	var text lockedBuffer
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{Logger: slog.New(slog.NewTextHandler(&text, nil))}}, func(t *testing.T, r *rig) {
		right := r.server.Secret()
		r.server.SetSecret(signing.NewSecret("somebody-has-saved-another-secret"))
		r.emit(numberedChanges(1000)...)
		time.Sleep(10 * time.Minute)
		if stats := r.counts(1000, 0); !stats.Paused || !errors.Is(stats.LastError, webhook.ErrUnauthorized) || stats.OldestAge < 10*time.Minute {
			t.Errorf("stats: %+v", stats)
		}
		if n := len(r.server.Requests()); n < 9 || n > 12 {
			t.Errorf("%d requests in ten minutes, want one a minute", n)
		}
		r.server.SetSecret(right)
		r.close()
		if stats := r.counts(0, 0); stats.Paused || stats.LastError != nil || stats.OldestAge != 0 {
			t.Errorf("stats: %+v", stats)
		}
		if got := len(r.server.Changes()); got != 1000 {
			t.Errorf("%d of 1000 stored", got)
		}
		if !strings.Contains(text.String(), "level=ERROR") || !strings.Contains(text.String(), "not authorized") {
			t.Errorf("not reported loudly:\n%s", text.String())
		}
		for _, secret := range []string{"deploy-bot", webhooktest.DefaultSecret} {
			if strings.Contains(text.String(), secret) {
				t.Errorf("the log contains %q", secret)
			}
		}
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestEmitterSharedChangeIDs: two different changes under one ChangeID are both
// stored, the same change only once.
func TestEmitterSharedChangeIDs(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		var changes []webhook.Change
		for i := range 60 {
			change := someChange(fmt.Sprintf("flag-%d", i%3))
			change.ChangeID = int64(1 + i%4)
			change.CreatedAt = change.CreatedAt.Add(time.Duration(i/2) * time.Second)
			changes = append(changes, change)
		}
		r.emit(changes...)
		r.emit(changes...)
		r.close()
		for _, request := range r.server.Requests() {
			seen := make(map[int64]bool)
			for _, id := range changeIDs(t, request.Body) {
				if seen[id] {
					t.Fatalf("change_id %d twice in one request", id)
				}
				seen[id] = true
			}
		}
		if got := len(r.server.Changes()); got != 60 {
			t.Errorf("%d of 60 stored", got)
		}
	})
}

// TestEmitterReplicas has three replicas report the same changes into one
// store, one of them after the others have been delivered.
func TestEmitterReplicas(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		changes := numberedChanges(1000)
		second, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		late, err := webhook.NewEmitter(r.client, r.store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range changes {
			r.emit(change)
			if err := second.Emit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		for _, change := range changes {
			if err := late.Emit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
		}
		for _, emitter := range []*webhook.Emitter{late, second, r.emitter} {
			if err := emitter.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		t.Logf("replicas: changes=1000 replicas=3 delivered=%d", len(r.server.Changes()))
		if got := len(r.server.Changes()); got != 1000 {
			t.Errorf("%d stored, want 1000", got)
		}
	})
}
