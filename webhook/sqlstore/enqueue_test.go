package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestEnqueueTx(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		defer store.Close()
		for i := range 9 {
			tx, err := store.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			added, err := store.EnqueueTx(t.Context(), tx, "q", queue.Item{ID: fmt.Sprint(i)}, queue.Item{ID: fmt.Sprint(i)})
			if err != nil || added != 1 {
				t.Fatalf("EnqueueTx: %d, %v", added, err)
			}
			end := tx.Commit
			if i%3 == 2 {
				end = tx.Rollback
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
		}
		if stats, err := store.Stats(t.Context(), "q", 0); err != nil || stats.Waiting != 6 {
			t.Errorf("stats: %+v, %v", stats, err)
		}
		if _, err := store.EnqueueTx(t.Context(), nil, "q"); err == nil {
			t.Error("without a transaction")
		}
		tx, err := store.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := store.EnqueueTx(t.Context(), tx, "q", queue.Item{}); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("an invalid item: %v", err)
		}
		if _, err := store.EnqueueTx(t.Context(), tx, "", queue.Item{ID: "x"}); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("no queue: %v", err)
		}
		if _, err := store.EnqueueTx(canceled(t), tx, "q", queue.Item{ID: "x"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
	})
}

// TestStatement runs the statement itself, over and over.
func TestStatement(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		defer store.Close()
		items := make([]queue.Item, sqlstore.MaxStatement)
		for i := range items {
			items[i] = queue.Item{ID: fmt.Sprint(i), Key: "k", Body: []byte("body")}
		}
		for _, want := range []int64{int64(len(items)), 0} {
			query, args, err := store.Statement("q", items...)
			if err != nil {
				t.Fatal(err)
			}
			if placeholder := map[sqlstore.Dialect]string{sqlstore.SQLite: "?1", sqlstore.PostgreSQL: "$1"}[dialect]; !strings.Contains(query, placeholder) {
				t.Errorf("the statement has no %s", placeholder)
			}
			result, err := store.db.Exec(query, args...)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := result.RowsAffected(); n != want || err != nil {
				t.Errorf("%d rows, %v; want %d", n, err, want)
			}
		}
		if due, err := store.Due(t.Context(), "q", 0, 1000); len(due) != len(items) || err != nil || due[499].ID != "499" {
			t.Errorf("%d are due, %v", len(due), err)
		}
		_, _, none := store.Statement("q")
		_, _, many := store.Statement("q", append(items, queue.Item{ID: "one more"})...)
		_, _, bad := store.Statement("q", queue.Item{})
		_, _, name := store.Statement("", items...)
		large := make([]queue.Item, 9)
		for i := range large {
			large[i] = queue.Item{ID: fmt.Sprint(i), Body: make([]byte, queue.MaxBody)}
		}
		_, _, size := store.Statement("q", large...)
		for what, err := range map[string]error{"none": none, "many": many, "bad": bad, "no queue": name, "large": size} {
			if !errors.Is(err, queue.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestEnqueueTxOrder has transactions that lock the flag's row first: the queue
// has the order of their commits, although PostgreSQL's commits and sequence
// numbers are otherwise independent.
func TestEnqueueTxOrder(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		store := open(t, dialect, dir)
		defer store.Close()
		table := prefixOf(dir) + "own"
		if _, err := store.db.Exec("CREATE TABLE " + table + " (flag BIGINT PRIMARY KEY, version BIGINT)"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := store.db.Exec("DROP TABLE " + table); err != nil {
				t.Error(err)
			}
		}()
		const flags, writers, each = 3, 4, 15
		for flag := range flags {
			if _, err := store.db.Exec(fmt.Sprintf("INSERT INTO %s VALUES (%d, 0)", table, flag)); err != nil {
				t.Fatal(err)
			}
		}
		change := func(flag int) error {
			tx, err := store.db.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			var version int
			err = tx.QueryRow(fmt.Sprintf("UPDATE %s SET version = version + 1 WHERE flag = %d RETURNING version", table, flag)).Scan(&version)
			if err != nil {
				return err
			}
			_, err = store.EnqueueTx(t.Context(), tx, "q", queue.Item{ID: fmt.Sprintf("%d-%d", flag, version), Key: fmt.Sprint(flag)})
			return errors.Join(err, tx.Commit())
		}
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for i := range each * flags {
					if err := change(i % flags); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		due, err := store.Due(t.Context(), "q", 0, 1000)
		if err != nil || len(due) != flags*writers*each {
			t.Fatalf("%d items, %v", len(due), err)
		}
		seen := make(map[string]int)
		for _, e := range due {
			seen[e.Key]++
			if want := fmt.Sprintf("%s-%d", e.Key, seen[e.Key]); e.ID != want {
				t.Fatalf("%q where %q should be", e.ID, want)
			}
		}
	})
}

// TestAddDeadlock has two callers add the same items in opposite order, which
// PostgreSQL resolves by giving one of them up.
func TestAddDeadlock(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		defer store.Close()
		const n = 1500 // several statements each
		forth, back := make([]queue.Item, n), make([]queue.Item, n)
		for i := range n {
			forth[i] = queue.Item{ID: fmt.Sprint(i)}
			back[n-1-i] = forth[i]
		}
		var all sync.WaitGroup
		added := make([]int, 2)
		for i, items := range [][]queue.Item{forth, back} {
			all.Go(func() {
				var err error
				if added[i], err = store.Add(t.Context(), "q", queue.Addition{Items: items}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if added[0]+added[1] != n {
			t.Errorf("added %v, want %d in all", added, n)
		}
	})
}
