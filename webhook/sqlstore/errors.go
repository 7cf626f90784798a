package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// What the store refuses with, besides the errors of package webhook.
var (
	// ErrUnsuitable means that [New] was given a database, a setting or an
	// option with which the store could lose what it accepts. The error says
	// what to change.
	ErrUnsuitable = errors.New("webhook/sqlstore: not usable")

	// ErrBusy means that another connection kept the SQLite file locked for
	// longer than its busy time-out, so that nothing was changed. Try again;
	// if it happens often, look for a long write transaction, or raise
	// busy_timeout in the DSN.
	ErrBusy = errors.New("webhook/sqlstore: the SQLite file is locked by another writer; nothing was changed")
)

var errNilContext = errors.New("webhook/sqlstore: the context is nil; pass context.Background() if there is none")

// explain wraps what a database says in the error that tells callers what to
// do.
func explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	if cause := causeOf(err); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %s: %w", cause, doing, err)
	}
	return fmt.Errorf("webhook/sqlstore: %s: %w", doing, err)
}

// causeOf recognises the failures that callers handle. No driver is known here:
// what the common ones have in common has to do.
func causeOf(err error) error {
	// database/sql does not export this one.
	if strings.HasSuffix(err.Error(), "sql: database is closed") {
		return webhook.ErrStoreClosed
	}
	switch sqliteCode(err) {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return ErrBusy
	case 13: // SQLITE_FULL
		return webhook.ErrStoreFull
	}
	switch sqlState(err) {
	case "53100": // disk_full
		return webhook.ErrStoreFull
	}
	return nil
}

// sqliteCode returns the primary result code of an SQLite driver's error, or 0.
func sqliteCode(err error) int {
	if coded, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return coded.Code() & 0xff
	}
	// mattn/go-sqlite3 keeps its code in a field.
	switch text := err.Error(); {
	case strings.HasSuffix(text, "database is locked"), strings.HasSuffix(text, "database table is locked"):
		return 5
	case strings.HasSuffix(text, "database or disk is full"):
		return 13
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
	state := sqlState(err)
	return state == "40001" || state == "40P01" // serialization_failure, deadlock_detected
}
