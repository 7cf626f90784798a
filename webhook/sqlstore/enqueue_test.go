package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func TestEnqueueTx(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		defer store.Close()
		for i := range 9 {
			tx, err := store.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			added, err := store.EnqueueTx(t.Context(), tx, "q", webhook.Item{ID: fmt.Sprint(i)}, webhook.Item{ID: fmt.Sprint(i)})
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
		if stats, err := store.Stats(t.Context(), "q"); err != nil || stats.Waiting != 6 {
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
		if _, err := store.EnqueueTx(t.Context(), tx, "q", webhook.Item{}); !errors.Is(err, webhook.ErrInvalidItem) {
			t.Errorf("an invalid item: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.EnqueueTx(ended, tx, "q", webhook.Item{ID: "x"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
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
			_, err = store.EnqueueTx(t.Context(), tx, "q", webhook.Item{ID: fmt.Sprintf("%d-%d", flag, version), Key: fmt.Sprint(flag)})
			return errors.Join(err, tx.Commit())
		}
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for i := range each * flags {
					if err := change(i % flags); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		turn, err := store.Turn(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		defer turn.Release()
		items, err := turn.Take(t.Context(), 1000)
		if err != nil || len(items) != flags*writers*each {
			t.Fatalf("%d items, %v", len(items), err)
		}
		seen := make(map[string]int)
		for _, item := range items {
			seen[item.Key]++
			if want := fmt.Sprintf("%s-%d", item.Key, seen[item.Key]); item.ID != want {
				t.Fatalf("%q where %q should be", item.ID, want)
			}
		}
	})
}

// TestEnqueueDeadlock has two callers enqueue the same items in opposite order,
// which PostgreSQL resolves by giving one of them up.
func TestEnqueueDeadlock(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		defer store.Close()
		const n = 1500 // several statements each
		forth, back := make([]webhook.Item, n), make([]webhook.Item, n)
		for i := range n {
			forth[i] = webhook.Item{ID: fmt.Sprint(i)}
			back[n-1-i] = forth[i]
		}
		var wg sync.WaitGroup
		added := make([]int, 2)
		for i, items := range [][]webhook.Item{forth, back} {
			wg.Go(func() {
				var err error
				if added[i], err = store.Enqueue(t.Context(), "q", items...); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if added[0]+added[1] != n {
			t.Errorf("added %v, want %d in all", added, n)
		}
	})
}
