package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func addition(ids ...string) queue.Addition {
	var a queue.Addition
	for _, id := range ids {
		a.Items = append(a.Items, queue.Item{ID: id, Key: "key", Body: make([]byte, 1000)})
	}
	return a
}

// TestLockedFile has another program keep the write lock for too long.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, strings.Replace(sqlstore.SQLiteDSN(path), "busy_timeout(3000)", "busy_timeout(1000)", 1))
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Add(t.Context(), "q", addition("before")); err != nil {
		t.Fatal(err)
	}
	due, err := store.Due(t.Context(), "q", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := sqlite(t, sqlstore.SQLiteDSN(path)).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, add := store.Add(t.Context(), "q", addition("meanwhile"))
	_, note := store.Add(t.Context(), "q", queue.Addition{Notes: []queue.Note{{Name: "note"}}})
	_, lease := store.Lease(t.Context(), "q", "me", time.Second)
	settle := store.Settle(t.Context(), "q", "me", queue.Outcome{ID: "before", Seq: due[0].Seq, State: queue.Done})
	for call, err := range map[string]error{"Add": add, "Add of a note": note, "Lease": lease, "Settle": settle} {
		if !errors.Is(err, sqlstore.ErrBusy) {
			t.Errorf("%s into a locked file: %v", call, err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if added, err := store.Add(t.Context(), "q", addition("meanwhile")); added != 1 || err != nil {
		t.Errorf("after the lock: %d, %v", added, err)
	}
	if due, err := store.Due(t.Context(), "q", 0, 10); len(due) != 2 || err != nil {
		t.Errorf("due: %v, %v", due, err)
	}
}

// TestDeferredTransaction: one that has read cannot write when another has
// written since, and the error says what to do.
func TestDeferredTransaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	deferred := strings.Replace(sqlstore.SQLiteDSN(path), "&_txlock=immediate", "", 1)
	db := sqlite(t, deferred)
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err) // the store itself does not need it
	}
	everyCall(t, store)
	read := func() *sql.Tx {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM sentryflags_entries`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	refused := func(tx *sql.Tx) {
		t.Helper()
		_, err := store.EnqueueTx(t.Context(), tx, "q", queue.Item{ID: "a"})
		if !errors.Is(err, sqlstore.ErrBusy) || !strings.Contains(err.Error(), "_txlock=immediate") {
			t.Errorf("got %v", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
	tx := read()
	if _, err := store.Add(t.Context(), "q", addition("meanwhile")); err != nil {
		t.Fatal(err)
	}
	refused(tx)
	tx = read()
	writing := read()
	if _, err := store.EnqueueTx(t.Context(), writing, "q", queue.Item{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	refused(tx)
	if err := writing.Commit(); err != nil {
		t.Error(err)
	}
}

// TestDiskFull lets the file grow to a limit. What was accepted is delivered,
// what was not is refused, and when there is room it goes on.
func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, sqlstore.SQLiteDSN(path)+"&_pragma=max_page_count(60)")
	store, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithWindow(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for {
		_, err := store.Add(t.Context(), "q", addition(fmt.Sprint(accepted)))
		if errors.Is(err, queue.ErrFull) {
			break
		}
		if err != nil {
			t.Fatalf("a full disk: %v", err)
		}
		accepted++
	}
	if accepted < 30 {
		t.Errorf("only %d items were accepted", accepted)
	}
	due, err := store.Due(t.Context(), "q", 0, 1000)
	if err != nil || len(due) != accepted {
		t.Fatalf("%d items, %v; want the %d accepted", len(due), err, accepted)
	}
	for _, e := range due {
		if err := store.Settle(t.Context(), "q", "me", queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done}); err != nil {
			t.Fatalf("Settle on a full disk: %v", err)
		}
	}
	eventually(t, "the settled ones are swept", func() bool {
		n, err := store.Sweep(t.Context(), 1000)
		if err != nil {
			t.Fatalf("Sweep on a full disk: %v", err)
		}
		return n > 0
	})
	if _, err := store.Add(t.Context(), "q", addition("later")); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestFileGone takes the file, or the WAL, away under the process: nothing more
// is accepted, and a look notices it without a write.
func TestFileGone(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".moved") },
		"replaced": func(path string) error {
			bytes, err := os.ReadFile(path)
			return errors.Join(err, os.Remove(path), os.WriteFile(path, bytes, 0o600))
		},
		"WAL deleted": func(path string) error { return os.Remove(path + "-wal") },
		"shm deleted": func(path string) error { return os.Remove(path + "-shm") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			db, err := sqlstore.OpenSQLite("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			store, err := sqlstore.New(db, sqlstore.SQLite)
			if err != nil {
				t.Fatal(err)
			}
			sink := newSink(0)
			defer sink.Close()
			emitter := emitterOn(t, store, sink, time.Second)
			if err := emitter.Emit(t.Context(), crashChange(0)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it arrives", func() bool { return sink.unique() == 1 })
			start := time.Now()
			if err := take(path); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a look notices", func() bool {
				_, ok := emitter.since(webhook.EventPaused, start)
				return ok
			})
			for i := range 100 {
				if err := emitter.Emit(t.Context(), crashChange(i)); !errors.Is(err, sqlstore.ErrGone) || !strings.Contains(err.Error(), path) {
					t.Fatalf("Emit: %v", err)
				}
			}
			emitter.Close(canceled(t)) // which cannot say that all was delivered
		})
	}
}

// TestDamagedFileIsNamed: to somebody who opens it, and to who has it open. "disk
// I/O error (522)" tells nobody what to do.
func TestDamagedFileIsNamed(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"WAL deleted": func(path string) error { return os.Remove(path + "-wal") },
		"WAL cut off": func(path string) error { return os.Truncate(path+"-wal", 100) },
		"WAL emptied": func(path string) error { return os.Truncate(path+"-wal", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			db := sqlite(t, sqlstore.SQLiteDSN(path))
			store, err := sqlstore.New(db, sqlstore.SQLite)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Add(t.Context(), "q", addition("a")); err != nil {
				t.Fatal(err)
			}
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			other, err := sqlstore.OpenSQLite("sqlite", path)
			if err == nil {
				_, err = sqlstore.New(other, sqlstore.SQLite)
				other.Close()
			}
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "put back copies of the same time") {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// TestWriteNoticesThatTheFileIsGone, without a look before it.
func TestWriteNoticesThatTheFileIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	store, err := sqlstore.New(sqlite(t, sqlstore.SQLiteDSN(path)), sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Add(t.Context(), "q", addition("a")); !errors.Is(err, sqlstore.ErrGone) {
		t.Errorf("Add: %v", err)
	}
}

// TestConnectionsThatDoNotStay: SQLite removes the WAL with the last connection,
// which is not to be taken for a loss.
func TestConnectionsThatDoNotStay(t *testing.T) {
	db := sqlite(t, sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "store.db")))
	db.SetMaxIdleConns(0)
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := store.Add(t.Context(), "q", addition(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if due, err := store.Due(t.Context(), "q", 0, 100); len(due) != i+1 || err != nil {
			t.Fatal(len(due), err)
		}
	}
}

// TestWALIsGivenBack: what a burst has left is given back when it is quiet.
func TestWALIsGivenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, sqlstore.SQLiteDSN(path))
	store, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithWindow(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	// A reader keeps SQLite from going back to the WAL's beginning.
	reader, err := sqlite(t, strings.Replace(sqlstore.SQLiteDSN(path), "&_txlock=immediate", "", 1)).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	var n int
	if err := reader.QueryRow(`SELECT count(*) FROM sentryflags_entries`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	var outcomes []queue.Outcome
	for i := range 30 {
		if _, err := store.Add(t.Context(), "q", queue.Addition{Items: []queue.Item{{ID: fmt.Sprint(i), Body: make([]byte, queue.MaxBody)}}}); err != nil {
			t.Fatal(err)
		}
	}
	due, err := store.Due(t.Context(), "q", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range due {
		outcomes = append(outcomes, queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done})
	}
	if err := store.Settle(t.Context(), "q", "me", outcomes...); err != nil {
		t.Fatal(err)
	}
	before := size()
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if before < 30<<20 {
		t.Fatalf("the WAL has %d bytes", before)
	}
	eventually(t, "all is swept", func() bool {
		if _, err := store.Sweep(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		left, err := store.List(t.Context(), "q", queue.Filter{Limit: 1})
		return err == nil && len(left) == 0
	})
	if _, err := store.Sweep(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if after := size(); after > 16<<20 {
		t.Errorf("the WAL has %d bytes, had %d", after, before)
	}
}

// TestIdleWritesNothing leaves an emitter alone when it has nothing to do.
func TestIdleWritesNothing(t *testing.T) {
	t.Parallel()
	quiet := 2 * time.Second
	if os.Getenv(fullEnv) == "full" {
		quiet = time.Minute
	}
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, sqlstore.SQLiteDSN(path))
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	sink := newSink(0)
	defer sink.Close()
	emitter := emitterOn(t, store, sink, 300*time.Millisecond)
	if err := emitter.Emit(t.Context(), crashChange(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lease is given back", func() bool {
		stats, err := store.Stats(t.Context(), testQueue, 0)
		return err == nil && sink.unique() == 1 && stats.Waiting == 0 && !stats.Held
	})
	look := func() (size int64, at time.Time) {
		t.Helper()
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size(), info.ModTime()
	}
	size, at := look()
	time.Sleep(quiet) // a real file
	if sizeNow, atNow := look(); sizeNow != size || !atNow.Equal(at) {
		t.Errorf("the WAL was written to: %d bytes at %v, then %d at %v", size, at, sizeNow, atNow)
	}
	emitter.end(t)
}

// TestDatabaseClosedUnderTheStore: the caller closes the *sql.DB first.
func TestDatabaseClosedUnderTheStore(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		if err := store.db.Close(); err != nil {
			t.Fatal(err)
		}
		_, add := store.Add(t.Context(), "q", addition("b"))
		_, note := store.Add(t.Context(), "q", queue.Addition{Notes: []queue.Note{{Name: "note"}}})
		_, stats := store.Stats(t.Context(), "q", 0)
		_, due := store.Due(t.Context(), "q", 1, 1)
		settle := store.Settle(t.Context(), "q", "me", queue.Outcome{ID: "a", Seq: 1, State: queue.Done})
		for call, err := range map[string]error{"Add": add, "Add of a note": note, "Stats": stats, "Due": due, "Settle": settle} {
			if !errors.Is(err, queue.ErrClosed) {
				t.Errorf("%s: %v", call, err)
			}
		}
	})
}

// TestClockAdjusted: a clock that goes back by a little, as clocks do, ends no
// lease and no hold, nor do statements that run at the same time and have read it
// in another order.
func TestClockAdjusted(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		defer store.Close()
		held := addition("held")
		held.Owner, held.Hold = "me", time.Hour
		if _, err := store.Add(t.Context(), "q", held); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Lease(t.Context(), "q", "me", time.Hour); err != nil {
			t.Fatal(err)
		}
		store.shift(t, -400*time.Millisecond)
		if wait, err := store.Lease(t.Context(), "q", "you", time.Hour); wait <= 0 || wait > time.Hour || err != nil {
			t.Errorf("Lease: %v, %v", wait, err)
		}
		if due, err := store.Due(t.Context(), "q", 0, 1); len(due) != 0 || err != nil {
			t.Errorf("Due: %v, %v", due, err)
		}
	})
}
