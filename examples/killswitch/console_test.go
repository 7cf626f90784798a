package main

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

var consoleListens = regexp.MustCompile(`the console listens","console":"([^"]+)"`)

// TestConsoleShowsWhatIsNotSwitched lets a switch fail for good and has it retried
// on the page once the cause is gone.
func TestConsoleShowsWhatIsNotSwitched(t *testing.T) {
	_, flagLog := standIns(t)
	flags := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(flags, []byte(`{"flags":{}}`), 0o600); err != nil { // it does not have the flag
		t.Fatal(err)
	}
	file := fileOf(t, "killswitch.json", fmt.Sprintf(`{
		"listen": "127.0.0.1:0", "console": "127.0.0.1:0", "store": %q,
		"togglers": {"files": {"flagd-file": {"path": %q}}},
		"rules": [{"alert": "broken", "project": "shop", "switch_off": {"flag": "new-checkout"}}]
	}`, filepath.Join(t.TempDir(), "killswitch.db"), flags))
	env := envOf("SENTRY_CLIENT_SECRET="+demoSecret, "SENTRY_FLAGS_WEBHOOK_URL="+flagLog.URL(),
		"SENTRY_FLAGS_WEBHOOK_SECRET="+webhooktest.DefaultSecret, "KILLSWITCH_CONSOLE_PASSWORD=correct-horse-battery")
	address, log, stop := started(t, file, env)
	client := newHTTPClient(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := func(path string, form url.Values) (int, string) {
		t.Helper()
		found := consoleListens.FindStringSubmatch(log.String())
		method := http.MethodGet
		if form != nil {
			method = http.MethodPost
		}
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+found[1]+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth("grace", "correct-horse-battery")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	if _, err := post(t.Context(), client, address+"/sentry", demoEvent("broken", "shop", "", "", 1, time.Now()), nil); err != nil {
		t.Fatal(err)
	}
	var text string
	eventually(t, 10*time.Second, "the page says that it has failed", func() bool {
		_, text = page("/", nil)
		return strings.Contains(text, "Not switched") && strings.Contains(text, "Has failed") && strings.Contains(text, "switch it by hand")
	})
	found := regexp.MustCompile(`href="(switch\?do=retry[^"]+)"`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no button in\n%s", text)
	}
	if err := os.WriteFile(flags, []byte(`{"flags":{"new-checkout":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	query, err := url.ParseQuery(strings.TrimPrefix(html.UnescapeString(found[1]), "switch?"))
	if err != nil {
		t.Fatal(err)
	}
	query.Set("confirm", "yes")
	if status, text := page("/switch", query); status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, text)
	}
	eventually(t, 10*time.Second, "it is switched off", func() bool {
		content, err := os.ReadFile(flags)
		return err == nil && strings.Contains(string(content), "DISABLED")
	})
	eventually(t, 10*time.Second, "the page shows it where it belongs", func() bool {
		_, text = page("/", nil)
		return !strings.Contains(text, "Not switched") && strings.Contains(text, "flag?target=")
	})
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestConsole switches a flag off by an alert and restores it on the page.
func TestConsole(t *testing.T) {
	t.Parallel()
	switchboard, flagLog := standIns(t, "new_checkout")
	file, plain := program(t, switchboard, flagLog, map[string]any{"console": "127.0.0.1:0"}, "new_checkout")
	env := func(name string) string {
		if name == "KILLSWITCH_CONSOLE_PASSWORD" {
			return "correct-horse-battery"
		}
		return plain(name)
	}
	address, log, stop := started(t, file, env)
	client := newHTTPClient(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var page string
	eventually(t, 10*time.Second, "the console listens", func() bool {
		found := consoleListens.FindStringSubmatch(log.String())
		if found != nil {
			page = "http://" + found[1]
		}
		return found != nil
	})
	ask := func(method, path string, form url.Values, password string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, page+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth("grace", password)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	if status, _ := ask(http.MethodGet, "/", nil, "another-password"); status != http.StatusUnauthorized {
		t.Errorf("another password: %d", status)
	}
	if status, err := post(t.Context(), client, address+"/sentry", demoEvent("new_checkout", "shop", "", "", 1, time.Now()), nil); err != nil || status/100 != 2 {
		t.Fatalf("%d, %v", status, err)
	}
	var text string
	eventually(t, 10*time.Second, "the page shows it", func() bool {
		_, text = ask(http.MethodGet, "/", nil, "correct-horse-battery")
		return strings.Contains(text, "flag?target=") && strings.Contains(text, "a rule matches") && strings.Contains(text, "flag-changes:")
	})
	found := regexp.MustCompile(`href="(flag\?target=[^"]+)"`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no button in\n%s", text)
	}
	query, err := url.ParseQuery(strings.TrimPrefix(found[1], "flag?"))
	if err != nil {
		t.Fatal(err)
	}
	query.Set("confirm", "yes")
	query.Set("force", "true") // VWO does not say how the flag was
	if status, text := ask(http.MethodPost, "/flag", query, "correct-horse-battery"); status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, text)
	}
	if !switchboard.Enabled("production", "new_checkout") {
		t.Error("it is still off")
	}
	if _, text := fetched(t, client, address+"/metrics"); !strings.Contains(text, "killswitch_alerts_total") || !strings.Contains(text, "sentryflags_changes_delivered_total") {
		t.Errorf("metrics:\n%s", text)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
	changes := flagLog.Changes()
	if len(changes) != 2 || changes[1].CreatedBy.ID != "grace" {
		t.Errorf("the flag log has %+v", changes)
	}

	var out strings.Builder
	if err := run(t.Context(), []string{"-config", file, "queue", "list", "-state", "delivered", "-json"}, env, &out, io.Discard); err != nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
	var status exitStatus
	if err := run(t.Context(), []string{"-config", file, "queue", "replay", "none"}, env, io.Discard, io.Discard); !errors.As(err, &status) || status != 1 {
		t.Errorf("replay of nothing: %v", err)
	}
}

func TestConsoleConfiguration(t *testing.T) {
	switchboard, flagLog := standIns(t, "new_checkout")
	for what, more := range map[string]map[string]any{
		"a host with a scheme": {"console": "127.0.0.1:0", "console_hosts": []string{"https://flags.example.com"}},
		"no such address":      {"console": "192.0.2.1:1"},
	} {
		file, plain := program(t, switchboard, flagLog, more, "new_checkout")
		env := func(name string) string {
			if name == "KILLSWITCH_CONSOLE_PASSWORD" {
				return "correct-horse-battery"
			}
			return plain(name)
		}
		if err := run(t.Context(), []string{"-config", file}, env, io.Discard, io.Discard); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	file, plain := program(t, switchboard, flagLog, map[string]any{"console": "127.0.0.1:0"}, "new_checkout")
	env := func(name string) string {
		if name == "KILLSWITCH_CONSOLE_PASSWORD" {
			return "short"
		}
		return plain(name)
	}
	if err := run(t.Context(), []string{"-config", file}, env, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "at least 12") {
		t.Errorf("a short password: %v", err)
	}
}
