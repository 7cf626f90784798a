package sqlstore_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// TestTakeOver ends the process that delivers, and measures how long it takes
// until another one does.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	lease, slack := 3*time.Second, 10*time.Second // for what else the machine does
	if os.Getenv(fullEnv) == "full" {
		lease, slack = 10*time.Second, 500*time.Millisecond
	}
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
		most   time.Duration
	}{
		{"killed", syscall.SIGKILL, lease},
		{"ended", syscall.SIGTERM, 2 * time.Second},
	} {
		onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
			t.Run(tc.name, func(t *testing.T) {
				sink := newSink(time.Millisecond)
				defer sink.Close()
				run := crashRun{dialect: dialect, processes: 1, role: "emit", changes: 100_000}
				child := run.children(t, sink)[0]
				child.config.Lease = lease
				child.start()
				eventually(t, "the child delivers", func() bool { return sink.unique() > 100 })
				store := open(t, dialect, child.config.Dir)
				defer store.Close()
				emitter := emitterOn(t, store, sink, lease)
				start := time.Now()
				child.stop(tc.signal)
				if tc.signal == syscall.SIGTERM {
					start = time.Now() // it has delivered until its end
				}
				const mine = 1_000_000
				if err := emitter.emit(t.Context(), mine); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the change arrives", func() bool { return len(sink.missing([]int64{crashChange(mine).ChangeID})) == 0 })
				took := time.Since(start)
				fmt.Printf("take-over: engine=%s %s lease=%v took=%v\n", engineName(dialect), tc.name, lease, took.Round(time.Millisecond))
				if took > tc.most+slack {
					t.Errorf("taken over after %v, want at most %v", took, tc.most)
				}
				emitter.end(t)
			})
		})
	}
}
