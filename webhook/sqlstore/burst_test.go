package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// TestBurst has many callers write at once while a loop works: all of them are in
// one process, so that nobody has to be told that the file is busy, nor to wait
// for as long as a stranger would.
func TestBurst(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		s := open(t, dialect, t.TempDir())
		const callers, each = 40, 50
		handled := make(chan int, callers*each)
		ctx, cancel := context.WithCancel(t.Context())
		var working, calling sync.WaitGroup
		working.Go(func() {
			if err := queue.Run(ctx, s, "burst", queue.Config{Report: func(r queue.Report) {
				if r.Err != nil {
					t.Errorf("the loop: %v", r.Err)
				}
			}}, func(_ context.Context, entries []queue.Entry) ([]queue.Outcome, time.Duration) {
				outcomes := make([]queue.Outcome, len(entries))
				for i, entry := range entries {
					outcomes[i] = queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Done}
				}
				handled <- len(entries)
				return outcomes, 0
			}); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		for c := range callers {
			calling.Go(func() {
				for i := range each {
					item := queue.Item{ID: fmt.Sprintf("%d-%d", c, i), Body: []byte("{}")}
					if _, err := s.Add(t.Context(), "burst", queue.Addition{Items: []queue.Item{item}}); err != nil {
						t.Errorf("Add: %v", err)
					}
				}
			})
		}
		calling.Wait()
		for n := 0; n < callers*each; {
			select {
			case more := <-handled:
				n += more
			case <-time.After(30 * time.Second):
				t.Fatalf("%d of %d handled", n, callers*each)
			}
		}
		cancel()
		working.Wait()
	})
}
