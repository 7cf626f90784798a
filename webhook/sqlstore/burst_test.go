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
		defer s.Close()
		callers, each := 40, 50
		if raceEnabled {
			callers = 10 // the line is as long as each of them is slow
		}
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
			case <-time.After(2 * time.Minute):
				t.Fatalf("%d of %d handled", n, callers*each)
			}
		}
		cancel()
		working.Wait()
	})
}

// TestEnqueuedAgain: a transaction that has added a waiting item once more, and
// stays open, holds up nobody.
func TestEnqueuedAgain(t *testing.T) {
	s := open(t, sqlstore.PostgreSQL, t.TempDir())
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	items := []queue.Item{{ID: "1"}, {ID: "2"}}
	if _, err := s.Add(ctx, "again", queue.Addition{Items: items}); err != nil {
		t.Fatal(err)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if added, err := s.EnqueueTx(ctx, tx, "again", items[0], queue.Item{ID: "3"}); added != 1 || err != nil {
		t.Fatalf("%d were new, %v", added, err)
	}
	due, err := s.Due(ctx, "again", 0, 10)
	if err != nil || len(due) != 2 {
		t.Fatalf("%v, %v", due, err)
	}
	if err := s.Settle(ctx, "again", "me", queue.Outcome{ID: "1", Seq: due[0].Seq, State: queue.Done}); err != nil {
		t.Fatalf("settling waits for the transaction: %v", err)
	}
}
