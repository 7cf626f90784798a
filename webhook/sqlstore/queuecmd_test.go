package sqlstore_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/queuecmd"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// TestQueueCommand mends a queue from another process than the one that delivers,
// as a terminal does: each command opens the database anew.
func TestQueueCommand(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		s := open(t, dialect, dir)
		defer s.Close()
		s.fill(t, dialect, dir, "q", 10, 30)
		run := func(args ...string) string {
			t.Helper()
			var out bytes.Buffer
			status := queuecmd.Command{
				Name: "queue", Stdout: &out, Stderr: &out,
				Open: func(context.Context) (*webhook.Inspector, func() error, error) {
					again := open(t, dialect, dir)
					inspector, err := webhook.NewInspector(again, "q", webhook.InspectorConfig{})
					return inspector, again.Close, err
				},
			}.Run(t.Context(), args)
			if status != queuecmd.OK {
				t.Fatalf("%q: status %d, %s", args, status, out.String())
			}
			return out.String()
		}
		if got := strings.Count(run("list", "-json"), "\n"); got != 30 {
			t.Errorf("%d dead listed", got)
		}
		if got := strings.Count(run("list", "-json", "-state", "all", "-limit", "0"), "\n"); got != 40 {
			t.Errorf("%d in all listed", got)
		}
		if got := strings.Count(run("list", "-json", "-reasons"), `"changes":10,`); got != 3 {
			t.Errorf("%d reasons with 10", got)
		}
		run("correct", "-flag", "shorter", "2-1")
		run("replay", "-all", "-reason", "flag: Ensure this field has no more than 2 characters.")
		run("discard", "-all")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		stats, err := s.Stats(ctx, "q", 0)
		if err != nil || stats.Waiting != 21 || stats.Dead != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
		waiting, err := s.List(ctx, "q", queue.Filter{Key: "shorter"})
		if err != nil || len(waiting) != 1 || waiting[0].ID != "2-1" || waiting[0].State != queue.Waiting {
			t.Errorf("%+v, %v", waiting, err)
		}
	})
}
