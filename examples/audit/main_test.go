package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var lastLine = regexp.MustCompile(`\naudit: (\d+) changes committed, (\d+) in Sentry's log, 6 refused, 4 flags\n$`)

func TestDemonstration(t *testing.T) {
	for name, args := range map[string][]string{
		"SQLite":     nil,
		"PostgreSQL": {"-dsn", os.Getenv("SENTRYFLAGS_TEST_POSTGRES")},
	} {
		t.Run(name, func(t *testing.T) {
			if len(args) > 0 && args[1] == "" {
				t.Skip("SENTRYFLAGS_TEST_POSTGRES is not set")
			}
			var out bytes.Buffer
			if err := run(t.Context(), args, &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			found := lastLine.FindStringSubmatch(out.String())
			if found == nil || found[1] != found[2] {
				t.Errorf("printed:\n%s", out.String())
			}
		})
	}
}

func TestBackend(t *testing.T) {
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "flags.db")
	if err := run(t.Context(), []string{"-listen", "localhost:0", "-file", file}, &out); err == nil || !strings.Contains(err.Error(), "SENTRY_FLAGS_WEBHOOK_URL") {
		t.Errorf("without a URL: %v", err)
	}
	for _, wrong := range [][]string{{"-nonsense"}, {"nonsense"}, {"-listen", "localhost:0"}} {
		if err := run(t.Context(), wrong, io.Discard); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if err := run(t.Context(), []string{"-h"}, &out); err != nil || !strings.Contains(out.String(), "-dsn") {
		t.Errorf("-h: %v, %s", err, out.String())
	}
}

// What changes meanwhile waits, also if it is the secret that is wrong, and an
// address that is taken is an error before anything is said to serve.
func TestServe(t *testing.T) {
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()
	t.Setenv("SENTRY_FLAGS_WEBHOOK_URL", sentry.URL())
	t.Setenv("SENTRY_FLAGS_WEBHOOK_SECRET", "another-secret-than-the-saved-one")
	taken, err := net.Listen("tcp", "localhost:0") //nolint:noctx // it waits for nothing
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out bytes.Buffer
	err = run(t.Context(), []string{"-listen", taken.Addr().String(), "-file", filepath.Join(t.TempDir(), "flags.db")}, &out)
	if !errors.Is(err, syscall.EADDRINUSE) || strings.Contains(out.String(), "serving") || !strings.Contains(out.String(), "not authorized") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// Who breaks the demonstration off finds none of its tables in the database.
func TestBrokenOff(t *testing.T) {
	dsn := os.Getenv("SENTRYFLAGS_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("SENTRYFLAGS_TEST_POSTGRES is not set")
	}
	ctx, breakOff := context.WithCancel(t.Context())
	defer breakOff()
	prefix := fmt.Sprintf("demooff%d_", time.Now().UnixNano())
	out := writerFunc(func(line []byte) (int, error) {
		breakOff()
		return len(line), nil
	})
	if err := demonstrate(ctx, database{dsn: dsn, prefix: prefix}, out); err == nil {
		t.Error("it was not broken off")
	}
	db, err := database{dsn: dsn}.open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var left int
	err = db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE starts_with(tablename, $1)", prefix).Scan(&left)
	if err != nil || left > 0 {
		t.Errorf("%d tables are left: %v", left, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
