package sqlstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// BenchmarkWaiting measures what a change costs a store, by how many others wait:
// ten are added at the end of the queue, and ten taken from its head and settled.
// xTen is that time against the one with ten waiting, on the same engine.
func BenchmarkWaiting(b *testing.B) {
	for _, engine := range []string{"Memory", sqlstore.SQLite.String(), sqlstore.PostgreSQL.String()} {
		for _, n := range []int{10, 100, 1_000, 10_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("engine=%s/waiting=%d", engine, n), func(b *testing.B) {
				calls := sized(10)
				if n > 10_000 && sized(n) != n {
					b.Skip("filling takes a while: set " + fullEnv + "=full")
				}
				subject, ten := newWaiting(b, engine, n), newWaiting(b, engine, waitingBatch)
				for b.Loop() {
					subject.round(b)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/waitingBatch, "ns/change")
				b.ReportMetric(benchratio.Of(func() { subject.round(b) }, func() { ten.round(b) }, calls), "xTen")
			})
		}
	}
}

// waitingBatch is as large as the smallest queue.
const waitingBatch = 10

// waiting is a queue of an unchanging length, and where the one who works on it is.
type waiting struct {
	store  queue.Store
	after  int64
	lookAt time.Time // when to look from the start again, as the loop does each second
}

func newWaiting(b *testing.B, engine string, n int) *waiting {
	b.Helper()
	w := &waiting{}
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL} {
		if engine == dialect.String() {
			store := open(b, dialect, b.TempDir())
			b.Cleanup(func() { _ = store.Close() })
			stuff(b, store, dialect, testQueue, n, 0)
			w.store = store
			return w
		}
	}
	memory, err := queue.NewMemory(queue.MemoryConfig{Capacity: n + waitingBatch})
	if err != nil {
		b.Fatal(err)
	}
	w.store = memory
	for range n / waitingBatch {
		w.add(b)
	}
	return w
}

// round adds, takes and settles.
func (w *waiting) round(b *testing.B) {
	w.add(b)
	from := w.after
	if now := time.Now(); now.After(w.lookAt) {
		from, w.lookAt = 0, now.Add(time.Second)
	}
	entries, err := w.store.Due(b.Context(), testQueue, from, waitingBatch)
	if err != nil || len(entries) != waitingBatch {
		b.Fatalf("%d entries, %v", len(entries), err)
	}
	outcomes := make([]queue.Outcome, len(entries))
	for i, e := range entries {
		outcomes[i] = queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done}
	}
	w.after = entries[len(entries)-1].Seq
	if err := w.store.Settle(b.Context(), testQueue, "me", outcomes...); err != nil {
		b.Fatal(err)
	}
}

func (w *waiting) add(b *testing.B) {
	items := make([]queue.Item, waitingBatch)
	for i := range items {
		sequence++
		items[i] = queue.Item{ID: fmt.Sprint(sequence), Key: fmt.Sprint("key ", sequence%1000), Body: make([]byte, 200)}
	}
	if _, err := w.store.Add(b.Context(), testQueue, queue.Addition{Items: items}); err != nil {
		b.Fatal(err)
	}
}
