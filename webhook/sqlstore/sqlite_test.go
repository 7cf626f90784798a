package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func sqlite(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNewRefusesAnUnsafeDSN(t *testing.T) {
	const safe = "_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate"
	for name, tc := range map[string]struct{ query, want string }{
		"nothing":           {"", "journal_mode"},
		"rollback journal":  {strings.Replace(safe, "wal", "delete", 1), "journal_mode"},
		"normal":            {strings.Replace(safe, "full", "normal", 1), "synchronous"},
		"off":               {strings.Replace(safe, "full", "off", 1), "synchronous"},
		"no time-out":       {strings.Replace(safe, "10000", "0", 1), "busy_timeout"},
		"a short time-out":  {strings.Replace(safe, "10000", "500", 1), "busy_timeout"},
		"deferred":          {strings.Replace(safe, "immediate", "deferred", 1), "write lock"},
		"deferred, unsaid":  {strings.Replace(safe, "&_txlock=immediate", "", 1), "write lock"},
		"safe":              {safe, ""},
		"extra":             {strings.Replace(safe, "full", "extra", 1), ""},
		"exclusive is fine": {strings.Replace(safe, "immediate", "exclusive", 1), ""},
	} {
		for _, most := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, at most %d connections", name, most), func(t *testing.T) {
				db := sqlite(t, "file:"+filepath.Join(t.TempDir(), "store.db")+"?"+tc.query)
				db.SetMaxOpenConns(most)
				store, err := sqlstore.New(db, sqlstore.SQLite)
				if tc.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "a"}); err != nil {
						t.Error(err)
					}
					if now := db.Stats().MaxOpenConnections; now != most {
						t.Errorf("the caller's limit of connections is now %d", now)
					}
					return
				}
				if !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "_txlock=immediate") {
					t.Errorf("got %v, want a refusal that names %q and the DSN", err, tc.want)
				}
			})
		}
	}
}

// TestNewRefusesASettingOfOneConnection: a PRAGMA reaches one pooled connection
// only, so that it proves nothing.
func TestNewRefusesASettingOfOneConnection(t *testing.T) {
	for _, most := range []int{0, 1} {
		db := sqlite(t, "file:"+filepath.Join(t.TempDir(), "store.db")+"?_pragma=busy_timeout(10000)&_pragma=synchronous(normal)&_txlock=immediate")
		db.SetMaxOpenConns(most)
		for _, pragma := range []string{"journal_mode=wal", "synchronous=full"} {
			if _, err := db.Exec("PRAGMA " + pragma); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := sqlstore.New(db, sqlstore.SQLite); !errors.Is(err, sqlstore.ErrUnsuitable) {
			t.Errorf("got %v", err)
		}
	}
}

// TestNewRefusesADeferredDSNBesideAnotherWriter: that writer's lock must not be
// taken for one of the transaction that is looked at.
func TestNewRefusesADeferredDSNBesideAnotherWriter(t *testing.T) {
	dir := t.TempDir()
	store := open(t, sqlstore.SQLite, dir)
	defer store.Close()
	tx, err := store.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	writer := time.AfterFunc(100*time.Millisecond, func() { _ = tx.Rollback() })
	defer writer.Stop()
	deferred := strings.Replace(sqlstore.SQLiteDSN(filepath.Join(dir, "store.db")), "&_txlock=immediate", "", 1)
	if _, err := sqlstore.New(sqlite(t, deferred), sqlstore.SQLite); !errors.Is(err, sqlstore.ErrUnsuitable) {
		t.Errorf("got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := sqlite(t, sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "store.db")))
	for name, tc := range map[string]struct {
		db      *sql.DB
		dialect sqlstore.Dialect
		option  sqlstore.Option
		want    string
	}{
		"no database":     {nil, sqlstore.SQLite, nil, "nil"},
		"no dialect":      {good, 0, nil, "Dialect(0)"},
		"prefix":          {good, sqlstore.SQLite, sqlstore.WithTablePrefix(`x"; DROP TABLE y`), "WithTablePrefix"},
		"no prefix":       {good, sqlstore.SQLite, sqlstore.WithTablePrefix(""), "WithTablePrefix"},
		"window":          {good, sqlstore.SQLite, sqlstore.WithDedupeWindow(0), "WithDedupeWindow"},
		"in memory":       {sqlite(t, ":memory:"), sqlstore.SQLite, nil, "memory"},
		"another dialect": {good, sqlstore.PostgreSQL, nil, "PostgreSQL"},
	} {
		_, err := sqlstore.New(tc.db, tc.dialect, tc.option)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want a refusal that names %q", name, err, tc.want)
		}
	}
	// A nil option is ignored.
	if _, err := sqlstore.New(good, sqlstore.SQLite, nil); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesTablesOfANewerVersion(t *testing.T) {
	dir := t.TempDir()
	store := open(t, sqlstore.SQLite, dir)
	defer store.Close()
	if _, err := store.db.Exec("INSERT INTO sentryflags_schema (version) VALUES (99)"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.New(store.db, sqlstore.SQLite); !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), "99") {
		t.Errorf("got %v", err)
	}
}

func TestSQLiteDSNEscapes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20?c#d&e=ü.db")
	if _, err := sqlstore.New(sqlite(t, sqlstore.SQLiteDSN(path)), sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestLockedFile has another program keep the write lock for too long.
func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, strings.Replace(sqlstore.SQLiteDSN(path), "10000", "1000", 1))
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	turn, err := store.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Release()
	if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "before"}); err != nil {
		t.Fatal(err)
	}
	other := sqlite(t, sqlstore.SQLiteDSN(path))
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, enqueue := store.Enqueue(t.Context(), "q", webhook.Item{ID: "meanwhile"})
	settle := turn.Settle(t.Context(), webhook.Outcome{ID: "before", State: webhook.StateDone})
	for call, err := range map[string]error{"Enqueue": enqueue, "Settle": settle} {
		if !errors.Is(err, sqlstore.ErrBusy) || errors.Is(err, webhook.ErrTurnLost) {
			t.Errorf("%s into a locked file: %v", call, err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if added, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "meanwhile"}); added != 1 || err != nil {
		t.Errorf("after the lock: %d, %v", added, err)
	}
	if items, err := turn.Take(t.Context(), 10); len(items) != 2 || err != nil {
		t.Errorf("waiting: %v, %v", items, err)
	}
}

// TestDiskFull lets the file grow to a limit. What was accepted is delivered,
// what was not is refused, and when there is room it goes on.
func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, sqlstore.SQLiteDSN(path)+"&_pragma=max_page_count(60)")
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for {
		_, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: fmt.Sprint(accepted), Body: make([]byte, 1000)})
		if errors.Is(err, webhook.ErrStoreFull) {
			break
		}
		if err != nil {
			t.Fatalf("a full disk: %v", err)
		}
		accepted++
	}
	if accepted < 50 {
		t.Errorf("only %d items were accepted", accepted)
	}
	turn, err := store.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Release()
	items, err := turn.Take(t.Context(), 1000)
	if err != nil || len(items) != accepted {
		t.Fatalf("%d items, %v; want the %d accepted", len(items), err, accepted)
	}
	var outcomes []webhook.Outcome
	for _, item := range items {
		outcomes = append(outcomes, webhook.Outcome{ID: item.ID, State: webhook.StateDone})
	}
	if err := turn.Settle(t.Context(), outcomes...); err != nil {
		t.Errorf("Settle on a full disk: %v", err)
	}
	if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "later", Body: make([]byte, 1000)}); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestDatabaseClosedUnderTheStore: the caller closes the *sql.DB first.
func TestDatabaseClosedUnderTheStore(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		store := open(t, dialect, t.TempDir())
		turn, err := store.Turn(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		if err := store.db.Close(); err != nil {
			t.Fatal(err)
		}
		_, enqueue := store.Enqueue(t.Context(), "q", webhook.Item{ID: "b"})
		_, stats := store.Stats(t.Context(), "q")
		for call, err := range map[string]error{"Enqueue": enqueue, "Stats": stats} {
			if !errors.Is(err, webhook.ErrStoreClosed) {
				t.Errorf("%s: %v", call, err)
			}
		}
		// With PostgreSQL the turn's own connection may still be there.
		err = turn.Settle(t.Context(), webhook.Outcome{ID: "a", State: webhook.StateDone})
		if err != nil && !errors.Is(err, webhook.ErrStoreClosed) && !errors.Is(err, webhook.ErrTurnLost) {
			t.Errorf("Settle: %v", err)
		}
		turn.Release()
		store.Store.Close()
	})
}

// TestClockJumps has the clock that SQLite reads set forward and back, by
// moving what it has written: neither delivery nor order depend on it.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-48 * time.Hour, 48 * time.Hour} {
		store := open(t, sqlstore.SQLite, t.TempDir())
		defer store.Close()
		turn, err := store.Turn(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		defer turn.Release()
		enqueue := func(id string) {
			if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		enqueue("a")
		if _, err := store.db.Exec("UPDATE sentryflags_items SET changed_at = changed_at + ?", jump.Microseconds()); err != nil {
			t.Fatal(err)
		}
		enqueue("b")
		stats, err := store.Stats(t.Context(), "q")
		if err != nil || stats.OldestWaiting.After(time.Now()) {
			t.Errorf("jump %v: stats %+v, %v", jump, stats, err)
		}
		items, err := turn.Take(t.Context(), 10)
		if err != nil || len(items) != 2 || items[0].ID != "a" {
			t.Errorf("jump %v: %v, %v", jump, items, err)
		}
	}
}

// TestTurnStolen removes the lock file, as a tidy administrator may: two takers
// then believe that they have the turn, and the epoch decides for the second.
func TestTurnStolen(t *testing.T) {
	dir := t.TempDir()
	first, second := open(t, sqlstore.SQLite, dir), open(t, sqlstore.SQLite, dir)
	defer first.Close()
	defer second.Close()
	if _, err := first.Enqueue(t.Context(), "q", webhook.Item{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	old, err := first.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Release()
	locks, err := filepath.Glob(filepath.Join(dir, "*-turn-*"))
	if err != nil || len(locks) != 1 {
		t.Fatalf("lock files: %v, %v", locks, err)
	}
	if err := os.Remove(locks[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	next, err := second.Turn(ctx, "q")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Release()
	if _, err := old.Take(t.Context(), 1); !errors.Is(err, webhook.ErrTurnLost) {
		t.Errorf("Take: %v", err)
	}
	if err := old.Settle(t.Context(), webhook.Outcome{ID: "a", State: webhook.StateDone}); !errors.Is(err, webhook.ErrTurnLost) {
		t.Errorf("Settle: %v", err)
	}
	if items, err := next.Take(t.Context(), 1); len(items) != 1 || err != nil {
		t.Errorf("the next taker: %v, %v", items, err)
	}
}

// TestTurnFileMode: who may write to the database may take turns.
func TestTurnFileMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const shared = 0o660 // beyond most umasks
	if err := os.Chmod(path, shared); err != nil {
		t.Fatal(err)
	}
	store := open(t, sqlstore.SQLite, dir)
	defer store.Close()
	turn, err := store.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Release()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != shared {
			t.Errorf("%s: %v, %v; want mode %o", filepath.Base(file), info.Mode(), err, shared)
		}
	}
}
