package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

var listening = regexp.MustCompile(`"address":"([^"]+)"`)

// started runs the program and returns its address, its log, and what ends it.
func started(t *testing.T, file string, env func(string) string) (string, *lines, func() error) {
	t.Helper()
	log := &lines{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-config", file}, env, io.Discard, log) }()
	var address string
	eventually(t, 20*time.Second, "it listens", func() bool {
		if found := listening.FindStringSubmatch(log.String()); found != nil {
			address = "http://" + found[1]
		}
		return address != ""
	})
	var once sync.Once
	var err error
	stop := func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return address, log, stop
}

func fetched(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

func TestServeAndStop(t *testing.T) {
	t.Parallel()
	switchboard, flagLog := standIns(t, "new_checkout")
	file, env := program(t, switchboard, flagLog, nil, "new_checkout")
	address, log, stop := started(t, file, env)
	client := newHTTPClient(t)
	for path, want := range map[string]string{"/healthz": "ok\n", "/livez": "ok\n", "/metrics": "# HELP killswitch_alerts_total"} {
		if status, text := fetched(t, client, address+path); status != 200 || !strings.HasPrefix(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	status, err := post(t.Context(), client, address+"/sentry", demoEvent("new_checkout", "shop", "", "", 1, time.Now()), nil)
	if err != nil || status/100 != 2 {
		t.Errorf("%d, %v", status, err)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
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

// TestWhatIsWrongAtTheStart disarms nothing: the program runs, reports, and its
// health is red.
func TestWhatIsWrongAtTheStart(t *testing.T) {
	for name, tc := range map[string]struct {
		feature string
		fault   vwotest.Fault
	}{
		"401": {"new_checkout", vwotest.Fault{Status: 401}}, "403": {"new_checkout", vwotest.Fault{Status: 403}}, "404": {"new_checkout", vwotest.Fault{Status: 404}},
		"302": {"new_checkout", vwotest.Fault{Status: 302}}, "502": {"new_checkout", vwotest.Fault{Status: 502}}, "an archived feature": {"misspelt", vwotest.Fault{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			switchboard, flagLog := standIns(t, "new_checkout", "good")
			switchboard.SetFault(tc.fault)
			file, env := program(t, switchboard, flagLog, nil, tc.feature, "good")
			address, log, _ := started(t, file, env)
			client := newHTTPClient(t)
			eventually(t, 20*time.Second, "it says so", func() bool { return strings.Contains(log.String(), "the check failed") })
			if status, text := fetched(t, client, address+"/healthz"); status != 503 || !strings.HasPrefix(text, "page: toggler vwo: ") {
				t.Errorf("%d %s", status, text)
			}
			if status, _ := fetched(t, client, address+"/livez"); status != 200 {
				t.Errorf("/livez %d", status)
			}
			switchboard.SetFault(vwotest.Fault{})
			if status, err := post(t.Context(), client, address+"/sentry", demoEvent("good", "shop", "", "", 1, time.Now()), nil); err != nil || status/100 != 2 {
				t.Errorf("%d, %v", status, err)
			}
			eventually(t, 10*time.Second, "the good rule acts", func() bool { return !switchboard.Enabled("production", "good") })
		})
	}
}

// TestStoreThatIsAwayAtTheStart starts before the database can be opened. Flags are
// switched off, the health is red, and once the database is there it gets all that
// it missed.
func TestStoreThatIsAwayAtTheStart(t *testing.T) {
	switchboard, flagLog := standIns(t, "new_checkout")
	folder := filepath.Join(t.TempDir(), "not mounted yet")
	file, env := program(t, switchboard, flagLog, map[string]any{"store": filepath.Join(folder, "killswitch.db")}, "new_checkout")
	address, log, stop := started(t, file, env)
	client := newHTTPClient(t)
	if status, err := post(t.Context(), client, address+"/sentry", demoEvent("new_checkout", "shop", "", "", 1, time.Now()), nil); err != nil || status/100 != 2 {
		t.Errorf("%d, %v", status, err)
	}
	if switchboard.Enabled(demoEnvironment, "new_checkout") {
		t.Error("the flag is still on")
	}
	if status, text := fetched(t, client, address+"/healthz"); status != 503 || !strings.Contains(text, "page: the store cannot be asked") {
		t.Errorf("%d %s", status, text)
	}
	if text := log.String(); !strings.Contains(text, "the store cannot be opened") || !strings.Contains(text, "does not exist") {
		t.Errorf("the log does not say why: %s", text)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the health is green", func() bool {
		status, _ := fetched(t, client, address+"/healthz")
		return status == 200 && len(flagLog.Changes()) == 1
	})
	var out strings.Builder
	if err := run(t.Context(), []string{"-config", file, "list"}, env, &out, io.Discard); err != nil || !strings.Contains(out.String(), "1 switched off") {
		t.Errorf("%v: %s", err, out.String())
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestOneServiceChecks starts two services on one database and one token: one
// asks, and no switch meets a 429.
func TestOneServiceChecks(t *testing.T) {
	switchboard := vwotest.NewServer(vwotest.Config{Features: flagNames(5), Interval: time.Second})
	t.Cleanup(switchboard.Close)
	flagLog := webhooktest.NewServer(webhooktest.Config{})
	t.Cleanup(flagLog.Close)
	file, env := program(t, switchboard, flagLog, nil, flagNames(5)...)
	address, _, _ := started(t, file, env)
	_, log, _ := started(t, file, env)
	time.Sleep(1500 * time.Millisecond) // in the middle of the check
	client := newHTTPClient(t)
	start := time.Now()
	if status, err := post(t.Context(), client, address+"/sentry", demoEvent("flag_3", "shop", "", "", 1, time.Now()), nil); err != nil || status/100 != 2 {
		t.Errorf("%d, %v", status, err)
	}
	eventually(t, 5*time.Second, "the kill gets through", func() bool { return !switchboard.Enabled("production", "flag_3") })
	t.Logf("one relay checks: a kill in the middle of it took %v", time.Since(start).Round(time.Millisecond))
	if text := log.String(); strings.Contains(text, "status 429") || strings.Contains(text, "too many requests") {
		t.Errorf("%s", log.String())
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	switchboard, flagLog := standIns(t, "new_checkout")
	for _, tc := range []struct {
		feature string
		more    map[string]any
		spoil   func()
		want    []string
		fails   bool
	}{
		{"new_checkout", nil, func() {}, []string{"rule 1: switches new_checkout environment=production off", "store:         ok", "toggler vwo:   ok\n", "flag log:      ok\n"}, false},
		{"new_checkout", map[string]any{"dry_run": true}, func() {}, []string{"dry_run is on"}, false},
		{"misspelt", nil, func() {}, []string{"toggler vwo:   FAILED: vwo: no such", `there are "new_checkout"`}, true},
		{"new_checkout", map[string]any{"rules": []map[string]any{{
			"alert": "a", "project": "shop", "when": []string{"metric_alert.critical"}, "evaluated": "on", "level": "error",
			"switch_off": map[string]string{"flag": "new_checkout", "environment": "production"},
		}}}, func() {}, []string{"WARNING: it never matches: metric alerts have no Evaluated, no Level", `flags["new_checkout"]:true`}, true},
		{"new_checkout", map[string]any{"rules": []map[string]any{{
			"alert": "a", "project": "Shop", "switch_off": map[string]string{"flag": "new_checkout", "environment": "production"},
		}}}, func() {}, []string{`WARNING: it never matches: the Project "Shop" is no slug`}, true},
		{"new_checkout", map[string]any{"rules": []map[string]any{
			{"alert": "a", "project": "shop", "switch_off": map[string]string{"flag": "new_checkout", "environment": "production"}},
			{
				"alert": "a", "project": "shop", "when": []string{"event_alert.triggered"},
				"switch_on": map[string]string{"flag": "new_checkout", "environment": "production"},
			},
		}}, func() {}, []string{"WARNING: rule 1 switches the same flag off for the same alert, and off wins"}, false},
		{"new_checkout", map[string]any{"listen": "nonsense"}, func() {}, []string{"listen:        FAILED"}, true},
		{"new_checkout", map[string]any{"sentry": map[string]string{"installation": "mine"}}, func() {}, []string{`"mine" is no uuid`}, true},
		{"new_checkout", map[string]any{"cap_per_hour": 0, "cool_down": "-1ns", "max_age": "0s"}, func() {}, []string{"settings:      max_age 15m0s, cool_down none, cap_per_hour 20\n"}, false},
		{
			"new_checkout", map[string]any{"togglers": map[string]any{
				"vwo": map[string]any{"vwo": map[string]string{"base_url": switchboard.URL}}, "files": map[string]any{"flagd-file": map[string]string{"path": "/nowhere/flags.json"}},
			}, "rules": []map[string]any{{
				"alert": "a", "project": "shop", "toggler": "vwo", "switch_off": map[string]string{"flag": "new_checkout", "environment": "production"},
			}}}, func() {}, []string{"toggler files: no rule uses it\n", "toggler vwo:   ok\n"}, false,
		},
		{"new_checkout", map[string]any{"rules": []map[string]any{{
			"alert": "a", "project": "shop", "switch_off": map[string]string{"flag": "new_checkout", "environment": "Production"},
		}}}, func() {}, []string{"FAILED", `"1" ("production" of project`}, true},
		{"new_checkout", map[string]any{"store": "/nowhere/killswitch.db"}, func() {}, nil, true},
		{"new_checkout", map[string]any{"store": os.DevNull}, func() {}, nil, true},
		{"new_checkout", map[string]any{"store": linkToNowhere(t)}, func() {}, nil, true},
		{"new_checkout", map[string]any{"sentry": map[string]string{"header": "X-Key"}}, func() {}, nil, true},
		{"new_checkout", nil, func() { flagLog.FailAlways(webhooktest.Status(401)) }, []string{"flag log:      FAILED"}, true},
		{"new_checkout", nil, func() { switchboard.SetFault(vwotest.Fault{Status: 403}) }, []string{"toggler vwo:   FAILED: vwo: read the environments"}, true},
	} {
		tc.spoil()
		file, env := program(t, switchboard, flagLog, tc.more, tc.feature)
		var out strings.Builder
		err := run(t.Context(), []string{"-config", file, "-check"}, env, &out, io.Discard)
		if (err != nil) != tc.fails {
			t.Errorf("%s: %v\n%s", tc.want, err, out.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in:\n%s", want, out.String())
			}
		}
	}
}

// TestTools has a person look after what a service did, from another process.
func TestTools(t *testing.T) {
	t.Parallel()
	switchboard, flagLog := standIns(t, "on_before", "gone")
	file, env := program(t, switchboard, flagLog, nil, "on_before", "gone")
	tool := func(args ...string) (string, error) {
		var out strings.Builder
		err := run(t.Context(), append([]string{"-config", file}, args...), env, &out, io.Discard)
		return out.String(), err
	}
	for _, args := range [][]string{{"list"}, {"queue", "list"}, {"-check"}} {
		text, err := tool(args...)
		if (err != nil) != (args[0] != "-check") {
			t.Errorf("%q before there is a store: %v\n%s", args, err, text)
		}
		var c config
		if raw, err := os.ReadFile(file); err != nil || json.Unmarshal(raw, &c) != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(filepath.Dir(c.Store)); err != nil || len(left) > 0 {
			t.Errorf("%q has made %v, %v", args, left, err)
		}
	}
	address, _, stop := started(t, file, env)
	client := newHTTPClient(t)
	switchboard.SetFaults(func(r *http.Request) vwotest.Fault {
		if strings.Contains(r.URL.Path, "/features/gone/") {
			return vwotest.Fault{Status: 404}
		}
		return vwotest.Fault{}
	})
	for i, flag := range []string{"on_before", "gone"} {
		if status, err := post(t.Context(), client, address+"/sentry", demoEvent(flag, "shop", "", "", i, time.Now()), nil); err != nil || status/100 != 2 {
			t.Errorf("%d, %v", status, err)
		}
	}
	var text string
	eventually(t, 10*time.Second, "list shows it", func() bool {
		text, _ = tool("list")
		return strings.Contains(text, "failed") && strings.Contains(text, "1 switched off")
	})
	for _, want := range []string{`on_before environment=production since `, `by "on_before" (event_alert.triggered), was unknown`, "gone environment=production on=false", "switch it by hand"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if _, err := tool("restore", "-by", "Ada", "on_before"); !errors.Is(err, killswitch.ErrFormerState) {
		t.Errorf("%v", err)
	}
	if text, err := tool("restore", "-by", "Ada", "-force", "on_before"); err != nil || !strings.Contains(text, "is on again") || !switchboard.Enabled("production", "on_before") {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := tool("restore", "-by", "Ada", "on_before"); !errors.Is(err, killswitch.ErrNotSwitchedOff) {
		t.Errorf("%v", err)
	}
	id := regexp.MustCompile(`failed ([0-9a-f]+-[0-9a-f]+):`).FindStringSubmatch(text)
	switchboard.SetFaults(nil)
	if text, err := tool("retry", id[1]); err != nil || !strings.Contains(text, "is tried again") {
		t.Errorf("%s, %v", text, err)
	}
	eventually(t, 10*time.Second, "the retry gets through", func() bool { return !switchboard.Enabled("production", "gone") })
	for _, id := range []string{"0123456789", ""} {
		if _, err := tool("discard", id); err == nil {
			t.Errorf("%q: nothing was discarded, and nothing said", id)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	var by []string
	for _, change := range flagLog.Changes() {
		by = append(by, change.Flag+" by "+change.CreatedBy.ID)
	}
	if got := strings.Join(by, ", "); got != "on_before by on_before, on_before by Ada, gone by gone" {
		t.Errorf("%s", got)
	}
}

// TestToolsTakeNothingForWhatWasMeant has two togglers with a flag of one name, and
// an alert that asks for two flags, so that their ids begin alike.
func TestToolsTakeNothingForWhatWasMeant(t *testing.T) {
	flags := `{"flags":{"a":{"state":"ENABLED"},"b":{"state":"ENABLED"}}}`
	one, two := fileOf(t, "one.json", flags), fileOf(t, "two.json", flags)
	rule := func(toggler, flag string) map[string]any {
		return map[string]any{"alert": "x", "project": "shop", "toggler": toggler, "switch_off": map[string]string{"flag": flag}}
	}
	settings, err := json.Marshal(map[string]any{
		"listen": "127.0.0.1:0", "store": filepath.Join(t.TempDir(), "killswitch.db"),
		"togglers": map[string]any{"one": map[string]any{"flagd-file": map[string]string{"path": one}}, "two": map[string]any{"flagd-file": map[string]string{"path": two}}},
		"rules":    []any{rule("one", "a"), rule("two", "a"), rule("one", "gone"), rule("one", "gone too")},
	})
	if err != nil {
		t.Fatal(err)
	}
	file, env := fileOf(t, "killswitch.json", string(settings)), envOf("SENTRY_CLIENT_SECRET="+demoSecret)
	tool := func(args ...string) (string, error) {
		var out strings.Builder
		err := run(t.Context(), append([]string{"-config", file}, args...), env, &out, io.Discard)
		return out.String(), err
	}
	address, _, stop := started(t, file, env)
	client := newHTTPClient(t)
	if status, err := post(t.Context(), client, address+"/sentry", demoEvent("x", "shop", "", "", 1, time.Now()), nil); err != nil || status/100 != 2 {
		t.Errorf("%d, %v", status, err)
	}
	var text string
	eventually(t, 10*time.Second, "list shows both", func() bool {
		text, _ = tool("list")
		return strings.Count(text, "  failed ") == 2 && strings.Count(text, "  a since") == 2
	})
	ids := regexp.MustCompile(`failed ([0-9a-f]+)-([0-9a-f]+):`).FindAllStringSubmatch(text, -1)
	eventually(t, 10*time.Second, "what was made is settled, and what both that failed begin with is refused", func() bool {
		_, err := tool("discard", ids[0][1])
		return err != nil && strings.Contains(err.Error(), "2 switches begin with")
	})
	if text, err := tool("discard", ids[0][1]+"-"+ids[0][2]); err != nil || strings.Count(text, "is given up") != 1 {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := tool("restore", "-by", "Ada", "a"); err == nil || !strings.Contains(err.Error(), "one and two have a flag") {
		t.Errorf("of two flags of one name: %v", err)
	}
	if text, err := tool("forget", "a", "-toggler", "one"); err != nil || !strings.HasPrefix(text, "a is forgotten") {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := tool("list"); err != nil || !strings.Contains(text, "one: 0 switched off") || !strings.Contains(text, "two: 1 switched off") ||
		!strings.Contains(text, "  a: cool-down of an alert (event_alert.triggered) until ") {
		t.Errorf("%s, %v", text, err)
	}
	payload := fileOf(t, "payload.json", "\ufeff"+string(demoEvent("x", "shop", "", "", 2, time.Now())))
	if text, err := tool("explain", payload); err != nil || strings.Count(text, "now it would not: the same alert has switched a, and does so again from ") != 1 {
		t.Errorf("%s, %v", text, err)
	}
	for _, args := range [][]string{{"forget"}, {"forget", "a", "b"}, {"forget", "a", "-toggler"}, {"forget", "b"}, {"forget", "a", "-toggler", "three"}} {
		if text, err := tool(args...); err == nil {
			t.Errorf("%q: %s", args, text)
		}
	}
	if text, err := tool("restore", "a", "-by", "Ada", "-toggler", "two"); err != nil || text != "a is on again; no flag log is configured, which would show it\n" {
		t.Errorf("%s, %v", text, err)
	}
	for file, want := range map[string]string{one: "DISABLED", two: "ENABLED"} {
		if raw, err := os.ReadFile(file); err != nil || !strings.Contains(string(raw), `"a":{"state":"`+want) {
			t.Errorf("%s, %v", raw, err)
		}
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestExplainTool(t *testing.T) {
	payload := fileOf(t, "payload.json", string(demoMetric("checkout error rate", "critical", 1, time.Now())))
	var out strings.Builder
	if err := run(t.Context(), []string{"explain", payload}, envOf(), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ignored: no rule matches", `rule 1 comes closest; Alert: want "Checkout error rate", got "checkout error rate"`, `yes  Project: "shop"`, `no   Alert: want`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// TestHelp asks for help as one does before there is a configuration.
func TestHelp(t *testing.T) {
	for name := range usage {
		var log strings.Builder
		if err := run(t.Context(), []string{name, "-h"}, envOf(), io.Discard, &log); err != nil && !errors.Is(err, flag.ErrHelp) || !strings.Contains(log.String(), name) {
			t.Errorf("%s -h: %v\n%s", name, err, log.String())
		}
	}
	for _, args := range [][]string{{"-h"}, {"queue", "-h"}} {
		var log strings.Builder
		if err := run(t.Context(), args, envOf(), io.Discard, &log); err != nil && !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: %v", args, err)
		}
		for _, want := range []string{"usage:", "killswitch ", "queue status"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%q: no %q in:\n%s", args, want, log.String())
			}
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"help"}} {
		var said strings.Builder
		if err := run(t.Context(), args, secretsEnv(), io.Discard, &said); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%v: %v", args, err)
		}
		for name := range usage {
			if !strings.Contains(said.String(), "killswitch "+usage[name]) {
				t.Errorf("%v does not tell of %s:\n%s", args, name, said.String())
			}
		}
	}
	for _, args := range [][]string{{"-nonsense"}, {"-config", "missing.json"}, {"surplus"}, {"explain"}, {"queue", "list"}} {
		if err := run(t.Context(), args, secretsEnv(), io.Discard, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := run(t.Context(), []string{"-demo"}, os.Getenv, &out, io.Discard)
	all := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := all[len(all)-1]; err != nil || last != "killswitch: 46 alerts, 34 acted, 6 ignored, 6 refused" {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestReportsCarryTheTag keeps a report from triggering what it is about.
func TestReportsCarryTheTag(t *testing.T) {
	transport := &keeper{}
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: "https://key@sentry.example.com/1", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	reports := &reporter{sentry.NewHub(client, sentry.NewScope())}
	reports.send(killswitch.Report{Err: killswitch.ErrNotSwitched, Alert: "a", Target: *demoTarget("f"), At: time.Now()})
	reports.close()
	if len(transport.events) != 1 || transport.events[0].Tags[killswitch.ReportTag] == "" || transport.events[0].Tags["flag"] != "f environment=production" {
		t.Errorf("%+v", transport.events)
	}
}

type keeper struct {
	mu     sync.Mutex
	events []*sentry.Event
}

func (k *keeper) Configure(sentry.ClientOptions)        {}
func (k *keeper) Flush(time.Duration) bool              { return true }
func (k *keeper) FlushWithContext(context.Context) bool { return true }
func (k *keeper) Close()                                {}
func (k *keeper) SendEvent(e *sentry.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, e)
}
