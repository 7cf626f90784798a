package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
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

// flagNames are the flags of a storm, and the names of the alerts that switch
// them.
func flagNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("flag_%d", i))
	}
	return names
}

func stormRules(flags []string) []fileRule {
	var rules []fileRule
	for _, flag := range flags {
		rule := fileRule{Alert: flag, Project: "shop"}
		rule.Target.Environment, rule.Target.Feature = demoEnvironment, flag
		rules = append(rules, rule)
	}
	return rules
}

// postAll sends an alert per flag to the address that is current, several at a
// time, and calls accepted for each that was answered 2xx.
func postAll(t *testing.T, senders int, flags []string, address func() string, accepted func(flag string, status int)) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: senders}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(flags) {
					return
				}
				// The one attempt that Sentry makes, at a process that is there.
				if status, err := post(t.Context(), client, address()+"/sentry", demoEvent(flags[i], "shop", "", i, time.Now())); err == nil && status/100 == 2 {
					accepted(flags[i], status)
				}
			}
		})
	}
	wg.Wait()
}

func post(ctx context.Context, client *http.Client, address string, body []byte) (int, error) {
	signature, err := signing.Sign(signing.NewSecret(demoSecret), body)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set(signing.HookHeader, signature)
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, nil
}

// eventually waits for something that happens in another process.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

func newHTTPClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
