package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// startTimeout bounds what New does in the database.
	startTimeout = 10 * time.Second
	// busyPatience and busyPause are how long New tries a busy database, and how
	// often.
	busyPatience = 5 * time.Second
	busyPause    = 25 * time.Millisecond
	// abortedTries is how often something is run that PostgreSQL gives up to
	// resolve a deadlock or, under a strict isolation, a collision.
	abortedTries = 50
	// rollbackTimeout bounds the end of a transaction that has failed.
	rollbackTimeout = time.Second
)

// Store is a [queue.Store] in a database. What its Add has accepted survives a
// crash of the process, of the machine and, as far as the server is set up for
// it, of PostgreSQL.
//
// Nothing of it stays on a connection: it holds none, sets nothing and locks
// nothing beyond a statement or a short transaction. One connection is enough.
type Store struct {
	db     *sql.DB
	engine *engine
	prefix string
	// existing says that tables are not made.
	existing bool
	window   time.Duration
	closed   atomic.Bool
	// turn is held while this process writes to SQLite, nil for PostgreSQL: in
	// here writers wait in line, while SQLite has each try again at random, and the
	// last one may never be lucky.
	turn chan struct{}

	horizons horizons
}

var _ queue.Store = (*Store)(nil)

// New checks that db is durable enough, makes the store's tables if they are not
// there, which may happen in several processes at once, and returns the store.
// db stays the caller's: it may be used for other things, and is closed after
// the store.
//
// It fails with [ErrUnsuitable] for an SQLite database that is not in WAL mode
// with synchronous=FULL and a busy time-out of 1 to 5 seconds on every
// connection (see [SQLiteDSN]), for one that this process may only read, for a
// PostgreSQL one with synchronous_commit off or an encoding other than UTF8, and
// for tables of another version.
func New(db *sql.DB, dialect Dialect, options ...Option) (*Store, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: the *sql.DB is nil", ErrUnsuitable)
	}
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	engine, err := dialect.engine(c.prefix)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, engine: engine, prefix: c.prefix, window: c.window, existing: c.existing}
	if dialect == SQLite {
		s.turn = make(chan struct{}, 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.patiently(ctx, func() error { return engine.check(ctx, db) }); err != nil {
		return nil, err
	}
	if err := s.patiently(ctx, func() error { return s.provideTables(ctx) }); err != nil {
		return nil, err
	}
	return s, nil
}

// patiently tries again for a while when the database is busy: of several
// processes that open a new SQLite file at once only one can switch it to WAL,
// and SQLite does not let the others wait for that.
func (s *Store) patiently(ctx context.Context, do func() error) error {
	for began := time.Now(); ; {
		err := do()
		if !errors.Is(err, ErrBusy) || time.Since(began) > busyPatience {
			return err
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return err
		}
	}
}

// Close ends the store: every later call is [queue.ErrClosed]. It leaves the
// database open and may be called again.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// enter checks a call.
func (s *Store) enter(ctx context.Context, names ...string) error {
	if ctx == nil {
		return errNilContext
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range names {
		if err := queue.ValidateName("queue", name); err != nil {
			return err
		}
	}
	if s.closed.Load() {
		return queue.ErrClosed
	}
	return nil
}

// leave says how a call has ended.
func (s *Store) leave(ctx context.Context, doing string, err error) error {
	if err == nil {
		return s.engine.verify(ctx, s.db)
	}
	if s.closed.Load() {
		return queue.ErrClosed
	}
	return explain(ctx, doing, s.engine.failed(ctx, s.db, err))
}

// exec runs one statement, which is a transaction of its own, and returns how
// many rows it has changed.
func (s *Store) exec(ctx context.Context, doing, statement string, args ...any) (int, error) {
	done, err := s.write(ctx)
	if err != nil {
		return 0, s.leave(ctx, doing, err)
	}
	defer done()
	statement = s.engine.sql(statement)
	for try := range abortedTries {
		again(ctx, try)
		var result sql.Result
		if result, err = s.db.ExecContext(ctx, statement, args...); err == nil {
			n, err := result.RowsAffected()
			return int(n), s.leave(ctx, doing, err)
		}
		if !aborted(err) {
			break
		}
	}
	return 0, s.leave(ctx, doing, err)
}

// again waits a little before a further try, so that those who collide come apart.
func again(ctx context.Context, try int) {
	if try == 0 {
		return
	}
	select {
	case <-time.After(rand.N(time.Duration(try) * 2 * time.Millisecond)):
	case <-ctx.Done():
	}
}

// write waits in line to write; done gives the next one its turn.
func (s *Store) write(ctx context.Context) (done func(), err error) {
	if s.turn == nil {
		return func() {}, nil
	}
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// query runs one statement and hands each row of its result to scan.
func (s *Store) query(ctx context.Context, doing string, scan func(*sql.Rows) error, statement string, args ...any) error {
	return s.leave(ctx, doing, s.queryRows(ctx, scan, statement, args...))
}

func (s *Store) queryRows(ctx context.Context, scan func(*sql.Rows) error, statement string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, s.engine.sql(statement), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transaction runs what takes more than one statement. It writes the words that
// begin and end it itself, so that they do not depend on the driver's settings.
func (s *Store) transaction(ctx context.Context, doing string, do func(context.Context, *sql.Conn) error) error {
	done, err := s.write(ctx)
	if err != nil {
		return s.leave(ctx, doing, err)
	}
	defer done()
	for try := range abortedTries {
		again(ctx, try)
		if err = s.transactOnce(ctx, do); !aborted(err) && !errors.Is(err, errNotBegun) {
			break
		}
	}
	return s.leave(ctx, doing, err)
}

// errNotBegun means that the pool had a connection that has ended.
var errNotBegun = errors.New("webhook/sqlstore: the connection has ended")

func (s *Store) transactOnce(ctx context.Context, do func(context.Context, *sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer giveBack(conn)
	for i, statement := range s.engine.begin {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			if errors.Is(err, driver.ErrBadConn) && i == 0 {
				return fmt.Errorf("%w: %w", errNotBegun, err)
			}
			rollback(ctx, conn)
			return err
		}
	}
	if err := do(ctx, conn); err != nil {
		rollback(ctx, conn)
		return err
	}
	if _, err := conn.ExecContext(ctx, `COMMIT`); err != nil {
		rollback(ctx, conn)
		return err
	}
	return nil
}

// rollback ends a transaction, or else its connection.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := conn.ExecContext(ctx, `ROLLBACK`); err != nil {
		discard(conn)
	}
}

// giveBack returns a connection to the pool, which says no more than that it is
// gone if it is.
func giveBack(conn *sql.Conn) { _ = conn.Close() }

// discard closes a connection instead of returning it to the pool.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// microseconds rounds up, so that what is short is not nothing.
func microseconds(d time.Duration) int64 {
	return int64((d + time.Microsecond - 1) / time.Microsecond)
}
