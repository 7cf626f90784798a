package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Dialect is the database that a [Store] is kept in.
type Dialect int

const (
	// SQLite is a file on a local disk, version 3.35 or later. Several
	// processes of one machine may share it.
	SQLite Dialect = iota + 1
	// PostgreSQL is a server, version 12 or later, that any number of machines
	// may share. It has to be reached directly or through a proxy that pools
	// sessions: with transaction pooling the turn on a queue, which is a lock
	// of the session, does not hold.
	PostgreSQL
)

// String returns the database's name.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case PostgreSQL:
		return "PostgreSQL"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// engine is what differs between the databases.
type engine interface {
	// check refuses a database whose settings would lose what was accepted.
	check(ctx context.Context, db *sql.DB) error
	// migrations are the steps from one version of the schema to the next.
	migrations() [][]string
	// migrationLock keeps another process from migrating until tx ends.
	migrationLock(ctx context.Context, tx *sql.Tx) error
	// sql completes a statement: {p} is the prefix of the tables, {now} the
	// time in microseconds, {next} the next place at the end of a queue,
	// {share} what keeps a row that was read as it is.
	sql(statement string) string
	// lock waits for the exclusive right to take from the queue.
	lock(ctx context.Context, s *Store, queue string) (queueLock, error)
}

// queueLock is the exclusive right to take from a queue. It ends with the
// process, however that ends.
type queueLock interface {
	// session is where to read and write while the lock is held.
	session() session
	// lost reports whether the lock may be gone, after a failure.
	lost() bool
	// unlock gives it up. It is called once.
	unlock() error
}

// session is the part of [*sql.DB] and [*sql.Conn] that is needed here.
type session interface {
	BeginTx(ctx context.Context, options *sql.TxOptions) (*sql.Tx, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (d Dialect) engine(prefix string) (engine, error) {
	switch d {
	case SQLite:
		return &sqliteEngine{prefix: prefix, words: strings.NewReplacer(
			"{p}", prefix,
			"{now}", "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000",
			"{next}", "(SELECT coalesce(max(seq), 0) + 1 FROM "+prefix+"items)",
			"{share}", "",
			"$", "?",
		)}, nil
	case PostgreSQL:
		return &postgresEngine{prefix: prefix, words: strings.NewReplacer(
			"{p}", prefix,
			"{now}", "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)",
			"{next}", "nextval('"+prefix+"seq')",
			"{share}", " FOR SHARE",
		)}, nil
	}
	return nil, fmt.Errorf("%w: %v is neither sqlstore.SQLite nor sqlstore.PostgreSQL", ErrUnsuitable, d)
}
