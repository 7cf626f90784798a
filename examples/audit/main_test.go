package main

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
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
	if err := run(t.Context(), []string{"-listen", "localhost:0"}, &out); err == nil || !strings.Contains(err.Error(), "SENTRY_FLAGS_URL") {
		t.Errorf("without a URL: %v", err)
	}
	if err := run(t.Context(), []string{"-nonsense"}, io.Discard); err == nil {
		t.Error("an unknown flag is taken")
	}
}
