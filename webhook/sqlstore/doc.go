// Package sqlstore keeps waiting changes, or any other queue of items, in an
// SQLite file or in PostgreSQL, so that what was accepted survives a crash. It is
// a [queue.Store] on database/sql, and brings no driver: the caller's is used.
//
// SQLite is the embedded one, a file on a local disk:
//
//	db, err := sqlstore.OpenSQLite("sqlite", "changes.db") // import _ "modernc.org/sqlite"
//	…
//	store, err := sqlstore.New(db, sqlstore.SQLite)
//
// The settings that make it durable belong in the DSN, so that each connection
// has them: [SQLiteDSN] says them, and [New] refuses less.
//
// PostgreSQL is for many machines:
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	…
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//
// # One transaction for a row and its record
//
// [Store.EnqueueTx] puts items into the queue within the caller's transaction on
// the same database, so that a flag's row and the record of its change commit
// together or not at all. For transactions of pgx, bun or gorm [Store.Statement]
// gives the statement to run. Wake the emitter after the commit, or it finds them
// within its PollInterval.
//
// # The tables
//
// [New] makes three tables and one for their version, if it does not find them.
// Where the program's role may not create any, make them beforehand: [Schema]
// returns the statements, and the folder schema has them as files, with the grants
// that the role needs. Settled entries stay, with their content, for
// [WithWindow], so that people can see what was sent and a late replica does not
// bring it back; queue.Run sweeps them.
//
// # Several processes, half-dead databases
//
// Any number of processes may add, and one at a time works on a queue: the one
// with the lease, which is a row with an end by the database's clock. Nothing of
// the store stays on a connection, no lock, no setting and no transaction, so
// that one connection is enough (SetMaxOpenConns(1)), any connection will do, and
// a proxy that pools transactions may stand between (for PgBouncer up to 1.20 with
// default_query_exec_mode=exec in pgx's DSN, as for any program behind it). A
// server's process that hangs costs the call that waits for it, which ends with
// its context. A connection to a server that has become read-only is closed, so
// that the next one can lead to its successor.
//
// SQLite goes on with a file that was deleted or replaced while it was open, and
// nobody will ever see what is written to it: here the next call is [ErrGone].
//
// # Limits
//
// It is no general job queue: one worker per queue, no schedule, no priorities.
// SQLite on a network file system has no locks to rely on. Its wait for another
// writer ends with the busy time-out of the DSN (3 s in [SQLiteDSN]) and not with
// the context of a call, which may return that much later. A PostgreSQL that is
// set up to lose commits (fsync=off) loses items with them. While a transaction
// that writes, of anybody in that PostgreSQL, stays open for hours, each look at a
// queue walks over what was settled since it began: some milliseconds for 10,000.
//
// # Tests
//
// The crash tests kill processes in mid-stream and count what is lost:
//
//	go test ./webhook/sqlstore -run Crash -v
//
// The tests use PostgreSQL if SENTRYFLAGS_TEST_POSTGRES holds its DSN, and then
// start one of their own, to freeze and to kill, where its programs are; with
// SENTRYFLAGS_TEST_CRASH=full the crash tests have 10,000 changes and three seeds
// for each variant, and take some minutes.
package sqlstore
