package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func postgres(t *testing.T, settings string) *sql.DB {
	t.Helper()
	dsn := postgresDSN(t)
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	db, err := sql.Open("pgx", dsn+separator+settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNewRefusesAnUnsafePostgreSQL(t *testing.T) {
	for settings, want := range map[string]string{
		"synchronous_commit=off":      "synchronous_commit",
		"search_path=no_such_schema0": "search_path",
	} {
		if _, err := sqlstore.New(postgres(t, settings), sqlstore.PostgreSQL); !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
	if _, err := sqlstore.New(postgres(t, ""), sqlstore.SQLite); !errors.Is(err, sqlstore.ErrUnsuitable) {
		t.Errorf("PostgreSQL taken for SQLite: %v", err)
	}
}

// TestNewAtOnceUnderStricterIsolation: a default of the database must not hide
// from one process what the other has just made.
func TestNewAtOnceUnderStricterIsolation(t *testing.T) {
	for _, level := range []string{"repeatable%20read", "serializable"} {
		prefix := prefixOf(t.TempDir())
		db := postgres(t, "default_transaction_isolation="+level)
		dropAfter(t, prefix)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTablePrefix(prefix))
				if err != nil {
					t.Errorf("%s: %v", level, err)
					return
				}
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func TestTurnNeedsARoomyPool(t *testing.T) {
	store := open(t, sqlstore.PostgreSQL, t.TempDir())
	defer store.Close()
	store.db.SetMaxOpenConns(1)
	if _, err := store.Turn(t.Context(), "q"); !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), "SetMaxOpenConns") {
		t.Errorf("a pool of one: %v", err)
	}
	store.db.SetMaxOpenConns(2)
	turn, err := store.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Release()
	if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "a"}); err != nil {
		t.Error(err)
	}
}

// TestSessionsEnd ends every session of a store's user in the middle, as a
// restart of the server does. The turn is lost, nothing else.
func TestSessionsEnd(t *testing.T) {
	dir := t.TempDir()
	name := "sentryflags-" + prefixOf(dir)
	db := postgres(t, "application_name="+name)
	dropAfter(t, prefixOf(dir))
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTablePrefix(prefixOf(dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	turn, err := store.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	endSessions(t, name)
	if _, err := turn.Take(t.Context(), 1); !errors.Is(err, webhook.ErrTurnLost) {
		t.Errorf("Take after the session's end: %v", err)
	}
	if err := turn.Settle(t.Context(), webhook.Outcome{ID: "a", State: webhook.StateDone}); !errors.Is(err, webhook.ErrTurnLost) {
		t.Errorf("Settle after the session's end: %v", err)
	}
	if err := turn.Release(); err != nil {
		t.Errorf("Release after the session's end: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	next, err := store.Turn(ctx, "q")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Release()
	if items, err := next.Take(t.Context(), 1); len(items) != 1 || err != nil {
		t.Errorf("after that: %v, %v", items, err)
	}
}

func endSessions(t *testing.T, application string) {
	t.Helper()
	admin := postgres(t, "")
	rows, err := admin.Query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, application)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	// They end when they notice.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var n int
		if err := admin.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, application).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(fmt.Errorf("%d sessions do not end", n))
		}
	}
}

// TestEmitterWhileSessionsEnd: an emitter goes through it, and delivers each
// change, in order, hardly any twice.
func TestEmitterWhileSessionsEnd(t *testing.T) {
	dir := t.TempDir()
	name := "sentryflags-" + prefixOf(dir)
	db := postgres(t, "application_name="+name)
	dropAfter(t, prefixOf(dir))
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTablePrefix(prefixOf(dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sink := newSink(time.Millisecond)
	defer sink.Close()
	emitter, err := childConfig{URL: sink.url()}.emitter(store)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	const n = 500
	for i := range n {
		for emitter.Emit(t.Context(), crashChange(i)) != nil { // its session may just have ended
		}
		if i%125 == 60 {
			endSessions(t, name)
		}
	}
	awaitUnique(t, sink, n, deadline)
	if err := emitter.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if sink.inversions > 0 || sink.repeats() > 4*crashBatch {
		t.Errorf("%d inversions, %d repeats", sink.inversions, sink.repeats())
	}
}
