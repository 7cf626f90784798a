package vwo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
)

var clientSecret = signing.NewSecret("the-client-secret-of-the-integration")

// flagOf is the flag that the rules of ruled switch.
func flagOf(name string) vwo.Target { return vwo.Target{Environment: "production", Feature: name} }

// ruled has a rule per flag: the alert is named as the flag.
func ruled(flags ...string) []vwo.Rule {
	var rules []vwo.Rule
	for _, flag := range flags {
		rules = append(rules, vwo.Rule{Alert: flag, Project: "shop", Target: flagOf(flag)})
	}
	return rules
}

// eventAlert is an issue alert with the given name about a new event.
func eventAlert(name string, at time.Time) []byte {
	return eventAlertID(name, rapidID(), at)
}

var (
	lastID   int
	lastIDMu sync.Mutex
)

func rapidID() string {
	lastIDMu.Lock()
	defer lastIDMu.Unlock()
	lastID++
	return fmt.Sprintf("%032x", lastID)
}

func eventAlertID(name, id string, at time.Time) []byte {
	quoted, _ := json.Marshal(name)
	return fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"7a485448"},"data":{"event":{"event_id":"%s","project":4505,`+
		`"url":"https://sentry.io/api/0/projects/acme/shop/events/%s/","level":"error","environment":"production","tags":[["level","error"]],`+
		`"title":"PaymentError: card declined","datetime":"%s","user":{"email":"jane.doe@example.com","ip_address":"203.0.113.7"}},"triggered_rule":%s},`+
		`"actor":{"type":"application","id":"sentry","name":"Sentry"}}`, id, id, at.UTC().Format("2006-01-02T15:04:05.000000Z"), quoted)
}

// metricAlert is a metric alert with the given rule name.
func metricAlert(name, action string, at time.Time) []byte {
	status, closed := 20, "null"
	if action == "resolved" {
		status, closed = 2, `"`+at.UTC().Format(time.RFC3339Nano)+`"`
	}
	return fmt.Appendf(nil, `{"action":"%s","installation":{"uuid":"7a485448"},"data":{"metric_alert":{"id":"%s","title":"t","status":%d,"status_method":3,`+
		`"projects":["shop"],"date_started":"%s","date_closed":%s,"alert_rule":{"id":"7","name":"%s","environment":"production"}}},"actor":{}}`,
		action, rapidID(), status, at.UTC().Format(time.RFC3339Nano), closed, name)
}

func signed(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/sentry", bytes.NewReader(body))
	signature, err := signing.Sign(clientSecret, body)
	if err != nil {
		panic(err)
	}
	r.Header.Set(signing.HookHeader, signature)
	return r
}

// deliver hands a request to the relay and returns the status.
func deliver(relay *vwo.Relay, r *http.Request) int {
	w := httptest.NewRecorder()
	relay.ServeHTTP(w, r)
	return w.Code
}

func newRelay(t testing.TB, config vwo.RelayConfig) *vwo.Relay {
	t.Helper()
	if len(config.Secrets) == 0 {
		config.Secrets = []signing.Secret{clientSecret}
	}
	relay, err := vwo.NewRelay(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = relay.Close(ctx)
	})
	return relay
}

// switches is a flag system that remembers.
type switches struct {
	mu    sync.Mutex
	done  []switched
	calls []switched
	// fail, if set, is asked about each call.
	fail func(ctx context.Context, call int) error
}

type switched struct {
	target  vwo.Target
	enabled bool
	at      time.Time
}

func (s *switches) Set(ctx context.Context, environment, feature string, enabled bool) error {
	s.mu.Lock()
	one := switched{vwo.Target{Environment: environment, Feature: feature}, enabled, time.Now()}
	s.calls = append(s.calls, one)
	call, fail := len(s.calls), s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, call); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, one)
	return nil
}

func (s *switches) all() (done, calls []switched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]switched(nil), s.done...), append([]switched(nil), s.calls...)
}

func (s *switches) count() int { done, _ := s.all(); return len(done) }

var errDown = errors.New("connection refused")

// records is an emitter that remembers.
type records struct {
	mu      sync.Mutex
	changes []webhook.Change
	fail    func(call int) error
	calls   int
}

func (r *records) Emit(_ context.Context, changes ...webhook.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.fail != nil {
		if err := r.fail(r.calls); err != nil {
			return err
		}
	}
	r.changes = append(r.changes, changes...)
	return nil
}

func (r *records) all() []webhook.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]webhook.Change(nil), r.changes...)
}

// reports collects what needs a person.
type reports struct {
	mu   sync.Mutex
	list []vwo.Report
}

func (r *reports) add(report vwo.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, report)
}

func (r *reports) all() []vwo.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]vwo.Report(nil), r.list...)
}

// decisions collects what was decided.
type decisions struct {
	mu   sync.Mutex
	list []vwo.Decision
}

func (d *decisions) add(decision vwo.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, decision)
}

func (d *decisions) last() vwo.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list[len(d.list)-1]
}

func newMemoryStore(t testing.TB) *webhook.MemoryStore {
	t.Helper()
	store, err := webhook.NewMemoryStore(webhook.MemoryStoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// logTo collects log lines.
func logTo(w *lockedBuffer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// flakyTurns is a store whose turns fail until works is set.
type flakyTurns struct {
	webhook.Store
	works atomic.Bool
}

func (f *flakyTurns) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	if !f.works.Load() {
		return nil, errDown
	}
	return f.Store.Turn(ctx, queue)
}
