package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// postgresEnv names the environment variable with the DSN of a PostgreSQL to
// test against.
const postgresEnv = "SENTRYFLAGS_TEST_POSTGRES"

// postgresDatabase makes a database for one test and returns its DSN.
func postgresDatabase(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv(postgresEnv)
	if dsn == "" {
		t.Skip(postgresEnv + " is not set")
	}
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("%s cannot be parsed", postgresEnv)
	}
	admin, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("killswitch_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = admin.Close()
	})
	address.Path = "/" + name
	return address.String()
}

// fileOf writes a file into the test's directory.
func fileOf(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// envOf is an environment out of "NAME=value".
func envOf(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value
			}
		}
		return ""
	}
}

// rulesOf has a rule per flag, whose alert is called as the flag.
func rulesOf(flags []string) []fileRule {
	var rules []fileRule
	for _, flag := range flags {
		rules = append(rules, fileRule{Alert: flag, Project: "shop", Off: demoTarget(flag)})
	}
	return rules
}

func post(ctx context.Context, client *http.Client, address string, body []byte, edit func(http.Header)) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set(signing.HookHeader, signatureOf(demoSecret, body))
	if edit != nil {
		edit(request.Header)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, nil
}

// eventually waits for something that happens in another process. within is what
// it may take on a quiet machine; one that does much else has ten times that.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, 10*within)
		}
	}
}

func newHTTPClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
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

func standIns(t *testing.T, flags ...string) (*vwotest.Server, *webhooktest.Server) {
	t.Helper()
	switchboard := vwotest.NewServer(vwotest.Config{Features: flags})
	t.Cleanup(switchboard.Close)
	flagLog := webhooktest.NewServer(webhooktest.Config{})
	t.Cleanup(flagLog.Close)
	return switchboard, flagLog
}

// program is a configuration file and an environment that fit the stand-ins.
func program(t *testing.T, switchboard *vwotest.Server, flagLog *webhooktest.Server, more map[string]any, features ...string) (string, func(string) string) {
	t.Helper()
	settings := map[string]any{
		"listen": "127.0.0.1:0", "store": filepath.Join(t.TempDir(), "killswitch.db"),
		"togglers": map[string]any{"vwo": map[string]any{"vwo": map[string]string{"base_url": switchboard.URL}}},
	}
	var rules []map[string]any
	for _, feature := range features {
		rules = append(rules, map[string]any{
			"alert": feature, "project": "shop", "switch_off": map[string]string{"environment": demoEnvironment, "flag": feature},
		})
	}
	settings["rules"] = rules
	for key, value := range more {
		settings[key] = value
	}
	raw, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, "killswitch.json", string(raw)), envOf("VWO_TOKEN="+switchboard.Token(), "SENTRY_CLIENT_SECRET="+demoSecret,
		"SENTRY_FLAGS_WEBHOOK_URL="+flagLog.URL(), "SENTRY_FLAGS_WEBHOOK_SECRET="+webhooktest.DefaultSecret)
}

// pulse notices when the machine gives this process no time: a late answer of
// another one then says nothing of it.
type pulse struct{ last atomic.Int64 } // when it was late, in nanoseconds

// A beat comes each 10 ms, and is late after 100 ms more.
func pulseOf(ctx context.Context) *pulse {
	p := &pulse{}
	go func() {
		for then := time.Now(); ctx.Err() == nil; then = time.Now() {
			time.Sleep(10 * time.Millisecond)
			if now := time.Now(); now.Sub(then) > 110*time.Millisecond {
				p.last.Store(now.UnixNano())
			}
		}
	}()
	return p
}

// stalled reports whether the pulse was late since a time.
func (p *pulse) stalled(since time.Time) bool { return p.last.Load() > since.UnixNano() }
