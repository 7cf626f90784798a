// Package sqlstore keeps waiting changes, or any other queue of items, in an
// SQLite file or in PostgreSQL, so that what was accepted survives a crash. It is
// a [webhook.Store] on database/sql, and brings no driver: the caller's is used.
//
// SQLite is the embedded one, a file on a local disk. The DSN has to ask for
// durability and for transactions that take the write lock when they begin; [New]
// refuses less, and [SQLiteDSN] says it for the driver modernc.org/sqlite:
//
//	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN("changes.db"))
//	…
//	store, err := sqlstore.New(db, sqlstore.SQLite)
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
// together or not at all. The emitter finds them within its PollInterval.
//
// # Several processes
//
// Any number of processes may enqueue. One at a time takes from a queue, and the
// others wait to take over. With SQLite the turn is the lock of a file beside the
// database (<file>-turn-<number>; leave it there), with PostgreSQL an advisory
// lock of a session. Both end with the process that has them, so that the next
// one goes on within a fraction of a second after a crash. An epoch in the
// database keeps a process that lost the lock without noticing from settling
// anything.
//
// With PostgreSQL each turn keeps one connection of the pool for as long as it
// lasts. Proxies that pool transactions (PgBouncer's pool_mode=transaction) are
// not supported: the lock belongs to a session, and they give each transaction
// another one. Reach the server directly or through a proxy that pools sessions.
//
// # What it is not for
//
// It is no general job queue: one taker per queue, no schedule, no priorities.
// SQLite on a network file system has no locks to rely on. Its wait for another
// writer ends with the busy time-out of the DSN (10 s in [SQLiteDSN]) and not with
// the context of a call, which may return that much later. A PostgreSQL that is
// set up to lose commits (fsync=off) loses items with them.
//
// # Tests
//
// The crash tests kill processes in mid-stream and count what is lost:
//
//	go test ./webhook/sqlstore -run Crash -v
//
// They use PostgreSQL if SENTRYFLAGS_TEST_POSTGRES holds its DSN, and take about
// half a minute; with SENTRYFLAGS_TEST_CRASH=full they have 10,000 changes and
// three seeds for each variant, and take some minutes.
package sqlstore
