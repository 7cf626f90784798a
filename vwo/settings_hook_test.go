package vwo_test

import (
	"context"
	"errors"
	"fmt"
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
)

// settings are what the SDK would have.
type settings struct {
	mu    sync.Mutex
	flags map[string]vwo.FlagState
	fail  error
	reads int
}

func (s *settings) read(context.Context) (map[string]vwo.FlagState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return maps.Clone(s.flags), s.fail
}

func (s *settings) set(flag string, state vwo.FlagState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flags[flag] = state
}

func (s *settings) remove(flag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flags, flag)
}

const vwoSecret = "the-secret-in-x-vwo-auth"

func newSettingsHook(t *testing.T, config vwo.SettingsHookConfig) *vwo.SettingsHook {
	t.Helper()
	config.Auth = []vwo.Token{vwo.NewToken(vwoSecret), vwo.NewToken("the-previous-one")}
	hook, err := vwo.NewSettingsHook(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := hook.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return hook
}

// call is VWO's webhook.
func call(hook *vwo.SettingsHook, auth ...string) int {
	r := httptest.NewRequest(http.MethodPost, "/vwo", strings.NewReader(
		`{"timestamp":1788263970,"event":"settings_changed","action":"feature_flag_updated","triggered_by":"vwo"}`))
	for _, a := range auth {
		r.Header.Add("x-vwo-auth", a)
	}
	w := httptest.NewRecorder()
	hook.ServeHTTP(w, r)
	return w.Code
}

// told lists changes as "action flag".
func told(changes []webhook.Change) []string {
	var list []string
	for _, c := range changes {
		list = append(list, string(c.Action)+" "+c.Flag)
	}
	return list
}

func TestSettingsHookRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := settings{flags: map[string]vwo.FlagState{}}
		hook := newSettingsHook(t, vwo.SettingsHookConfig{Settings: before.read, Emitter: &records{}})
		for name, auth := range map[string][]string{
			"missing": nil, "empty": {""}, "wrong": {"x"}, "prefix": {vwoSecret[:5]}, "longer": {vwoSecret + "x"}, "two": {vwoSecret, vwoSecret},
		} {
			if status := call(hook, auth...); status != 401 {
				t.Errorf("%s: %d", name, status)
			}
		}
		r := httptest.NewRequest(http.MethodGet, "/vwo", nil)
		r.Header.Set("x-vwo-auth", vwoSecret)
		w := httptest.NewRecorder()
		if hook.ServeHTTP(w, r); w.Code != 405 {
			t.Errorf("GET: %d", w.Code)
		}
		synctest.Wait()
		if before.reads != 1 {
			t.Errorf("a refused call made it read the settings")
		}
		if status := call(hook, "the-previous-one"); status != 202 {
			t.Errorf("the previous secret: %d", status)
		}
	})
}

func TestSettingsHookReportsWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := settings{flags: map[string]vwo.FlagState{
			"a": {Enabled: true, Definition: "1"}, "b": {Enabled: true}, "c": {}, "same": {Enabled: true, Definition: "x"},
		}}
		var recorded records
		hook := newSettingsHook(t, vwo.SettingsHookConfig{Settings: now.read, Emitter: &recorded})
		if call(hook, vwoSecret); len(recorded.all()) != 0 {
			t.Error("the baseline was reported")
		}
		time.Sleep(time.Minute)
		now.set("a", vwo.FlagState{Enabled: true, Definition: "2"})
		now.remove("b")
		now.set("c", vwo.FlagState{Enabled: true})
		now.set("d", vwo.FlagState{})
		time.Sleep(time.Hour)
		if len(recorded.all()) != 0 {
			t.Error("something was reported without a call")
		}
		// A call that is repeated for a while tells it once.
		for range 5 {
			if status := call(hook, vwoSecret); status != 202 {
				t.Errorf("status %d", status)
			}
			time.Sleep(time.Second)
		}
		changes := recorded.all()
		if diff := cmp.Diff([]string{"updated a", "deleted b", "updated c", "created d"}, told(changes)); diff != "" {
			t.Error(diff)
		}
		ids := map[int64]bool{}
		for _, c := range changes {
			ids[c.ChangeID] = true
			if c.CreatedBy != (webhook.Author{ID: "VWO", Type: webhook.AuthorName}) || c.ChangeID <= 0 || time.Since(c.CreatedAt) > time.Minute {
				t.Errorf("%+v", c)
			}
		}
		if len(ids) != 4 {
			t.Error("two changes share an id")
		}
	})
}

// VWO's call can be ahead of the settings that it is about.
func TestSettingsHookLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := settings{flags: map[string]vwo.FlagState{"a": {}}}
		var recorded records
		hook := newSettingsHook(t, vwo.SettingsHookConfig{Settings: now.read, Emitter: &recorded})
		call(hook, vwoSecret)
		time.Sleep(10 * time.Second)
		now.set("a", vwo.FlagState{Enabled: true})
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"updated a"}, told(recorded.all())); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSettingsHookSurvivesOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := settings{flags: map[string]vwo.FlagState{"a": {}, "bad": {}}}
		recorded := records{fail: func(call int) error {
			switch {
			case call < 4:
				return errDown
			case call == 4:
				return &webhook.ChangeError{Index: 1, Field: "Flag", Reason: "is too long"}
			}
			return nil
		}}
		hook := newSettingsHook(t, vwo.SettingsHookConfig{Settings: now.read, Emitter: &recorded})
		now.set("a", vwo.FlagState{Enabled: true})
		now.set("bad", vwo.FlagState{Enabled: true})
		now.fail = errDown
		call(hook, vwoSecret)
		time.Sleep(10 * time.Second)
		start := time.Now()
		now.mu.Lock()
		now.fail = nil
		now.mu.Unlock()
		time.Sleep(5 * time.Minute)
		changes := recorded.all()
		if diff := cmp.Diff([]string{"updated a"}, told(changes)); diff != "" {
			t.Fatal(diff)
		}
		if at := changes[0].CreatedAt; at.Before(start) || at.After(start.Add(time.Minute)) {
			t.Errorf("dated %v", at)
		}
	})
}

// TestOwnSwitchesAreNotReported lets the client and people switch the same flag,
// with settings that leave out what is off, and with such that do not.
func TestOwnSwitchesAreNotReported(t *testing.T) {
	for i := range 4 {
		absent, pause := i%2 == 0, []time.Duration{10 * time.Second, 2 * time.Minute}[i/2]
		synctest.Test(t, func(t *testing.T) {
			now := settings{flags: map[string]vwo.FlagState{"f": {Enabled: true, Definition: "1"}}}
			var recorded records
			var hook *vwo.SettingsHook
			set := func(enabled bool) {
				if absent && !enabled {
					now.remove("f")
				} else {
					now.set("f", vwo.FlagState{Enabled: enabled, Definition: "1"})
				}
			}
			client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken("t"), Unlimited: true, HTTPClient: &http.Client{
				Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					set(false)
					call(hook, vwoSecret) // VWO's call comes before its answer
					time.Sleep(time.Millisecond)
					fmt.Fprint(w, `{"_data":{"f":{"isEnabled":false}}}`)
				})},
			}})
			hook = newSettingsHook(t, vwo.SettingsHookConfig{Settings: now.read, Emitter: &recorded, Client: client, Environment: "production"})
			alarm := func() {
				t.Helper()
				if err := toggle(t.Context(), client, "production", "f", false); err != nil {
					t.Error(err)
				}
				time.Sleep(pause)
			}
			person := func(enabled bool) {
				set(enabled)
				call(hook, vwoSecret)
				time.Sleep(pause)
			}
			want := []string{}
			step := func(what string) {
				t.Helper()
				if what != "" {
					want = append(want, what)
				}
				got := []string{}
				for _, c := range recorded.all() {
					got = append(got, string(c.Action)+" by "+c.CreatedBy.ID)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("absent=%t, pause=%v: %s", absent, pause, diff)
				}
			}
			off, on := "updated by VWO", "updated by VWO"
			if absent {
				off = "deleted by VWO"
			}
			alarm()
			step("")
			alarm() // it is off already
			step("")
			person(true)
			step(on)
			person(false) // not the client's, although it had done the same
			step(off)
			if absent {
				on = "created by VWO"
			}
			person(true)
			step(on)
			alarm()
			step("")
		})
	}
}

func TestSettingsHookConfigIsChecked(t *testing.T) {
	var now settings
	good := vwo.SettingsHookConfig{Auth: []vwo.Token{vwo.NewToken("x")}, Settings: now.read, Emitter: &records{}}
	for field, spoil := range map[string]func(*vwo.SettingsHookConfig){
		"Auth":        func(c *vwo.SettingsHookConfig) { c.Auth = nil },
		"Auth[1]":     func(c *vwo.SettingsHookConfig) { c.Auth = append(c.Auth, vwo.Token{}) },
		"Settings":    func(c *vwo.SettingsHookConfig) { c.Settings = nil },
		"Emitter":     func(c *vwo.SettingsHookConfig) { c.Emitter = nil },
		"Environment": func(c *vwo.SettingsHookConfig) { c.Environment = "production" },
	} {
		config := good
		spoil(&config)
		if _, err := vwo.NewSettingsHook(t.Context(), config); !errors.Is(err, vwo.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	now.fail = errDown
	if _, err := vwo.NewSettingsHook(t.Context(), good); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
}

// TestPersonsSwitchAfterTheClientFailed has a person do by hand what the client
// could not: that switch is in no record yet.
func TestPersonsSwitchAfterTheClientFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := settings{flags: map[string]vwo.FlagState{"f": {Enabled: true}}}
		client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken("t"), HTTPClient: &http.Client{
			Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })},
		}})
		var recorded records
		hook := newSettingsHook(t, vwo.SettingsHookConfig{Settings: now.read, Emitter: &recorded, Client: client, Environment: "production"})
		if err := toggle(t.Context(), client, "production", "f", false); !errors.Is(err, vwo.ErrNotFound) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		now.set("f", vwo.FlagState{})
		call(hook, vwoSecret)
		time.Sleep(time.Minute)
		if len(recorded.all()) != 1 {
			t.Errorf("the person's switch is not reported: %v", recorded.all())
		}
	})
}

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
