package killswitch_test

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
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var clientSecret = signing.NewSecret("the-client-secret-of-the-integration")

// flagOf is the flag that the rules of ruled switch.
func flagOf(name string) killswitch.Target {
	return killswitch.Target{Flag: name, Attributes: map[string]string{"environment": "production"}}
}

// ruled has a rule per flag: the alert is named as the flag.
func ruled(flags ...string) []killswitch.Rule {
	var rules []killswitch.Rule
	for _, flag := range flags {
		rules = append(rules, killswitch.Rule{Alert: flag, Project: "shop", Target: flagOf(flag)})
	}
	return rules
}

// ruledBack is ruled, with a rule per flag that switches it on again.
func ruledBack(flags ...string) []killswitch.Rule {
	rules := ruled(flags...)
	for _, flag := range flags {
		rules = append(rules, killswitch.Rule{
			Alert: flag, Project: "shop", When: []killswitch.Trigger{killswitch.MetricAlertResolved}, Target: flagOf(flag), SwitchOn: true,
		})
	}
	return rules
}

// by is one toggler under a name.
func by(t killswitch.Toggler) map[string]killswitch.Toggler {
	return map[string]killswitch.Toggler{"test": t}
}

var silent = slog.New(slog.DiscardHandler)

const testQueue = "killswitch:test"

var (
	lastID   int
	lastIDMu sync.Mutex
)

func newID() string {
	lastIDMu.Lock()
	defer lastIDMu.Unlock()
	lastID++
	return fmt.Sprintf("%032x", lastID)
}

// eventAlert is an issue alert with the given name about a new event.
func eventAlert(name string, at time.Time) []byte { return eventAlertID(name, newID(), at) }

func eventAlertID(name, id string, at time.Time) []byte {
	quoted, _ := json.Marshal(name)
	return fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"7a485448"},"data":{"event":{"event_id":"%s","project":4505,`+
		`"url":"https://sentry.io/api/0/projects/acme/shop/events/%s/","level":"error","environment":"production","tags":[["level","error"]],`+
		`"title":"PaymentError: card declined","datetime":"%s","user":{"email":"jane.doe@example.com","ip_address":"203.0.113.7"}},"triggered_rule":%s},`+
		`"actor":{"type":"application","id":"sentry","name":"Sentry"}}`, id, id, at.UTC().Format("2006-01-02T15:04:05.000000Z"), quoted)
}

// withFlags adds the event's flags to an issue alert.
func withFlags(body []byte, values string) []byte {
	return bytes.Replace(body, []byte(`"level":"error",`), []byte(`"level":"error","contexts":{"flags":{"values":[`+values+`]}},`), 1)
}

// incident is a metric alert.
type incident struct {
	name, action, id string
	at, closed       time.Time
	method           int
}

func (i incident) body() []byte {
	if i.id == "" {
		i.id = newID()
	}
	status, closed := 20, "null"
	if i.action == "resolved" {
		status = 2
	}
	if i.method == 0 {
		i.method = 3
	}
	if !i.closed.IsZero() {
		closed = `"` + i.closed.UTC().Format(time.RFC3339Nano) + `"`
	}
	return fmt.Appendf(nil, `{"action":"%s","installation":{"uuid":"7a485448"},"data":{"metric_alert":{"id":"%s","title":"t","status":%d,"status_method":%d,`+
		`"projects":["shop"],"date_started":"%s","date_closed":%s,"alert_rule":{"id":"7","name":"%s","environment":"production"}}},"actor":{}}`,
		i.action, i.id, status, i.method, i.at.UTC().Format(time.RFC3339Nano), closed, i.name)
}

// metricAlert is a metric alert with the given rule name.
func metricAlert(name, action string, at time.Time) []byte {
	i := incident{name: name, action: action, at: at}
	if action == "resolved" {
		i.closed = at
	}
	return i.body()
}

func signed(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/sentry", bytes.NewReader(body))
	r.Header.Set(signing.HookHeader, signature(clientSecret, body))
	return r
}

func signature(secret signing.Secret, body []byte) string {
	s, err := signing.Sign(secret, body)
	if err != nil {
		panic(err)
	}
	return s
}

// deliver hands a request to the relay and returns the status.
func deliver(relay *killswitch.Relay, r *http.Request) int {
	w := httptest.NewRecorder()
	relay.ServeHTTP(w, r)
	return w.Code
}

func newRelay(t testing.TB, config killswitch.Config) *killswitch.Relay {
	t.Helper()
	if len(config.Secrets) == 0 {
		config.Secrets = []signing.Secret{clientSecret}
	}
	if config.Logger == nil {
		config.Logger = silent
	}
	relay, err := killswitch.NewRelay(config)
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
	mu     sync.Mutex
	states map[string]bool // of flags that are off; on at the start
	done   []killswitch.Switch
	calls  []call
	// fail, if set, is asked about each call.
	fail func(ctx context.Context, call int, s killswitch.Switch) error
}

type call struct {
	killswitch.Switch
	at time.Time
}

func (s *switches) Toggle(ctx context.Context, one killswitch.Switch) (killswitch.State, error) {
	s.mu.Lock()
	s.calls = append(s.calls, call{one, time.Now()})
	n, fail := len(s.calls), s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, n, one); err != nil {
			return killswitch.StateUnknown, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states == nil {
		s.states = map[string]bool{}
	}
	was := !s.states[one.Target.Flag]
	s.states[one.Target.Flag] = !one.On
	s.done = append(s.done, one)
	return killswitch.StateOf(was), nil
}

func (s *switches) setFail(fail func(ctx context.Context, call int, s killswitch.Switch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *switches) isOn(flag string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.states[flag]
}

func (s *switches) all() (done []killswitch.Switch, calls []call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]killswitch.Switch(nil), s.done...), append([]call(nil), s.calls...)
}

func (s *switches) count() int { done, _ := s.all(); return len(done) }

var errDown = errors.New("connection refused")

func failing(err error) func(context.Context, int, killswitch.Switch) error {
	return func(context.Context, int, killswitch.Switch) error { return err }
}

// hanging never answers.
func hanging(ctx context.Context, _ int, _ killswitch.Switch) error {
	<-ctx.Done()
	return ctx.Err()
}

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
	list []killswitch.Report
}

func (r *reports) add(report killswitch.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, report)
}

func (r *reports) all() []killswitch.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]killswitch.Report(nil), r.list...)
}

// about counts the reports that are about something.
func (r *reports) about(target error) int {
	n := 0
	for _, report := range r.all() {
		if errors.Is(report.Err, target) {
			n++
		}
	}
	return n
}

// decisions collects what was decided.
type decisions struct {
	mu   sync.Mutex
	list []killswitch.Decision
}

func (d *decisions) add(decision killswitch.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, decision)
}

func (d *decisions) last() killswitch.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list[len(d.list)-1]
}

// expect delivers a body and checks status and reason.
func expect(t *testing.T, relay *killswitch.Relay, decided *decisions, body []byte, status int, reason killswitch.Reason) {
	t.Helper()
	got := deliver(relay, signed(body))
	if d := decided.last(); got != status || d.Reason != reason {
		t.Errorf("answered %d (%s), want %d (%s)", got, d.Reason, status, reason)
	}
}

func newStore(t testing.TB) *queue.Memory { return queueOf(t, 0) }

func queueOf(t testing.TB, capacity int) *queue.Memory {
	t.Helper()
	store, err := queue.NewMemory(queue.MemoryConfig{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func closed(t *testing.T, relay *killswitch.Relay) {
	t.Helper()
	if err := relay.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// logTo collects log lines.
func logTo(w *lines) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func newGet() *http.Request { return httptest.NewRequest(http.MethodGet, "/", http.NoBody) }
