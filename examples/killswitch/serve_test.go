package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

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

// program is a configuration file and an environment that fit the stand-ins.
func program(t *testing.T, switchboard *vwotest.Server, flagLog *webhooktest.Server, feature string) (string, func(string) string) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"listen": "127.0.0.1:0", "store": t.TempDir() + "/killswitch.db", "vwo": map[string]string{"base_url": switchboard.URL},
		"rules": []map[string]any{{"alert": "Checkout failing", "project": "shop", "switch_off": map[string]string{"environment": "production", "feature": feature}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, "killswitch.json", string(raw)), envOf("VWO_TOKEN="+switchboard.Token(), "SENTRY_CLIENT_SECRET="+demoSecret,
		"SENTRY_FLAGS_WEBHOOK_URL="+flagLog.URL(), "SENTRY_FLAGS_WEBHOOK_SECRET="+webhooktest.DefaultSecret)
}

func standIns(t *testing.T) (*vwotest.Server, *webhooktest.Server) {
	t.Helper()
	switchboard := vwotest.NewServer(vwotest.Config{Features: []string{"new_checkout"}})
	t.Cleanup(switchboard.Close)
	flagLog := webhooktest.NewServer(webhooktest.Config{})
	t.Cleanup(flagLog.Close)
	return switchboard, flagLog
}

var listening = regexp.MustCompile(`"address":"([^"]+)"`)

func TestServeAndStop(t *testing.T) {
	switchboard, flagLog := standIns(t)
	file, env := program(t, switchboard, flagLog, "new_checkout")
	var log lines
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-config", file}, env, io.Discard, &log) }()
	var address string
	eventually(t, 20*time.Second, "it listens", func() bool {
		if found := listening.FindStringSubmatch(log.String()); found != nil {
			address = "http://" + found[1]
		}
		return address != ""
	})
	client := newHTTPClient(t)
	response, err := client.Get(address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if response.StatusCode != 200 || !strings.HasPrefix(string(text), "ok: 0 waiting") {
		t.Errorf("/healthz: %d %s", response.StatusCode, text)
	}
	status, err := post(t.Context(), client, address+"/sentry", demoEvent("Checkout failing", "shop", "", 0, time.Now()))
	if err != nil || status/100 != 2 {
		t.Errorf("%d, %v", status, err)
	}
	if status, err := post(t.Context(), client, address+"/elsewhere", []byte("{}")); err != nil || status != 404 {
		t.Errorf("elsewhere: %d, %v", status, err)
	}
	stop()
	client.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// Stopping has waited for the switch and its record.
	if switchboard.Enabled("production", "new_checkout") || len(flagLog.Changes()) != 1 {
		t.Errorf("on=%t, records %v", switchboard.Enabled("production", "new_checkout"), flagLog.Changes())
	}
	for _, hidden := range []string{switchboard.Token(), demoSecret, webhooktest.DefaultSecret} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("the log shows %.8s…", hidden)
		}
	}
}

func TestServeRefusesWhatVWODoesNotKnow(t *testing.T) {
	switchboard, flagLog := standIns(t)
	file, env := program(t, switchboard, flagLog, "misspelt")
	err := run(t.Context(), []string{"-config", file}, env, io.Discard, io.Discard)
	if !errors.Is(err, vwo.ErrNotFound) || !strings.Contains(err.Error(), "misspelt") {
		t.Errorf("%v", err)
	}
}

// A kill switch has to start when VWO is down: that may be why.
func TestServeStartsWithoutVWO(t *testing.T) {
	switchboard, flagLog := standIns(t)
	switchboard.SetFault(vwotest.Fault{Status: 502})
	file, env := program(t, switchboard, flagLog, "new_checkout")
	var log lines
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-config", file}, env, io.Discard, &log) }()
	eventually(t, 20*time.Second, "it says so", func() bool { return strings.Contains(log.String(), "VWO cannot be asked now") })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	switchboard, flagLog := standIns(t)
	for _, tc := range []struct {
		feature string
		spoil   func()
		want    string
		fails   bool
	}{
		{"new_checkout", func() {}, "VWO:       ok\nflag log:  ok\n", false},
		{"misspelt", func() {}, "VWO:       FAILED: vwo: no such", true},
		{"new_checkout", func() { flagLog.FailAlways(webhooktest.Status(401)) }, "flag log:  FAILED", true},
		{"new_checkout", func() { switchboard.SetFault(vwotest.Fault{Status: 403}) }, "VWO:       FAILED: vwo: read the environments: vwo: the token", true},
	} {
		tc.spoil()
		file, env := program(t, switchboard, flagLog, tc.feature)
		var out strings.Builder
		err := run(t.Context(), []string{"-config", file, "-check"}, env, &out, io.Discard)
		if (err != nil) != tc.fails || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%v\n%s\nwant %s", err, out.String(), tc.want)
		}
	}
	if len(switchboard.Toggles()) > 0 || len(flagLog.Changes()) > 0 {
		t.Error("the check has changed something")
	}
}

func TestHealthFailsWithTheStore(t *testing.T) {
	switchboard, flagLog := standIns(t)
	file, env := program(t, switchboard, flagLog, "new_checkout")
	c, err := readConfig(file, env)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), c, options{logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	s.handler("/sentry").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// TestReportsCannotTriggerThemselves takes a report's event, as Sentry would
// deliver it in an alert, back to the relay.
func TestReportsCannotTriggerThemselves(t *testing.T) {
	kept := &sentry.MockTransport{}
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: "https://key@sentry.example.com/1", Transport: kept})
	if err != nil {
		t.Fatal(err)
	}
	reports := &reporter{sentry.NewHub(client, sentry.NewScope())}
	reports.send(vwo.Report{Err: vwo.ErrNotSwitched, Alert: "Checkout failing", Target: vwo.Target{Environment: "production", Feature: "f"}})
	events := kept.Events()
	if len(events) != 1 || events[0].Tags[vwo.ReportTag] == "" || len(events[0].Exception) == 0 {
		t.Fatalf("%+v", events)
	}
	reports.close()
	if _, err := newReporter("https://" + treasure); err == nil || strings.Contains(err.Error(), "f00dface") {
		t.Errorf("%v", err)
	}
	if silent, err := newReporter(""); err != nil {
		t.Error(err)
	} else {
		silent.send(vwo.Report{})
		silent.close()
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"stray"}, {"-config", "missing.json"}} {
		if err := run(t.Context(), args, envOf(), io.Discard, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	var out strings.Builder
	start := time.Now()
	err := run(t.Context(), []string{"-demo"}, envOf(), &out, io.Discard)
	if took := time.Since(start); err != nil || took > 30*time.Second {
		t.Fatalf("%v after %v\n%s", err, took, out.String())
	}
	printed := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := printed[len(printed)-1]; last != "killswitch: 885 alerts, 5 acted, 720 ignored, 160 refused" {
		t.Errorf("the last line is %q", last)
	}
}

// TestCheckFindsWhatWouldKeepTheServiceFromStarting is about settings that the
// check itself does not need.
func TestCheckFindsWhatWouldKeepTheServiceFromStarting(t *testing.T) {
	switchboard, flagLog := standIns(t)
	file, env := program(t, switchboard, flagLog, "new_checkout")
	for name, tc := range map[string]struct{ value, want string }{
		"SENTRY_DSN":              {treasure, "SENTRY_DSN is not one"},
		"KILLSWITCH_DATABASE_URL": {"postgres://u:" + treasure + "@[x", "KILLSWITCH_DATABASE_URL"},
	} {
		spoilt := func(key string) string {
			if key == name {
				return tc.value
			}
			return env(key)
		}
		err := run(t.Context(), []string{"-config", file, "-check"}, spoilt, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), treasure) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
