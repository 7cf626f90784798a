package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const password = "correct-horse-battery"

// kit is a console in front of a queue without an emitter, which the test fills
// and empties itself.
type kit struct {
	*testing.T
	store    *queue.Memory
	switches *switches
	log      *lockedLog
	console  *console.Console
	config   console.Config
}

const queueName = "flag-changes:sentry.io/acme"

func newKit(t *testing.T, change func(*console.Config)) *kit {
	t.Helper()
	k := &kit{T: t, switches: &switches{}, log: &lockedLog{}}
	var err error
	if k.store, err = queue.NewMemory(queue.MemoryConfig{MaxDead: 10_000}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.store.Close() })
	inspector, err := webhook.NewInspector(k.store, queueName, webhook.InspectorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	k.config = console.Config{
		Inspector: inspector, Switches: k.switches, Password: signing.NewSecret(password),
		Logger: slog.New(slog.NewTextHandler(k.log, nil)), Announce: io.Discard,
	}
	if change != nil {
		change(&k.config)
	}
	if k.console, err = console.New(k.config); err != nil {
		t.Fatal(err)
	}
	return k
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// item is a change as an emitter keeps it.
func item(id, flag, author string) queue.Item {
	body := fmt.Sprintf(`{"action":"updated","change_id":1,"created_at":"2026-09-01T12:00:00.000000+00:00","created_by":{"id":%s,"type":"name"},"flag":%s}`, quoted(author), quoted(flag))
	key := flag
	if len(key) > queue.MaxKey {
		key = key[:10]
	}
	return queue.Item{ID: id, Key: key, Body: []byte(body)}
}

// settle adds an item and makes it done or, with a reason, dead.
func (k *kit) settle(it queue.Item, reason string) queue.Entry {
	k.Helper()
	ctx := k.Context()
	if _, err := k.store.Add(ctx, queueName, queue.Addition{Items: []queue.Item{it}}); err != nil {
		k.Fatal(err)
	}
	if wait, err := k.store.Lease(ctx, queueName, "test", time.Hour); wait != 0 || err != nil {
		k.Fatal(wait, err)
	}
	e := k.entry(it.ID)
	outcome := queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done}
	if reason != "" {
		outcome.State, outcome.Reason = queue.Dead, reason
	}
	if err := k.store.Settle(ctx, queueName, "test", outcome); err != nil {
		k.Fatal(err)
	}
	return k.entry(it.ID)
}

func (k *kit) entry(id string) queue.Entry {
	k.Helper()
	found, err := k.store.List(context.Background(), queueName, queue.Filter{ID: id})
	if err != nil || len(found) != 1 {
		k.Fatalf("%d entries %q, %v", len(found), id, err)
	}
	return found[0]
}

// get asks for a page as who knows the password.
func (k *kit) get(path string) *httptest.ResponseRecorder {
	k.Helper()
	return k.send(k.request(http.MethodGet, path, nil))
}

func (k *kit) post(path string, form url.Values) *httptest.ResponseRecorder {
	k.Helper()
	return k.send(k.request(http.MethodPost, path, form))
}

func (k *kit) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.SetBasicAuth("ada", password)
	return r
}

func (k *kit) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	k.console.ServeHTTP(w, r)
	return w
}

func letterForm(do string, e queue.Entry, more ...string) url.Values {
	form := url.Values{"do": {do}, "id": {e.ID}, "seq": {fmt.Sprint(e.Seq)}, "confirm": {"yes"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// correction is the form of a correction.
func correction(e queue.Entry, flag string, more ...string) url.Values {
	return letterForm("correct", e, append([]string{
		"flag", flag, "action", "updated", "author", "ada", "author_type", "name", "created_at", "2026-09-01T12:00:00Z",
	}, more...)...)
}

// switches is a kill switch.
type switches struct {
	mu       sync.Mutex
	off      []console.SwitchedOff
	pending  []console.PendingSwitch
	restored []string // and retried, and given up
	fails    error
}

func (s *switches) Pending(context.Context) ([]console.PendingSwitch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]console.PendingSwitch(nil), s.pending...), s.fails
}

func (s *switches) Retry(_ context.Context, id, by string) error { return s.did("retry", id, by) }

func (s *switches) GiveUp(_ context.Context, id, by string) error { return s.did("give up", id, by) }

func (s *switches) did(what, id, by string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "broken" {
		return errors.New("the store <says> no")
	}
	s.restored = append(s.restored, fmt.Sprintf("%s %s by %s", what, id, by))
	return nil
}

func (s *switches) SwitchedOff(context.Context) ([]console.SwitchedOff, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]console.SwitchedOff(nil), s.off...), s.fails
}

func (s *switches) Restore(_ context.Context, target, by string, force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if target == "broken" {
		return errors.New("the flag system <says> no")
	}
	s.restored = append(s.restored, fmt.Sprintf("%s by %s, force %t", target, by, force))
	return nil
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}
