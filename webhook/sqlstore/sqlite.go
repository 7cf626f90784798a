package sqlstore

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

//go:embed schema/sqlite.sql
var sqliteSchema string

// The settings that a connection needs, for modernc.org/sqlite and other drivers
// that take a PRAGMA, and for mattn/go-sqlite3. Each ignores the other's.
const (
	pragmaOptions = "_pragma=busy_timeout(3000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=journal_size_limit(16777216)&_txlock=immediate"
	mattnOptions  = "_busy_timeout=3000&_journal_mode=WAL&_synchronous=FULL"
)

// SQLiteDSN returns the data source name under which a driver opens the file as
// [New] wants it: in WAL mode, on the disk when a commit returns, waiting 3
// seconds for another writer, transactions writing from their beginning, and a
// WAL that gives back what it holds beyond 16 MiB. It is understood by
// modernc.org/sqlite and by mattn/go-sqlite3. [OpenSQLite] opens it.
//
// Keep the file on a local disk; a network file system has no locks to rely on.
func SQLiteDSN(path string) string {
	name := (&url.URL{Path: path}).EscapedPath()
	if strings.HasPrefix(name, "/") {
		name = "//" + name // without a host, or that of //a/b would be a
	}
	return "file:" + name + "?" + pragmaOptions + "&" + mattnOptions
}

// OpenSQLite opens a file, or makes it, as [SQLiteDSN] says, with the driver of
// the caller: "sqlite" for modernc.org/sqlite, "sqlite3" for mattn/go-sqlite3.
// It is [sql.Open] with an error, [ErrUnsuitable], that names the path and what
// is wrong with it.
func OpenSQLite(driver, path string) (*sql.DB, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("%w: the path %q names no file", ErrUnsuitable, path)
	}
	// SQLite would wait for the other end of a pipe.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, fmt.Errorf("%w: the SQLite file %s is a pipe, a device or a socket (%v)", ErrUnsuitable, path, info.Mode())
	}
	db, err := sql.Open(driver, SQLiteDSN(path))
	if err != nil {
		return nil, fmt.Errorf("webhook/sqlstore: open the SQLite file: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	began := time.Now()
	for {
		var n int
		err = db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&n)
		if err == nil {
			return db, nil
		}
		if !errors.Is(causeOf(err), ErrBusy) || time.Since(began) > busyPatience {
			return nil, errors.Join(explainFile(path, err), db.Close())
		}
		time.Sleep(busyPause)
	}
}

// explainFile says what is wrong with a file that SQLite cannot open or write.
func explainFile(path string, err error) error {
	var why string
	switch code := sqliteCode(err); {
	case code == sqliteMoved:
		return fmt.Errorf("%w: %s: %w", ErrGone, path, err)
	case code&0xff == sqliteReadOnly, code&0xff == sqliteCantOpen:
		why = fileProblem(path)
	case code&0xff == sqliteIOError, code&0xff == sqliteCorrupt, code&0xff == sqliteNotADB:
		return fmt.Errorf("webhook/sqlstore: the SQLite file %s: %s: %w", path, damaged, err)
	default:
		return fmt.Errorf("webhook/sqlstore: open the SQLite file %s: %w", path, err)
	}
	return fmt.Errorf("%w: the SQLite file %s: %s: %w", ErrUnsuitable, path, why, err)
}

// damaged is what is wrong with a file that cannot be read, or makes no sense.
const damaged = "it, or -wal or -shm beside it, cannot be read or is damaged: the disk fails, or they were deleted, cut off, mixed or copied while they were in use; if this lasts, end the processes that have it open and put back copies of the same time"

// filesBeside is what SQLite keeps beside a file while it is open.
var filesBeside = []string{"-wal", "-shm"}

// fileProblem looks at a file without opening it: to close it again would drop
// the locks that SQLite has on it in this process.
func fileProblem(path string) string {
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("the folder %s does not exist", folder)
	case err != nil:
		return fmt.Sprintf("the folder %s cannot be looked at", folder)
	case !info.IsDir():
		return fmt.Sprintf("%s is not a folder", folder)
	}
	info, err = os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return "it is a folder"
	case err == nil && !writable(path):
		return "this process may not write to it"
	case !writable(folder):
		return fmt.Sprintf("this process may not write to the folder %s, where SQLite keeps files beside it", folder)
	}
	return "it cannot be written to: is it opened with mode=ro, or on a disk that is mounted read-only?"
}

const sqliteNow = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

// sqliteFile is the file of an SQLite store.
type sqliteFile struct {
	path   string
	info   os.FileInfo // nil if it could not be looked at
	beside []string    // of filesBeside those that were there at the start
	gone   atomic.Pointer[string]
}

func newSQLite(prefix string) *engine {
	file := &sqliteFile{}
	return &engine{
		words: strings.NewReplacer(
			"{p}", prefix,
			"{bytes}", "BLOB",
			"{now}", sqliteNow,
			"{clock}", sqliteNow,
			"{slack}", slack,
			"{by:order}", "INDEXED BY "+prefix+"entries_order",
			"{by:key}", "INDEXED BY "+prefix+"entries_key",
			"{by:settled}", "INDEXED BY "+prefix+"entries_settled",
			"{by:id}", "", // which has the one index without a name
			"{replan}", "true",
			"$", "?",
		),
		schema: sqliteSchema,
		exists: `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '{p}schema'`,
		// Neither opening a file that may only be read nor beginning a transaction
		// on it fails: a statement has to write, if nothing.
		write:  `DELETE FROM {p}leases WHERE 1 = 0`,
		begin:  []string{`BEGIN IMMEDIATE`},
		check:  file.check,
		verify: file.verify,
		failed: file.explain,
		tidy:   file.shrinkWAL,
	}
}

const (
	// sqliteProbes is how many connections the check looks at, at most.
	sqliteProbes = 3
	// The bounds of how long, in milliseconds, a connection waits for another
	// writer: long enough to get a turn, and shorter than a lease.
	minBusyTimeout = 1000
	maxBusyTimeout = 5000
)

func (f *sqliteFile) check(ctx context.Context, db *sql.DB) error {
	if err := f.checkKind(ctx, db); err != nil {
		return err
	}
	stats, probes := db.Stats(), sqliteProbes
	if most := stats.MaxOpenConnections; most > 0 {
		probes = max(1, min(probes, most-stats.InUse))
	}
	var conns []*sql.Conn
	defer func() {
		for _, conn := range conns {
			giveBack(conn)
		}
	}()
	for range probes {
		conn, err := db.Conn(ctx)
		if err != nil {
			return explain(ctx, "open the SQLite file", f.explain(ctx, db, err))
		}
		conns = append(conns, conn)
		if err := f.checkConn(ctx, conn); err != nil {
			return err
		}
	}
	for _, beside := range filesBeside {
		if !notThere(f.path + beside) { // PRAGMA locking_mode=EXCLUSIVE has no -shm
			f.beside = append(f.beside, beside)
		}
	}
	return nil
}

// checkKind makes sure that this is an SQLite file, recent enough.
func (f *sqliteFile) checkKind(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		switch code := sqliteCode(err) & 0xff; {
		case errors.Is(causeOf(err), ErrBusy):
			return explain(ctx, "open the SQLite file", err)
		case code == sqliteReadOnly, code == sqliteCantOpen:
			return fmt.Errorf("%w: the SQLite file cannot be opened or written to (does its folder exist, and may this process write to both?); OpenSQLite says which file: %w", ErrUnsuitable, err)
		}
		return fmt.Errorf("%w: it does not answer as an SQLite database: %w", ErrUnsuitable, err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < 3 || major == 3 && minor < 35 {
		return fmt.Errorf("%w: SQLite is %.20q, 3.35 or later is needed", ErrUnsuitable, version)
	}
	var number int
	var name string
	if err := db.QueryRowContext(ctx, `PRAGMA database_list`).Scan(&number, &name, &f.path); err != nil {
		return explain(ctx, "ask for the SQLite file", err)
	}
	if f.path == "" {
		return fmt.Errorf("%w: the SQLite database is in memory and would not outlive the process; use a file, or queue.Memory", ErrUnsuitable)
	}
	if info, err := os.Stat(f.path); err == nil {
		f.info = info
	}
	return nil
}

func (f *sqliteFile) checkConn(ctx context.Context, conn *sql.Conn) error {
	for _, setting := range []struct {
		pragma string
		good   func(string) bool
		want   string
	}{
		{"journal_mode", func(v string) bool { return strings.EqualFold(v, "wal") }, "wal"},
		{"synchronous", func(v string) bool { return v == "2" || v == "3" }, "2 (FULL), so that a commit is on the disk when it returns"},
		{"busy_timeout", func(v string) bool { return within(v, minBusyTimeout, maxBusyTimeout) }, "1000 to 5000 milliseconds"},
	} {
		var value string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+setting.pragma).Scan(&value); err != nil {
			return explain(ctx, "read PRAGMA "+setting.pragma, err)
		}
		if !setting.good(value) {
			return fmt.Errorf("%w: the SQLite file %s: PRAGMA %s is %s and has to be %s; the settings belong in the DSN, so that every connection has them (see SQLiteDSN): %s with modernc.org/sqlite, %s with mattn/go-sqlite3",
				ErrUnsuitable, f.path, setting.pragma, value, setting.want, pragmaOptions, mattnOptions)
		}
	}
	return nil
}

func within(text string, least, most int) bool {
	var n int
	_, err := fmt.Sscan(text, &n)
	return err == nil && n >= least && n <= most
}

// explain adds the path to a failure that has to do with the file.
func (f *sqliteFile) explain(_ context.Context, _ *sql.DB, err error) error {
	switch code := sqliteCode(err); {
	case code == sqliteMoved:
		f.gone.Store(&f.path)
		return explainFile(f.path, err)
	case code&0xff == sqliteReadOnly, code&0xff == sqliteCantOpen, code&0xff == sqliteIOError, code&0xff == sqliteCorrupt, code&0xff == sqliteNotADB:
		return explainFile(f.path, err)
	}
	return err
}

// verify notices that the file, or what SQLite keeps beside it, was deleted, or the
// file replaced: SQLite goes on with what it has open, which nobody else will ever
// see, or writes past others who take other locks.
func (f *sqliteFile) verify(ctx context.Context, db *sql.DB) error {
	if f.info == nil {
		return nil
	}
	if f.gone.Load() == nil {
		info, err := os.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, f.info) {
			f.gone.Store(&f.path)
		} else if lost := f.lost(); lost != "" {
			if lost = f.lostWhileOpen(ctx, db); lost != "" {
				f.gone.Store(&lost)
			}
		}
	}
	if gone := f.gone.Load(); gone != nil {
		return fmt.Errorf("%w: %s", ErrGone, *gone)
	}
	return nil
}

// lost is the file beside this one that is not there any more, or empty.
func (f *sqliteFile) lost() string {
	for _, beside := range f.beside {
		if notThere(f.path + beside) {
			return f.path + beside
		}
	}
	return ""
}

func notThere(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// lostWhileOpen looks again while a connection has the files open: SQLite itself
// removes them when the last one closes.
func (f *sqliteFile) lostWhileOpen(ctx context.Context, db *sql.DB) string {
	conn, err := db.Conn(ctx)
	if err != nil {
		return ""
	}
	defer giveBack(conn)
	var n int
	if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&n); err != nil {
		return ""
	}
	return f.lost()
}

// largeWAL is the size in bytes from which on a WAL is given back.
const largeWAL = 16 << 20

// shrinkWAL gives back what a burst has left in the WAL. Somebody who reads
// meanwhile keeps it from doing so, until the next time.
func (f *sqliteFile) shrinkWAL(ctx context.Context, db *sql.DB) error {
	info, err := os.Stat(f.path + "-wal")
	if err != nil || info.Size() <= largeWAL {
		return nil
	}
	var busy, pages, moved int
	return db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
}
