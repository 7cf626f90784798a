package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"
)

// SQLiteDSN returns the data source name under which driver modernc.org/sqlite
// opens the file as [New] wants it: sql.Open("sqlite", sqlstore.SQLiteDSN(path)).
// Keep the file on a local disk; a network file system has no locks to rely on.
//
// With github.com/mattn/go-sqlite3 the same is
// file:<path>?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate.
func SQLiteDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + modernOptions
}

const (
	modernOptions = "_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate"
	mattnOptions  = "_busy_timeout=10000&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate"
)

// sqliteProbes is how many connections the check opens at once.
const sqliteProbes = 3

// minBusyTimeout is, in milliseconds, how long a connection has to be ready to
// wait for another writer.
const minBusyTimeout = 1000

type sqliteEngine struct {
	prefix string
	words  *strings.Replacer
	file   string // set by check
}

func (e *sqliteEngine) sql(statement string) string { return e.words.Replace(statement) }

// migrationLock has nothing to do: check made sure that a transaction is a
// write transaction from its beginning.
func (e *sqliteEngine) migrationLock(context.Context, *sql.Tx) error { return nil }

// state is 0 for waiting, 1 for dead, 2 for done, as webhook.ItemState counts.
// seq is the order of the queue, for dead items that of their death.
// changed_at is when the item got into its state, in microseconds since 1970.
func (e *sqliteEngine) migrations() [][]string {
	return [][]string{{
		`CREATE TABLE {p}items (
			seq INTEGER PRIMARY KEY,
			queue TEXT NOT NULL,
			id TEXT NOT NULL,
			ord_key TEXT NOT NULL,
			body BLOB NOT NULL,
			state INTEGER NOT NULL DEFAULT 0,
			changed_at INTEGER NOT NULL,
			reason TEXT NOT NULL DEFAULT '',
			UNIQUE (queue, id))`,
		`CREATE INDEX {p}items_waiting ON {p}items (queue, seq) WHERE state = 0`,
		`CREATE INDEX {p}items_dead ON {p}items (queue, seq) WHERE state = 1`,
		`CREATE INDEX {p}items_done ON {p}items (changed_at) WHERE state = 2`,
		`CREATE TABLE {p}turns (queue TEXT PRIMARY KEY, epoch INTEGER NOT NULL)`,
	}}
}

func (e *sqliteEngine) check(ctx context.Context, db *sql.DB) error {
	if err := e.checkKind(ctx, db); err != nil {
		return err
	}
	// One connection more than the caller allows, for as long as this takes.
	if most := db.Stats().MaxOpenConnections; most > 0 && most < sqliteProbes {
		db.SetMaxOpenConns(sqliteProbes)
		defer db.SetMaxOpenConns(most)
	}
	var conns []*sql.Conn
	// They are discarded, so that none of this remains on a pooled connection.
	defer func() {
		for _, conn := range conns {
			discard(conn)
		}
	}()
	for range sqliteProbes {
		conn, err := db.Conn(ctx)
		if err != nil {
			return explain(ctx, "open the SQLite file", err)
		}
		conns = append(conns, conn)
		if err := e.checkConn(ctx, conn); err != nil {
			return err
		}
	}
	return e.checkImmediate(ctx, conns[0], conns[1])
}

// checkKind makes sure that this is an SQLite file, recent enough.
func (e *sqliteEngine) checkKind(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		err = explain(ctx, "ask for the version of SQLite", err)
		if errors.Is(err, ErrBusy) {
			return err
		}
		return fmt.Errorf("%w: it does not answer as an SQLite database: %w", ErrUnsuitable, err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < 3 || major == 3 && minor < 35 {
		return fmt.Errorf("%w: SQLite is %.20q, 3.35 or later is needed", ErrUnsuitable, version)
	}
	var number int
	var name string
	if err := db.QueryRowContext(ctx, `PRAGMA database_list`).Scan(&number, &name, &e.file); err != nil {
		return explain(ctx, "ask for the SQLite file", err)
	}
	if e.file == "" {
		return fmt.Errorf("%w: the SQLite database is in memory and would not outlive the process; use a file, or webhook.MemoryStore", ErrUnsuitable)
	}
	return nil
}

func (e *sqliteEngine) checkConn(ctx context.Context, conn *sql.Conn) error {
	for _, setting := range []struct {
		pragma string
		good   func(string) bool
		want   string
	}{
		{"journal_mode", func(v string) bool { return strings.EqualFold(v, "wal") }, "wal"},
		{"synchronous", func(v string) bool { return v == "2" || v == "3" }, "2 (FULL), so that a commit is on the disk when it returns"},
		{"busy_timeout", func(v string) bool { return atLeast(v, minBusyTimeout) }, "at least 1000 milliseconds"},
	} {
		var value string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+setting.pragma).Scan(&value); err != nil {
			return explain(ctx, "read PRAGMA "+setting.pragma, err)
		}
		if !setting.good(value) {
			return e.unsuitable(fmt.Sprintf("PRAGMA %s is %s and has to be %s", setting.pragma, value, setting.want))
		}
	}
	return nil
}

// checkImmediate makes sure that a transaction of database/sql takes the write
// lock when it begins. One that takes it at its first write fails if another
// has written since its first read, whatever the busy time-out.
func (e *sqliteEngine) checkImmediate(ctx context.Context, one, other *sql.Conn) error {
	// While one connection has the lock for sure, whoever else writes, a
	// transaction of the other must not begin.
	if _, err := one.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return explain(ctx, "begin a transaction", err)
	}
	err := e.beginsBeside(ctx, other)
	_, rollbackErr := one.ExecContext(ctx, `ROLLBACK`)
	return errors.Join(err, explain(ctx, "end a transaction", rollbackErr))
}

func (e *sqliteEngine) beginsBeside(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, `PRAGMA busy_timeout = 0`); err != nil {
		return explain(ctx, "set PRAGMA busy_timeout", err)
	}
	tx, err := conn.BeginTx(ctx, nil)
	switch {
	case err == nil:
		return errors.Join(e.unsuitable("a transaction does not take the write lock when it begins"), tx.Rollback())
	case sqliteCode(err) != 5:
		return explain(ctx, "begin a second transaction", err)
	}
	return nil
}

func (e *sqliteEngine) unsuitable(what string) error {
	return fmt.Errorf("%w: %s; the settings belong in the DSN, so that every connection has them: file:<path>?%s with modernc.org/sqlite (see SQLiteDSN), file:<path>?%s with mattn/go-sqlite3",
		ErrUnsuitable, what, modernOptions, mattnOptions)
}

func atLeast(text string, least int) bool {
	var n int
	_, err := fmt.Sscan(text, &n)
	return err == nil && n >= least
}

// discard closes a connection instead of returning it to the pool.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close() // closed already, by that
}

// lockInterval is how often a taker that waits tries again.
const lockInterval = 50 * time.Millisecond

// lock waits for the lock of a file beside the database. The operating system
// ends it with the process that has it, at once.
func (e *sqliteEngine) lock(ctx context.Context, s *Store, queue string) (queueLock, error) {
	path := fmt.Sprintf("%s-turn-%s", e.file, shortHash(e.prefix, queue))
	ticker := time.NewTicker(lockInterval)
	defer ticker.Stop()
	for {
		file, err := lockFile(path, e.mode())
		if err == nil {
			return &sqliteLock{db: s.db, file: file}, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ticker.C:
		case <-s.closed:
			return nil, errClosedWaiting
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mode is that of the database, as SQLite gives it to its own files beside it:
// who may write to the one may take turns.
func (e *sqliteEngine) mode() fs.FileMode {
	info, err := os.Stat(e.file)
	if err != nil {
		return 0o600
	}
	return info.Mode().Perm()
}

type sqliteLock struct {
	db   *sql.DB
	file lockedFile
}

func (l *sqliteLock) session() session { return l.db }

// lost is never true: the lock is the process's own.
func (l *sqliteLock) lost() bool { return false }

func (l *sqliteLock) unlock() error { return l.file.Close() }
