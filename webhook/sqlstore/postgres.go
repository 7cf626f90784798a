package sqlstore

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed schema/postgresql.sql
var postgresSchema string

func newPostgreSQL(prefix string) *engine {
	return &engine{
		words: strings.NewReplacer(
			"{p}", prefix,
			"{bytes}", "BYTEA",
			"{now}", "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)",
			"{clock}", "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
			"{slack}", slack,
			"{by:order}", "", "{by:key}", "", "{by:settled}", "", "{by:id}", "",
			// A prepared statement keeps a plan that was made when the table was
			// small. This costs nothing where the arguments are known, and so much
			// where they are not that each execution is planned for the table as
			// it is; not so much that PostgreSQL would compile it (jit_above_cost).
			"{replan}", "($1 <> '' OR (SELECT count(*) FROM generate_series(1, 100000)) = 0)",
		),
		schema: postgresSchema,
		// Not to_regclass, which goes by what this session has seen last.
		exists: `SELECT count(*) FROM pg_catalog.pg_class WHERE relname = '{p}schema' AND pg_catalog.pg_table_is_visible(oid)`,
		begin: []string{
			`BEGIN ISOLATION LEVEL READ COMMITTED`,
			// The server ends the transaction of a process that freezes in it.
			`SET LOCAL idle_in_transaction_session_timeout = '10s'`,
		},
		creating: []string{`SELECT pg_advisory_xact_lock(hashtextextended('sentryflags-go {p} ' || current_schema(), 0))`},
		check:    checkPostgreSQL,
		underWay: transactionsUnderWay,
		verify:   func(context.Context, *sql.DB) error { return nil },
		failed:   dropReadOnly,
		tidy:     func(context.Context, *sql.DB) error { return nil },
	}
}

func checkPostgreSQL(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding, commit string
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
		current_setting('synchronous_commit')`).Scan(&version, &encoding, &commit)
	switch {
	case err != nil:
		return explain(ctx, "ask PostgreSQL for its settings", err)
	case version < 120000:
		return fmt.Errorf("%w: PostgreSQL is version %d, 12 or later is needed", ErrUnsuitable, version/10000)
	case encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %.20q and has to be UTF8", ErrUnsuitable, encoding)
	case commit == "off":
		return fmt.Errorf("%w: synchronous_commit is off, so that a commit may be lost after it has returned; switch it on for this user, database or connection", ErrUnsuitable)
	}
	return nil
}

func transactionsUnderWay(ctx context.Context, db *sql.DB) (oldest, next int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s) FROM (SELECT txid_current_snapshot() AS s) AS one`).Scan(&oldest, &next)
	return oldest, next, err
}

// dropTimeout bounds a look at a connection after a failure.
const dropTimeout = time.Second

// dropReadOnly closes a connection to a server that has become read-only, so
// that the next one can lead to its successor: the sockets may stay open for
// days.
func dropReadOnly(ctx context.Context, db *sql.DB, failure error) error {
	if sqlState(failure) != "25006" { // read_only_sql_transaction
		return failure
	}
	ctx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		return failure
	}
	defer giveBack(conn)
	var readOnly string
	if err := conn.QueryRowContext(ctx, `SHOW transaction_read_only`).Scan(&readOnly); err != nil || readOnly == "on" {
		discard(conn)
	}
	return failure
}
