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

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

var _ changes.Source = (*vwo.Settings)(nil)

const vwoSecret = "the-secret-in-x-vwo-auth"

// newHook makes the handler of VWO's webhook: it makes the watcher look.
func newHook(t *testing.T, w *changes.Watcher) http.Handler {
	t.Helper()
	hook, err := receive.New(receive.Config{
		Product: receive.Any{Product: "vwo", Header: "x-vwo-auth"}, Secrets: []signing.Secret{signing.NewSecret(vwoSecret)},
		Watchers: []*changes.Watcher{w}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hook.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return hook
}

// call is VWO's webhook.
func call(t *testing.T, hook http.Handler) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/vwo", strings.NewReader(settingsChanged))
	r.Header.Set("x-vwo-auth", vwoSecret)
	w := httptest.NewRecorder()
	if hook.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

const settingsChanged = `{"timestamp":1788263970,"event":"settings_changed","action":"feature_flag_updated","triggered_by":"vwo"}`

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
		hook := newHook(t, w)
		expect()
		now.become(map[string]vwo.FlagState{"a": {Enabled: true, Definition: "2"}, "c": {Enabled: true}, "same": {Definition: "x"}}, nil)
		for range 5 { // VWO repeats itself
			call(t, hook)
		}
		expect("updated a", "deleted b", "created c")
		for _, outage := range []error{errors.New("connection refused"), nil} { // nothing at all is no settings
			now.become(nil, outage)
			call(t, hook)
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
		hook = newHook(t, w)
		call(t, hook)
		expect()
		now.become(map[string]vwo.FlagState{}, nil)
		call(t, hook)
		expect("deleted a", "deleted same")
		stop(w)
	})
}
