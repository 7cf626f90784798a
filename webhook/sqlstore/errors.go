package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// What the store refuses with, besides the errors of package queue.
var (
	// ErrUnsuitable means that [New] was given a database, a setting or an
	// option with which the store could lose what it accepts. The error says
	// what to change.
	ErrUnsuitable = errors.New("webhook/sqlstore: not usable")

	// ErrBusy means that another connection kept the SQLite file locked for
	// longer than the busy time-out, so that nothing was changed. Try again; if
	// it happens often, look for a long write transaction.
	ErrBusy = errors.New("webhook/sqlstore: the SQLite file is locked by another writer; nothing was changed")

	// ErrGone means that the SQLite file was deleted, moved or replaced while it
	// was open, or -wal or -shm beside it: what is written now is not in the file
	// that others will open, or is written past their locks.
	// End the process first; then put the file back with those beside it, -wal and
	// -shm, and start it again. In the other order the process that ends removes
	// what another has begun to write. The error names the file that is gone.
	ErrGone = errors.New("webhook/sqlstore: the SQLite file was deleted or replaced while it was open; nothing more is kept; end the process, put the file back and start again")
)

var errNilContext = errors.New("webhook/sqlstore: the context is nil; pass context.Background() if there is none")

// What adds items, and so is refused for want of room.
const (
	doingAdd   = "add"
	doingAddTx = "enqueue in a transaction"
)

// ours are the errors that say all there is to say.
var ours = []error{ErrUnsuitable, ErrGone, queue.ErrInvalid, queue.ErrNoteChanged}

// explain wraps what a database says in the error that tells callers what to
// do.
func explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	for _, known := range ours {
		if errors.Is(err, known) {
			return err
		}
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	switch cause := causeOf(err); {
	case cause == nil || errors.Is(err, cause):
	case !errors.Is(cause, queue.ErrFull):
		return fmt.Errorf("%w: %s: %w", cause, doing, err)
	case doing == doingAdd, doing == doingAddTx:
		return fmt.Errorf("%w: there is no room on the disk: %w", cause, err)
	default:
		return fmt.Errorf("webhook/sqlstore: %s: there is no room on the disk; make some, and it goes on by itself: %w", doing, err)
	}
	return fmt.Errorf("webhook/sqlstore: %s: %w", doing, err)
}

// causeOf recognises the failures that callers handle. No driver is known here:
// what the common ones have in common has to do.
func causeOf(err error) error {
	// database/sql does not export this one.
	if strings.HasSuffix(err.Error(), "sql: database is closed") {
		return queue.ErrClosed
	}
	switch sqliteCode(err) & 0xff {
	case sqliteBusy, sqliteLocked:
		return ErrBusy
	case sqliteFull:
		return queue.ErrFull
	}
	if sqlState(err) == "53100" { // disk_full
		return queue.ErrFull
	}
	return nil
}

// The result codes of SQLite that matter here.
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteReadOnly = 8
	sqliteIOError  = 10
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
	// sqliteSnapshot is that a transaction which has read cannot write any more,
	// because another one has written since.
	sqliteSnapshot = 517
	// sqliteMoved is that the file is not where it was.
	sqliteMoved = 1032
)

// sqliteTexts are what mattn/go-sqlite3 says: it keeps the code in a field.
var sqliteTexts = map[string]int{
	"database is locked":                   sqliteBusy,
	"database table is locked":             sqliteLocked,
	"attempt to write a readonly database": sqliteReadOnly,
	"database or disk is full":             sqliteFull,
	"unable to open database file":         sqliteCantOpen,
	"disk I/O error":                       sqliteIOError,
	"database disk image is malformed":     sqliteCorrupt,
	"file is not a database":               sqliteNotADB,
}

// sqliteCode returns the result code of an SQLite driver's error, the extended
// one where it says it, or 0.
func sqliteCode(err error) int {
	if coded, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return coded.Code()
	}
	text := err.Error()
	for part, code := range sqliteTexts {
		if strings.Contains(text, part) {
			return code
		}
	}
	return 0
}

// sqlState returns the SQLSTATE of a PostgreSQL driver's error, or "".
func sqlState(err error) string {
	if stated, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return stated.SQLState()
	}
	return ""
}

// aborted reports whether PostgreSQL gave up a transaction to let others go on,
// so that the same one may succeed when it is run again.
func aborted(err error) bool {
	if err == nil {
		return false
	}
	state := sqlState(err)
	return state == "40001" || state == "40P01" // serialization_failure, deadlock_detected
}
