package vwo_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

var _ changes.Source = (*vwo.Settings)(nil)

const vwoSecret = "the-secret-in-x-vwo-auth"

func newSettingsHook(t *testing.T, look func()) *vwo.SettingsHook {
	t.Helper()
	hook, err := vwo.NewSettingsHook(vwo.SettingsHookConfig{
		Auth: []vwo.Token{vwo.NewToken(vwoSecret), vwo.NewToken("the-previous-one")}, Look: look, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return hook
}

// call is VWO's webhook.
func call(hook *vwo.SettingsHook, body string, auth ...string) int {
	r := httptest.NewRequest(http.MethodPost, "/vwo", strings.NewReader(body))
	for _, a := range auth {
		r.Header.Add("x-vwo-auth", a)
	}
	w := httptest.NewRecorder()
	hook.ServeHTTP(w, r)
	return w.Code
}

const settingsChanged = `{"timestamp":1788263970,"event":"settings_changed","action":"feature_flag_updated","triggered_by":"vwo"}`

func TestSettingsHook(t *testing.T) {
	looks := 0
	hook := newSettingsHook(t, func() { looks++ })
	for name, auth := range map[string][]string{
		"missing": nil, "empty": {""}, "wrong": {"x"}, "prefix": {vwoSecret[:5]}, "longer": {vwoSecret + "x"}, "two": {vwoSecret, vwoSecret},
	} {
		if status := call(hook, settingsChanged, auth...); status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/vwo", nil)
	r.Header.Set("x-vwo-auth", vwoSecret)
	w := httptest.NewRecorder()
	if hook.ServeHTTP(w, r); w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
	if looks != 0 {
		t.Error("a refused call made it look")
	}
	for i, body := range []string{settingsChanged, "no JSON", strings.Repeat("x", 1<<20)} {
		if status := call(hook, body, []string{vwoSecret, "the-previous-one"}[i%2]); status != 202 || looks != i+1 {
			t.Errorf("%.20s: %d, %d looks", body, status, looks)
		}
	}
}

func TestSettingsHookConfigIsChecked(t *testing.T) {
	for field, config := range map[string]vwo.SettingsHookConfig{
		"Auth":    {Look: func() {}},
		"Auth[1]": {Look: func() {}, Auth: []vwo.Token{vwo.NewToken("x"), {}}},
		"Look":    {Auth: []vwo.Token{vwo.NewToken("x")}},
	} {
		if _, err := vwo.NewSettingsHook(config); !errors.Is(err, vwo.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// settings are what the SDK would have.
type settings struct {
	mu    sync.Mutex
	flags map[string]vwo.FlagState
	fail  error
}

func (s *settings) read(context.Context) (map[string]vwo.FlagState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.flags), s.fail
}

func (s *settings) become(flags map[string]vwo.FlagState, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flags, s.fail = flags, fail
}

// collector is a queue.Store's emitter that keeps the changes.
type collector struct {
	mu    sync.Mutex
	found []string
}

func (c *collector) Queue() string { return "flag-changes" }
func (c *collector) Wake()         {}

func (c *collector) Items(list ...webhook.Change) ([]queue.Item, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var items []queue.Item
	for _, change := range list {
		c.found = append(c.found, string(change.Action)+" "+change.Flag+" by "+change.CreatedBy.ID)
		items = append(items, queue.Item{ID: change.ItemID, Key: change.Flag})
	}
	return items, nil
}

func TestSettingsAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, err := queue.NewMemory(queue.MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var now settings
		var told collector
		now.become(map[string]vwo.FlagState{"a": {Enabled: true, Definition: "1"}, "b": {Enabled: true}, "same": {Definition: "x"}}, nil)
		start := func() *changes.Watcher {
			w, err := changes.NewWatcher(changes.Config{
				Source: vwo.NewSettings("production", now.read), Format: changes.Keyed("/flags", "").Switch("enabled").Called("vwo"),
				Store: memory, Emitter: &told, Interval: time.Hour, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		stop := func(w *changes.Watcher) {
			if err := w.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		var want []string
		expect := func(more ...string) {
			t.Helper()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			for _, change := range more {
				want = append(want, change+" by vwo:production")
			}
			told.mu.Lock()
			defer told.mu.Unlock()
			if diff := cmp.Diff(want, told.found); diff != "" {
				t.Error(diff)
			}
		}
		w := start()
		hook := newSettingsHook(t, w.Look)
		expect()
		now.become(map[string]vwo.FlagState{"a": {Enabled: true, Definition: "2"}, "c": {Enabled: true}, "same": {Definition: "x"}}, nil)
		for range 5 { // VWO repeats itself
			call(hook, settingsChanged, vwoSecret)
		}
		expect("updated a", "deleted b", "created c")
		for _, outage := range []error{errors.New("connection refused"), nil} { // nothing at all is no settings
			now.become(nil, outage)
			call(hook, settingsChanged, vwoSecret)
			expect()
		}
		stop(w)
		// What changed while no hook ran is found by the next one.
		now.become(map[string]vwo.FlagState{"a": {Definition: "2"}, "c": {Enabled: true}, "same": {Definition: "x"}}, nil)
		time.Sleep(time.Hour)
		w = start()
		expect("updated a")
		// What a kill switch does it reports itself, also in settings that leave out
		// what is off.
		if err := w.Own(t.Context(), "c", false); err != nil {
			t.Fatal(err)
		}
		now.become(map[string]vwo.FlagState{"a": {Definition: "2"}, "same": {Definition: "x"}}, nil)
		newSettingsHook(t, w.Look).ServeHTTP(httptest.NewRecorder(), authorized())
		expect()
		now.become(map[string]vwo.FlagState{}, nil)
		call(newSettingsHook(t, w.Look), settingsChanged, vwoSecret)
		expect("deleted a", "deleted same")
		stop(w)
	})
}

func authorized() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/vwo", strings.NewReader(settingsChanged))
	r.Header.Set("x-vwo-auth", vwoSecret)
	return r
}
