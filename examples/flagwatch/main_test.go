package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/internal/storefile"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestMain(m *testing.M) {
	if os.Getenv("FLAGWATCH_TEST_CHILD") != "" {
		main() // as a process of its own, to be killed
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func none(string) string { return "" }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed, so that a part is left out")
	}
	var out, trouble bytes.Buffer
	if code := run(t.Context(), []string{"-demo"}, none, &out, &trouble); code != 0 {
		t.Fatalf("%d: %s\n%s", code, &trouble, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; last != "flagwatch: 17 edits, 10 changes accepted, 4 without effect, 4 refused" {
		t.Error(last)
	}
}

func TestDiff(t *testing.T) {
	folder := t.TempDir()
	old, updated := filepath.Join(folder, "old.json"), filepath.Join(folder, "new.json")
	write(t, old, demoFlagd)
	write(t, updated, strings.NewReplacer(`"gift-wrapping": {"state": "ENABLED"`, `"gift-wrapping": {"state": "DISABLED"`, "@example.com", "@example.org").Replace(demoFlagd))
	diff := func(args ...string) (int, string, string) {
		var out, trouble bytes.Buffer
		code := run(t.Context(), append([]string{"diff"}, args...), none, &out, &trouble)
		return code, out.String(), trouble.String()
	}
	code, table, _ := diff(old, updated)
	want := []string{"ACTION FLAG WHAT OLD NEW", "updated gift-wrapping (on or off) on off", "updated new-checkout what it refers to"}
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if got := strings.Join(strings.Fields(line), " "); code != 1 || i >= len(want) || got != want[i] {
			t.Errorf("%d: %s", code, line)
		}
	}
	if code, table, _ := diff(old, old); code != 0 || table != "no change\n" {
		t.Errorf("%d: %s", code, table)
	}
	code, listed, _ := diff("-json", updated, old)
	var edits []editJSON
	if err := json.Unmarshal([]byte(listed), &edits); code != 1 || err != nil || len(edits) != 2 || edits[0].Fields[0].New != "on" {
		t.Errorf("%d: %s, %v", code, listed, err)
	}
	if code, listed, _ := diff("-json", old, old); code != 0 || strings.TrimSpace(listed) != "[]" {
		t.Errorf("%d: %s", code, listed)
	}
	for _, args := range [][]string{{old}, {old, updated, old}, {"-format", "none", old, updated}, {old, filepath.Join(folder, "missing.json")}, {"-format", "unleash", old, updated}, {"-x"}} {
		if code, _, trouble := diff(args...); code != 2 || trouble == "" {
			t.Errorf("%q: %d, %s", args, code, trouble)
		}
	}
	if _, _, trouble := diff(old, filepath.Join(folder, "missing.json")); !strings.Contains(trouble, filepath.Join(folder, "missing.json")) {
		t.Errorf("it does not say which: %s", trouble)
	}
	if _, _, trouble := diff(old); !strings.Contains(trouble, "give two documents") {
		t.Errorf("it does not say what is wrong: %s", trouble)
	}
	// Two folders.
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, name, "flags.yaml"), demoGOFF)
	}
	write(t, filepath.Join(folder, "b", "more.yaml"), "extra: {variations: {a: 1}, defaultRule: {variation: a}}\n")
	if code, table, _ := diff("-format", "go-feature-flag", filepath.Join(folder, "a"), filepath.Join(folder, "b")); code != 1 || !strings.Contains(table, "created  extra") {
		t.Errorf("%d: %s", code, table)
	}
}

// environment is what the program is given.
func environment(sentry *webhooktest.Server, more ...string) func(string) string {
	all := map[string]string{"SENTRY_FLAGS_WEBHOOK_URL": sentry.URL()}
	for i := 0; i+1 < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return func(name string) string { return all[name] }
}

const sentrySecret = "a-secret-of-sentry-0123456789abcdef"

func standIn(t *testing.T) *webhooktest.Server {
	t.Helper()
	sentry := webhooktest.NewServer(webhooktest.Config{})
	sentry.SetSecret(signing.NewSecret(sentrySecret))
	t.Cleanup(sentry.Close)
	return sentry
}

func TestCheck(t *testing.T) {
	sentry, folder := standIn(t), t.TempDir()
	file, flags := filepath.Join(folder, "flagwatch.json"), filepath.Join(folder, "flags.json")
	write(t, flags, demoFlagd)
	database := filepath.Join(folder, "x.db")
	write(t, file, `{"store":`+quote(database)+`,"allow_http":true,"sources":[{"format":"flagd","file":`+quote(flags)+`}]}`)
	secret := filepath.Join(folder, "secret")
	write(t, secret, sentrySecret+"\n")
	var out, trouble bytes.Buffer
	env := environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET_FILE", secret)
	if code := run(t.Context(), []string{"-check", "-config", file}, env, &out, &trouble); code != 0 || strings.Count(out.String(), "ok ") != 3 {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
	// Made by whoever checks, it would not be the service's.
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || storefile.Exists(database) == nil || len(left) != 3 {
		t.Errorf("it leaves %q, %v", left, err)
	}
	out.Reset()
	write(t, flags, "{")
	env = environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", "another-one")
	if code := run(t.Context(), []string{"-check", "-config", file}, env, &out, &trouble); code != 1 || strings.Count(out.String(), "FAILED ") != 2 || strings.Contains(out.String(), "another-one") {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
	if !strings.Contains(out.String(), flags) {
		t.Errorf("it does not say which file: %s", &out)
	}
	out.Reset()
	write(t, file, `{"store":`+quote(filepath.Join(folder, "none", "x.db"))+`,"allow_http":true,"sources":[{"format":"flagd","file":`+quote(flags)+`}]}`)
	if code := run(t.Context(), []string{"-check", "-config", file}, env, &out, &trouble); code != 1 || !strings.Contains(out.String(), "FAILED  the store opens") {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
}

func quote(s string) string {
	quoted, _ := json.Marshal(s)
	return string(quoted)
}

func TestConfigIsChecked(t *testing.T) {
	sentry, folder := standIn(t), t.TempDir()
	file := filepath.Join(folder, "flagwatch.json")
	secret := []string{"SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret}
	source := `{"format":"flagd","file":"x.json"}`
	for reason, c := range map[string]struct {
		config string
		env    []string
	}{
		"same address":        {`{"store":"x.db","listen":":1","receive_listen":":1","receive":[{"product":"flipt","secret_from":"SECRET"}]}`, secret},
		"no sources":          {`{"store":"x.db"}`, secret},
		"unknown field":       {`{"store":"x.db","secret":"x"}`, secret},
		"after top-level":     {`{} {}`, secret},
		"SENTRY_FLAGS":        {`{"store":"x.db","sources":[` + source + `]}`, nil},
		"either store":        {`{"sources":[` + source + `]}`, secret},
		"exclude each":        {`{"store":"x.db","sources":[` + source + `]}`, append(secret, "SENTRY_FLAGS_WEBHOOK_SECRET_FILE", "x")},
		"none of":             {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"x","file":"x"}]}`, secret},
		"one of file":         {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"flagd","file":"x","url":"y"}]}`, secret},
		"TOKEN_FILE must be":  {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"unleash","url":"http://x/y","headers_from":{"Authorization":"TOKEN"}}]}`, secret},
		"URL_FILE must be":    {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"unleash","url_from":"URL"}]}`, secret},
		"belongs to a folder": {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"flagd","file":"x","pattern":"*.json"}]}`, secret},
		"belongs to a url":    {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"flagd","file":"x","headers_from":{"Authorization":"TOKEN"}}]}`, secret},
		"Pattern":             {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[{"format":"flagd","folder":"x","pattern":"[*"}]}`, secret},
		"none/x.db":           {`{"store":` + quote(filepath.Join(folder, "none", "x.db")) + `,"allow_http":true,"sources":[` + source + `]}`, secret},
		"are called":          {`{"store":` + quote(filepath.Join(folder, "x.db")) + `,"allow_http":true,"sources":[` + source + `,` + source + `]}`, secret},
	} {
		write(t, file, c.config)
		var out, trouble bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if code := run(ctx, []string{"-config", file}, environment(sentry, c.env...), &out, &trouble); code != 1 || !strings.Contains(trouble.String(), reason) {
			t.Errorf("%s: %d, %s", reason, code, &trouble)
		}
		cancel()
	}
}

// TestServe runs the service, edits a file that it watches, looks at its pages
// and stops it.
func TestServe(t *testing.T) {
	sentry, folder := standIn(t), t.TempDir()
	flags := filepath.Join(folder, "flags.json")
	write(t, flags, demoFlagd)
	c := config{
		Listen: "127.0.0.1:0", Store: filepath.Join(folder, "x.db"), Interval: setup.Duration(50 * time.Millisecond), AllowHTTP: true,
		Sources: []fileSource{{Format: "flagd", File: flags}}, env: none, database: func() string { return "" },
		flagsURL: sentry.URL(), flagsSecrets: []signing.Secret{signing.NewSecret(sentrySecret)},
	}
	reader, log := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := serve(ctx, c, slog.New(slog.NewTextHandler(log, nil)))
		_ = log.Close()
		ended <- err
	}()
	address := make(chan string, 1)
	go func() {
		var all []byte
		buffer := make([]byte, 4096)
		for {
			n, err := reader.Read(buffer)
			all = append(all, buffer[:n]...)
			if found := regexp.MustCompile(`listen=(\S+)`).FindSubmatch(all); found != nil && len(address) == 0 {
				address <- string(found[1])
				all = nil
			}
			if err != nil {
				return
			}
		}
	}()
	base := "http://" + <-address
	until := func(path, want string) int {
		t.Helper()
		for range 4800 {
			if status, body := get(t, base+path); strings.Contains(body, want) {
				return status
			}
			time.Sleep(25 * time.Millisecond) // real files, a real server
		}
		t.Fatalf("%s never says %q", path, want)
		return 0
	}
	if status := until("/healthz", "ok      flagd:flags.json: 2 flags"); status != 200 {
		t.Error(status)
	}
	until("/metrics", `flagwatch_flags{source="flagd:flags.json"} 2`)
	time.Sleep(200 * time.Millisecond)
	write(t, flags, strings.Replace(demoFlagd, "ENABLED", "DISABLED", 1))
	wait, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if all, err := sentry.WaitChanges(wait, 1); err != nil || all[0].Flag != "new-checkout" {
		t.Errorf("%v, %v", all, err)
	}
	write(t, flags, "{")
	if status := until("/healthz", "FAILED  flagd:flags.json"); status != 503 {
		t.Error(status)
	}
	until("/metrics", `flagwatch_failing{source="flagd:flags.json"} 1`)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRestart edits around a restart: with a file for a store there is nobody to
// wait for. What flagtrack shows under another name is reported under that, and
// what the address of Sentry was before does not matter.
func TestRestart(t *testing.T) {
	sentry, folder := standIn(t), t.TempDir()
	flags := filepath.Join(folder, "flags.json")
	document := func(variant string) {
		write(t, flags, `{"flags":{"my flag":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"`+variant+`"}}}`)
	}
	c := config{
		Store: filepath.Join(folder, "x.db"), Interval: setup.Duration(50 * time.Millisecond), Gather: setup.Duration(10 * time.Millisecond), AllowHTTP: true, ShownNames: true,
		Sources: []fileSource{{Format: "flagd", File: flags}}, env: none, database: func() string { return "" },
		flagsURL: sentry.URL(), flagsSecrets: []signing.Secret{signing.NewSecret(sentrySecret)},
	}
	wait, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	start := func() *service {
		s, err := newService(c, slog.New(slog.DiscardHandler)) //nolint:contextcheck // it is closed
		if err != nil {
			t.Fatal(err)
		}
		for s.watchers[0].Stats().Version == 0 {
			time.Sleep(10 * time.Millisecond) // real files
		}
		return s
	}
	end := func(s *service) {
		if err := s.close(wait); err != nil {
			t.Error(err)
		}
	}
	document("on")
	s := start()
	document("off")
	if all, err := sentry.WaitChanges(wait, 1); err != nil || all[0].Flag != webhook.ShownName("my flag") {
		t.Errorf("%v, %v", all, err)
	}
	end(s)
	s = start()
	document("on")
	if _, err := sentry.WaitChanges(wait, 2); err != nil {
		t.Error(err)
	}
	end(s)
	document("off")
	c.FormerQueues = []string{s.emitter.Queue()}
	c.flagsURL = strings.Replace(c.flagsURL, "127.0.0.1", "localhost", 1)
	s = start()
	if _, err := sentry.WaitChanges(wait, 3); err != nil {
		t.Error(err)
	}
	end(s)
}
