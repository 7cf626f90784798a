package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

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

// TestConsole looks at what is watched, with the password of the environment.
func TestConsole(t *testing.T) {
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()
	dir := t.TempDir()
	flags := filepath.Join(dir, "flags.json")
	write(t, flags, demoFlagd)
	c := config{
		Listen: "127.0.0.1:0", Console: "127.0.0.1:0", Store: filepath.Join(dir, "store.db"), Lag: -1,
		Sources: []fileSource{{Format: "flagd", File: flags}}, database: func() string { return "" },
		Receive: []door{{Product: "growthbook", SecretFrom: "SECRET"}}, ReceiveListen: "127.0.0.1:0",
		flagsURL: sentry.URL(), flagsSecrets: []signing.Secret{sentry.Secret()},
		env: func(name string) string {
			return map[string]string{"FLAGWATCH_CONSOLE_PASSWORD": "correct-horse-battery", "SECRET": productSecret}[name]
		},
	}
	var log lockedBuffer
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, c, slog.New(slog.NewTextHandler(&log, nil))) }()
	page := func() string {
		found := regexp.MustCompile(`console=(\S+)`).FindStringSubmatch(log.String())
		if found == nil {
			return ""
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+found[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("ada", "correct-horse-battery")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return ""
		}
		defer response.Body.Close()
		defer http.DefaultClient.CloseIdleConnections()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	for began := time.Now(); ; time.Sleep(25 * time.Millisecond) { // a real server
		text := page()
		if strings.Contains(text, "flagd:flags.json") && strings.Contains(text, "2 flags") && strings.Contains(text, "webhooks of growthbook") && strings.Contains(text, "All delivered") {
			break
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("the page is\n%s\n%s", text, log.String())
		}
	}
	if strings.Contains(log.String(), "correct-horse") {
		t.Error("the log has the password")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// writeStore makes the store as the program does at its first start.
func writeStore(t *testing.T, path string) {
	t.Helper()
	s := &service{}
	if _, err := s.openStore(config{Store: path, database: func() string { return "" }}); err != nil {
		t.Fatal(err)
	}
	if err := s.close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestQueue opens the queue by the program's own configuration.
func TestQueue(t *testing.T) {
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "flagwatch.json")
	write(t, filepath.Join(dir, "flags.json"), demoFlagd)
	write(t, file, `{"store": "`+filepath.Join(dir, "store.db")+`", "sources": [{"format": "flagd", "file": "`+filepath.Join(dir, "flags.json")+`"}]}`)
	env := func(name string) string {
		return map[string]string{"SENTRY_FLAGS_WEBHOOK_URL": sentry.URL(), "SENTRY_FLAGS_WEBHOOK_SECRET": webhooktest.DefaultSecret}[name]
	}
	var out bytes.Buffer
	if status := run(t.Context(), []string{"-config", file, "queue", "list"}, env, &out, &out); status != 1 || !strings.Contains(out.String(), "there is no store") {
		t.Errorf("without a store: status %d: %s", status, out.String())
	}
	if status := run(t.Context(), []string{"-config", file, "-check"}, env, &out, &out); status != 0 {
		t.Errorf("status %d: %s", status, out.String())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 2 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	writeStore(t, filepath.Join(dir, "store.db"))
	if status := run(t.Context(), []string{"-config", file, "queue", "list"}, env, &out, &out); status != 0 || !strings.Contains(out.String(), "REASON") {
		t.Errorf("status %d: %s", status, out.String())
	}
	if status := run(t.Context(), []string{"-config", file, "queue", "show", "none"}, env, io.Discard, io.Discard); status != 1 {
		t.Errorf("status %d", status)
	}
}
