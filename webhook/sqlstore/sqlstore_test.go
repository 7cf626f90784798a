package sqlstore_test

import (
	"database/sql"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/queue/queuetest"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func TestMain(m *testing.M) {
	if code, isChild := runCrashChild(); isChild {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		stopOwnServer()
		os.Exit(code)
	}))
}

// postgresEnv names the environment variable with the DSN of a PostgreSQL to
// test on.
const postgresEnv = "SENTRYFLAGS_TEST_POSTGRES"

// database opens the database of an engine for a directory.
func database(tb testing.TB, dialect sqlstore.Dialect, dir string) *sql.DB {
	tb.Helper()
	driver, dsn := "sqlite", sqlstore.SQLiteDSN(filepath.Join(dir, "store.db"))
	if dialect == sqlstore.PostgreSQL {
		driver, dsn = "pgx", postgresDSN(tb)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func postgresDSN(tb testing.TB) string {
	tb.Helper()
	dsn := os.Getenv(postgresEnv)
	if dsn == "" {
		tb.Skip(postgresEnv + " is not set")
	}
	return dsn
}

// prefixOf returns the table prefix for a directory.
func prefixOf(dir string) string {
	h := fnv.New64a()
	h.Write([]byte(dir))
	return fmt.Sprintf("t%016x_", h.Sum64())
}

// testStore opens a store of its own on a database of its own.
type testStore struct {
	*sqlstore.Store
	db     *sql.DB
	prefix string
}

func (s *testStore) Close() error {
	if err := s.Store.Close(); err != nil {
		return err
	}
	return s.db.Close()
}

func open(tb testing.TB, dialect sqlstore.Dialect, dir string, options ...sqlstore.Option) *testStore {
	tb.Helper()
	db := database(tb, dialect, dir)
	prefix := "sentryflags_"
	if dialect == sqlstore.PostgreSQL {
		prefix = prefixOf(dir)
		options = append(options, sqlstore.WithTablePrefix(prefix))
		dropAfter(tb, prefix)
	}
	store, err := sqlstore.New(db, dialect, options...)
	if err != nil {
		db.Close()
		tb.Fatal(err)
	}
	return &testStore{Store: store, db: db, prefix: prefix}
}

// dropAfter removes a test's tables when the test is over.
func dropAfter(tb testing.TB, prefix string) {
	if os.Getenv("QUEUETEST_CHILD_ROLE") != "" {
		return // they are the parent's
	}
	tb.Cleanup(func() {
		db, err := sql.Open("pgx", os.Getenv(postgresEnv))
		if err != nil {
			tb.Error(err)
			return
		}
		defer db.Close()
		for _, statement := range []string{
			"DROP TABLE IF EXISTS " + prefix + "entries, " + prefix + "leases, " + prefix + "notes, " + prefix + "schema",
		} {
			if _, err := db.Exec(statement); err != nil {
				tb.Error(err)
			}
		}
	})
}

// onEach runs a test on every engine there is.
func onEach(t *testing.T, test func(t *testing.T, dialect sqlstore.Dialect)) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL} {
		t.Run(dialect.String(), func(t *testing.T) {
			if dialect == sqlstore.PostgreSQL {
				postgresDSN(t)
			}
			test(t, dialect)
		})
	}
}

func TestStore(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		queuetest.Run(t, queuetest.Config{
			Open: func(t testing.TB, options queuetest.Options) queue.Store {
				return open(t, dialect, options.Dir, sqlstore.WithWindow(options.Window))
			},
			Close:   func(store queue.Store) error { return store.(*testStore).Close() },
			Shift:   func(t testing.TB, store queue.Store, by time.Duration) { store.(*testStore).shift(t, by) },
			Durable: true,
			Shared:  true,
		})
	})
}

// shift moves the store's clock, by moving all that it has written the other way.
func (s *testStore) shift(tb testing.TB, by time.Duration) {
	tb.Helper()
	micros := by.Microseconds()
	for _, statement := range []string{
		fmt.Sprintf("UPDATE %sentries SET added_at = added_at - %d, since = since - %d, due = due - %d", s.prefix, micros, micros, micros),
		fmt.Sprintf("UPDATE %sleases SET ends_at = ends_at - %d, rests_until = rests_until - %d", s.prefix, micros, micros),
	} {
		if _, err := s.db.Exec(statement); err != nil {
			tb.Fatal(err)
		}
	}
}
