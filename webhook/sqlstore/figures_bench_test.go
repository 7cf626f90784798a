package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// sized is n in a full run, and a tenth of it otherwise.
func sized(n int) int {
	if os.Getenv(fullEnv) == "full" {
		return n
	}
	return n / 10
}

// stuff puts n entries into a queue by one statement of the database's own.
func stuff(tb testing.TB, store *testStore, dialect sqlstore.Dialect, queueName string, n, state int) {
	tb.Helper()
	series, body := "generate_series(1, %[4]d) AS s (i)", "repeat('x', 200)::bytea"
	if dialect == sqlstore.SQLite {
		series, body = "(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %[4]d) SELECT i FROM s)", "zeroblob(200)"
	}
	statement := fmt.Sprintf(`INSERT INTO %[1]sentries (queue, id, ord_key, body, state, added_at, since, due)
		SELECT '%[2]s', '%[2]s %[3]d ' || i, 'key ' || i %% 1000, `+body+`, %[3]d, 1, 1, 1 FROM `+series, store.prefix, queueName, state, n)
	if _, err := store.db.Exec(statement); err != nil {
		tb.Fatal(err)
	}
}

// work settles n entries in batches of 100, as the loop does, and returns how long
// each of them took.
func work(tb testing.TB, store queue.Store, n int, after int64) (time.Duration, int64) {
	tb.Helper()
	start := time.Now()
	fullAt := start
	for done := 0; done < n; {
		from := after
		began := time.Now()
		if !began.Before(fullAt) {
			from = 0
		}
		entries, err := store.Due(tb.Context(), testQueue, from, 100)
		if err != nil || len(entries) == 0 {
			tb.Fatalf("%d of %d: %d entries, %v", done, n, len(entries), err)
		}
		if from == 0 {
			fullAt = began.Add(max(time.Second, 20*time.Since(began)))
		}
		var outcomes []queue.Outcome
		for _, e := range entries {
			outcomes = append(outcomes, queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done})
		}
		if err := store.Settle(tb.Context(), testQueue, "me", outcomes...); err != nil {
			tb.Fatal(err)
		}
		done += len(entries)
		after = entries[len(entries)-1].Seq
	}
	return time.Since(start) / time.Duration(n), after
}

// BenchmarkBacklog works on a million entries, and reports what the last 10,000
// cost, as a multiple of what the first did. It is to stay at or below 1.2.
func BenchmarkBacklog(b *testing.B) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL} {
		b.Run("engine="+dialect.String(), func(b *testing.B) {
			store := open(b, dialect, b.TempDir())
			defer store.Close()
			waiting, part := sized(1_000_000), sized(10_000)
			stuff(b, store, dialect, testQueue, waiting, 0)
			first, after := work(b, store, part, 0)
			_, after = work(b, store, waiting-2*part, after)
			last, _ := work(b, store, part, after)
			for b.Loop() { // there is one backlog
			}
			b.ReportMetric(float64(last)/float64(first), "xFirst")
			b.ReportMetric(float64(time.Second/first), "first/s")
		})
	}
}

// BenchmarkLongSnapshot works on a queue while one transaction of PostgreSQL reads
// what was at its beginning, so that nothing old can be removed, and reports what
// the last entries cost, as a multiple of what the first did. It is to stay at or
// below 2.
func BenchmarkLongSnapshot(b *testing.B) {
	for name, live := range map[string]bool{"backlog": false, "live": true} {
		b.Run(name, func(b *testing.B) {
			store := open(b, sqlstore.PostgreSQL, b.TempDir())
			defer store.Close()
			conn, err := store.db.Conn(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			for _, statement := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM " + store.prefix + "entries"} {
				if _, err := conn.ExecContext(b.Context(), statement); err != nil {
					b.Fatal(err)
				}
			}
			defer func() {
				if _, err := conn.ExecContext(context.WithoutCancel(b.Context()), "ROLLBACK"); err != nil {
					b.Error(err)
				}
			}()
			changes, part := sized(200_000), sized(10_000)
			more := func(n int) {
				items := make([]queue.Item, 100)
				for i := 0; i < n; i += len(items) {
					for j := range items {
						sequence++
						items[j] = queue.Item{ID: fmt.Sprint(sequence), Key: fmt.Sprint("key ", j), Body: make([]byte, 200)}
					}
					if _, err := store.Add(b.Context(), testQueue, queue.Addition{Items: items}); err != nil {
						b.Fatal(err)
					}
				}
			}
			if !live {
				more(changes)
			}
			var first, last time.Duration
			after := int64(0)
			for done := 0; done < changes; done += part {
				if live {
					more(part)
				}
				last, after = work(b, store, part, after)
				if first == 0 {
					first = last
				}
			}
			for b.Loop() { // there is one history
			}
			b.ReportMetric(float64(last)/float64(first), "xStart")
		})
	}
}

var sequence int

// BenchmarkPages lists the first page of what a console shows, of a queue with
// 100,000 waiting and 10,000 dead entries, and reports how many times longer it
// takes than of an empty one.
func BenchmarkPages(b *testing.B) {
	pages := map[string]queue.Filter{
		"waiting": {States: []queue.State{queue.Waiting}, Limit: 50},
		"dead":    {States: []queue.State{queue.Dead}, Newest: true, Limit: 50},
		"all":     {Newest: true, Limit: 50},
		"key":     {Key: "key 7", Newest: true, Limit: 50},
		"nothing": {Key: "no such key", Limit: 50},
	}
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL} {
		store := open(b, dialect, b.TempDir())
		defer store.Close()
		stuff(b, store, dialect, testQueue, sized(100_000), 0)
		stuff(b, store, dialect, testQueue, sized(10_000), 2)
		stuff(b, store, dialect, testQueue, sized(100_000), 1)
		for name, filter := range pages {
			b.Run("engine="+dialect.String()+"/"+name, func(b *testing.B) {
				list := func(queueName string) time.Duration {
					start := time.Now()
					if _, err := store.List(b.Context(), queueName, filter); err != nil {
						b.Fatal(err)
					}
					return time.Since(start)
				}
				var full, empty time.Duration
				rounds := 0
				for b.Loop() {
					empty += list("empty")
					full += list(testQueue)
					rounds++
				}
				for ; rounds < 50; rounds++ {
					empty += list("empty")
					full += list(testQueue)
				}
				b.ReportMetric(float64(full)/float64(empty), "xEmpty")
			})
		}
	}
}
