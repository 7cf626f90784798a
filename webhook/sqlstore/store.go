package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

const (
	// startTimeout bounds what New does in the database.
	startTimeout = time.Minute
	// busyPatience and busyPause are how long New tries a busy database, and how
	// often.
	busyPatience = 5 * time.Second
	busyPause    = 25 * time.Millisecond
)

// Store is a [webhook.Store] in a database. What its Enqueue has accepted
// survives a crash of the process, of the machine and, as far as the server is
// set up for it, of PostgreSQL.
type Store struct {
	db      *sql.DB
	dialect Dialect
	engine  engine
	window  time.Duration
	closed  chan struct{}

	mu    sync.Mutex
	turns map[*turn]struct{}
}

var _ webhook.Store = (*Store)(nil)

// New checks that db is durable enough, creates or updates the store's tables,
// which may happen in several processes at once, and returns the store. db
// stays the caller's: it may be used for other things, and is closed after the
// store.
//
// It fails with [ErrUnsuitable] for an SQLite database that is not in WAL mode
// with synchronous=FULL, a busy time-out and immediate transactions on every
// connection (see [SQLiteDSN]), and for a PostgreSQL one with
// synchronous_commit off or an encoding other than UTF8.
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
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := checkPatiently(ctx, engine, db); err != nil {
		return nil, err
	}
	if err := migrate(ctx, db, engine); err != nil {
		return nil, err
	}
	return &Store{
		db:      db,
		dialect: dialect,
		engine:  engine,
		window:  c.window,
		closed:  make(chan struct{}),
		turns:   make(map[*turn]struct{}),
	}, nil
}

// checkPatiently tries again for a while when the database is busy: of several
// processes that open a new SQLite file at once only one can switch it to WAL,
// and SQLite does not let the others wait for that.
func checkPatiently(ctx context.Context, engine engine, db *sql.DB) error {
	for began := time.Now(); ; {
		err := engine.check(ctx, db)
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

// Close ends the store: turns are released, who waits for one gets
// [webhook.ErrStoreClosed], as does every later call. It leaves the database
// open and may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		return nil
	default:
	}
	close(s.closed)
	turns := s.turns
	s.turns = nil
	s.mu.Unlock()

	var first error
	for turn := range turns {
		if err := turn.Release(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Stats implements [webhook.Store]. It counts rows: some milliseconds for a
// hundred thousand.
func (s *Store) Stats(ctx context.Context, queue string) (webhook.StoreStats, error) {
	if err := s.enter(ctx, queue); err != nil {
		return webhook.StoreStats{}, err
	}
	var stats webhook.StoreStats
	var age sql.NullInt64
	err := s.db.QueryRowContext(ctx, s.engine.sql(`SELECT
		(SELECT count(*) FROM {p}items WHERE queue = $1 AND state = 0),
		(SELECT count(*) FROM {p}items WHERE queue = $1 AND state = 1),
		{now} - (SELECT changed_at FROM {p}items WHERE queue = $1 AND state = 0 ORDER BY seq LIMIT 1)`),
		queue).Scan(&stats.Waiting, &stats.Dead, &age)
	if err != nil {
		return webhook.StoreStats{}, explain(ctx, "count items", err)
	}
	if age.Valid {
		// The age is the database's, so that a difference between its clock
		// and ours does not show.
		stats.OldestWaiting = time.Now().Add(-time.Duration(max(0, age.Int64)) * time.Microsecond)
	}
	return stats, nil
}

// enter checks a call.
func (s *Store) enter(ctx context.Context, queue string) error {
	if ctx == nil {
		return errNilContext
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := webhook.ValidateQueue(queue); err != nil {
		return err
	}
	if s.isClosed() {
		return webhook.ErrStoreClosed
	}
	return nil
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
