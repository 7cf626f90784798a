package sqlstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

type postgresEngine struct {
	prefix string
	words  *strings.Replacer
	schema string // set by check
}

func (e *postgresEngine) sql(statement string) string { return e.words.Replace(statement) }

// The columns are as for SQLite. Identifiers compare byte by byte, which no
// locale has a say in.
func (e *postgresEngine) migrations() [][]string {
	return [][]string{{
		`CREATE SEQUENCE {p}seq`,
		`CREATE TABLE {p}items (
			seq BIGINT PRIMARY KEY DEFAULT nextval('{p}seq'),
			queue TEXT COLLATE "C" NOT NULL,
			id TEXT COLLATE "C" NOT NULL,
			ord_key TEXT COLLATE "C" NOT NULL,
			body BYTEA NOT NULL,
			state SMALLINT NOT NULL DEFAULT 0,
			changed_at BIGINT NOT NULL,
			reason TEXT NOT NULL DEFAULT '',
			UNIQUE (queue, id))`,
		`CREATE INDEX {p}items_waiting ON {p}items (queue, seq) WHERE state = 0`,
		`CREATE INDEX {p}items_dead ON {p}items (queue, seq) WHERE state = 1`,
		`CREATE INDEX {p}items_done ON {p}items (changed_at) WHERE state = 2`,
		`CREATE TABLE {p}turns (queue TEXT COLLATE "C" PRIMARY KEY, epoch BIGINT NOT NULL)`,
	}}
}

func (e *postgresEngine) check(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding, commit string
	var schema sql.NullString
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
		current_setting('synchronous_commit'), current_schema()`).Scan(&version, &encoding, &commit, &schema)
	switch {
	case err != nil:
		return explain(ctx, "ask PostgreSQL for its settings", err)
	case version < 120000:
		return fmt.Errorf("%w: PostgreSQL is version %d, 12 or later is needed", ErrUnsuitable, version/10000)
	case encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %.20q and has to be UTF8", ErrUnsuitable, encoding)
	case commit == "off":
		return fmt.Errorf("%w: synchronous_commit is off, so that a commit may be lost after it has returned; switch it on for this user, database or connection", ErrUnsuitable)
	case !schema.Valid:
		return fmt.Errorf("%w: no schema of the search path exists; create it or set search_path", ErrUnsuitable)
	}
	e.schema = schema.String
	return nil
}

func (e *postgresEngine) migrationLock(ctx context.Context, tx *sql.Tx) error {
	// A stricter default would keep showing what was there before the lock.
	if _, err := tx.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL READ COMMITTED`); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, e.advisory("migrate"))
	return err
}

// advisory returns the number of an advisory lock, of which a database has one
// space for all its users.
func (e *postgresEngine) advisory(names ...string) int64 {
	sum := hash(append([]string{"sentryflags-go", e.schema, e.prefix}, names...)...)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// waitInterval is about how often a taker that waits asks PostgreSQL. It asks
// instead of waiting in the server, where a statement that waits for hours
// would hold up VACUUM.
const waitInterval = 200 * time.Millisecond

// lock waits for an advisory lock, which lives as long as the session that has
// it: PostgreSQL gives it up at once when the process or the connection ends.
func (e *postgresEngine) lock(ctx context.Context, s *Store, queue string) (queueLock, error) {
	for {
		conn, err := e.tryLock(ctx, s, queue)
		if err != nil {
			return nil, err
		}
		if conn != nil {
			return &postgresLock{conn: conn, number: e.advisory("turn", queue)}, nil
		}
		// A little uneven, so that waiting takers do not ask all at once.
		select {
		case <-time.After(waitInterval*3/4 + rand.N(waitInterval/2)):
		case <-s.closed:
			return nil, errClosedWaiting
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryLock returns the connection that has the lock, or nil if another has it.
func (e *postgresEngine) tryLock(ctx context.Context, s *Store, queue string) (*sql.Conn, error) {
	s.mu.Lock()
	pinned := len(s.turns)
	s.mu.Unlock()
	if most := s.db.Stats().MaxOpenConnections; most > 0 && pinned+2 > most {
		return nil, fmt.Errorf("%w: the pool has %d connections (SetMaxOpenConns); each turn keeps one, and one more is needed", ErrUnsuitable, most)
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var locked bool
	err = conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, e.advisory("turn", queue)).Scan(&locked)
	if err == nil && locked {
		err = prepare(ctx, conn)
	}
	switch {
	case err != nil:
		discard(conn) // it may have the lock
		return nil, err
	case !locked:
		return nil, conn.Close()
	}
	return conn, nil
}

// prepare makes a session fit for a turn, which nobody else uses and which is
// closed after it. The server shall notice within half a minute, instead of
// within hours, that the machine at the other end is gone, and not mind an idle
// queue. And it shall read the queue along its index: without statistics, as in
// a table that has just been filled, it would read and sort all of it each time.
func prepare(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT set_config(name, value, false) FROM (VALUES
		('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
		('idle_session_timeout', '0'),
		('enable_bitmapscan', 'off'), ('enable_seqscan', 'off'), ('enable_sort', 'off')) AS wanted (name, value)
		WHERE name IN (SELECT name FROM pg_settings)`)
	return err
}

// pingTimeout is how long a connection may take to prove that it is alive.
const pingTimeout = 5 * time.Second

type postgresLock struct {
	conn   *sql.Conn
	number int64

	mu   sync.Mutex
	gone bool
}

func (l *postgresLock) session() session { return l.conn }

// lost asks whether the session is there: the lock is gone with it.
func (l *postgresLock) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	l.gone = l.conn.PingContext(ctx) != nil
	return l.gone
}

func (l *postgresLock) unlock() error {
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	_, err := l.conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, l.number)
	// The session keeps its settings and, after an error, maybe the lock.
	discard(l.conn)
	if errors.Is(err, sql.ErrConnDone) || l.wasLost(err) {
		return nil
	}
	return explain(ctx, "release the turn", err)
}

// wasLost reports whether an unlock failed because there was nothing to unlock
// any more.
func (l *postgresLock) wasLost(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return err != nil && l.gone
}
