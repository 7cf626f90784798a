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
	// may share, directly or through a proxy that pools sessions or transactions.
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
type engine struct {
	// words complete a statement: {p} is the prefix of the tables, {now} the time
	// when the statement began and {clock} the time as it is, in microseconds,
	// {slack} is what clocks may differ by, {by:…} makes sure of an index, and
	// {replan} of a plan for the table as it is.
	words *strings.Replacer
	// schema makes the tables, under the default prefix.
	schema string
	// exists counts the table with the schema's version.
	exists string
	// write is a statement that changes nothing and fails where nothing may be
	// changed. Empty if that may be the case for a while only.
	write string
	// begin begins a transaction of our own, and creating, in it, keeps others
	// from creating the tables until it ends.
	begin, creating []string
	// check refuses a database whose settings would lose what was accepted.
	check func(ctx context.Context, db *sql.DB) error
	// underWay returns numbers of transactions: the oldest that is under way, and
	// the next that there will be. It is nil where commits are in the order of seq.
	underWay func(ctx context.Context, db *sql.DB) (oldest, next int64, err error)
	// verify is called after each call that has succeeded.
	verify func(ctx context.Context, db *sql.DB) error
	// failed is called after each one that has failed, and may say more about it.
	failed func(ctx context.Context, db *sql.DB, err error) error
	// tidy is called when there was nothing more to sweep.
	tidy func(ctx context.Context, db *sql.DB) error
}

func (d Dialect) engine(prefix string) (*engine, error) {
	switch d {
	case SQLite:
		return newSQLite(prefix), nil
	case PostgreSQL:
		return newPostgreSQL(prefix), nil
	}
	return nil, fmt.Errorf("%w: %v is neither sqlstore.SQLite nor sqlstore.PostgreSQL", ErrUnsuitable, d)
}

// slack is, in microseconds, how much later than it can a time may end before it
// counts as made by a clock that was set back since. Statements that run at the
// same time have read the clock in any order, and clocks are adjusted by a little.
const (
	slack       = "1000000"
	slackMicros = 1_000_000
)

// sql completes a statement.
func (e *engine) sql(statement string) string { return e.words.Replace(statement) }
