package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"github.com/sentryflags/sentryflags-go/internal/storefile"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

const (
	// openWithin is how long a start waits for the database.
	openWithin = 2 * time.Second
	// openAgain is the pause before the database is opened again.
	openAgain = time.Second
)

// checkDatabase finds what is wrong with the settings of the database without
// opening it.
func (c config) checkDatabase() error {
	if c.database.text() == "" {
		return nil
	}
	if c.Store != "" {
		return errors.New("store and KILLSWITCH_DATABASE_URL exclude each other")
	}
	if _, err := pgx.ParseConfig(c.database.text()); err != nil {
		return errors.New("KILLSWITCH_DATABASE_URL cannot be read") // the cause may show its password
	}
	return nil
}

// openedStore is a store with the database that is closed after it.
type openedStore struct {
	*sqlstore.Store
	db *sql.DB
}

func (s *openedStore) close() error { return errors.Join(s.Close(), s.db.Close()) }

// openStore opens the database that is configured; nil if none is. It makes what
// is not there, unless only an existing one is wanted.
func (c config) openStore(existing bool) (*openedStore, error) {
	if err := c.checkDatabase(); err != nil {
		return nil, err
	}
	var db *sql.DB
	var err error
	dialect := sqlstore.SQLite
	var how []sqlstore.Option
	if existing {
		how = append(how, sqlstore.WithExistingTables())
	}
	switch {
	case c.database.text() != "":
		dialect = sqlstore.PostgreSQL
		db, err = sql.Open("pgx", c.database.text())
	case c.Store != "":
		if existing {
			if err := storefile.Exists(c.Store); err != nil {
				return nil, err
			}
		}
		db, err = sqlstore.OpenSQLite("sqlite", c.Store)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	store, err := sqlstore.New(db, dialect, how...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), db.Close())
	}
	return &openedStore{store, db}, nil
}

// patientStore is the store of a service whose database may be away when it
// starts: a kill switch that waited for it would be disarmed. Until it is open,
// every call fails as it does when a database goes away later, and flags are
// switched off from memory.
type patientStore struct {
	open func() (*openedStore, error)
	log  *slog.Logger
	stop chan struct{}

	mu     sync.Mutex
	store  *openedStore
	failed error
	closed bool
}

// newPatientStore waits for the first attempt to open the store, but not for
// long.
func newPatientStore(open func() (*openedStore, error), log *slog.Logger) *patientStore {
	s := &patientStore{open: open, log: log, stop: make(chan struct{}), failed: errors.New("the database is being opened")}
	tried := make(chan struct{})
	go s.run(tried)
	select {
	case <-tried:
	case <-time.After(openWithin):
	}
	if _, err := s.get(); err != nil {
		log.Error("killswitch: the store cannot be opened; until it can, flags are switched off from memory, and a crash would lose that", "err", err)
	}
	return s
}

// run opens the store, or tries to until it is closed.
func (s *patientStore) run(tried chan struct{}) {
	once := sync.OnceFunc(func() { close(tried) })
	for !s.try() {
		once()
		select {
		case <-s.stop:
			return
		case <-time.After(openAgain):
		}
	}
	once()
}

// try tries once, and reports whether that is enough.
func (s *patientStore) try() bool {
	store, err := s.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		if store != nil {
			_ = store.close()
		}
		return true
	}
	s.store, s.failed = store, err
	return err == nil
}

func (s *patientStore) get() (queue.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, queue.ErrClosed
	case s.failed != nil:
		return nil, s.failed
	}
	return s.store, nil
}

func (s *patientStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.stop)
	if s.store == nil {
		return nil
	}
	return s.store.close()
}

// with makes a call of the store, if it is open.
func with[T any](s *patientStore, call func(queue.Store) (T, error)) (none T, err error) {
	store, err := s.get()
	if err != nil {
		return none, err
	}
	return call(store)
}

var _ queue.Store = (*patientStore)(nil)

func (s *patientStore) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	return with(s, func(store queue.Store) (int, error) { return store.Add(ctx, name, a) })
}

func (s *patientStore) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	return with(s, func(store queue.Store) (time.Duration, error) { return store.Lease(ctx, name, owner, ttl) })
}

func (s *patientStore) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Release(ctx, name, owner, rest)
}

func (s *patientStore) Resume(ctx context.Context, name string) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Resume(ctx, name)
}

func (s *patientStore) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	return with(s, func(store queue.Store) ([]queue.Entry, error) { return store.Due(ctx, name, after, limit) })
}

func (s *patientStore) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Settle(ctx, name, owner, outcomes...)
}

func (s *patientStore) List(ctx context.Context, name string, filter queue.Filter) ([]queue.Entry, error) {
	return with(s, func(store queue.Store) ([]queue.Entry, error) { return store.List(ctx, name, filter) })
}

func (s *patientStore) Revise(ctx context.Context, name string, e queue.Entry, item *queue.Item) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Revise(ctx, name, e, item)
}

func (s *patientStore) Discard(ctx context.Context, name string, entries ...queue.Entry) (int, error) {
	return with(s, func(store queue.Store) (int, error) { return store.Discard(ctx, name, entries...) })
}

func (s *patientStore) Note(ctx context.Context, name, note string) (queue.Note, error) {
	return with(s, func(store queue.Store) (queue.Note, error) { return store.Note(ctx, name, note) })
}

func (s *patientStore) Notes(ctx context.Context, name string, notes ...string) ([]queue.Note, error) {
	return with(s, func(store queue.Store) ([]queue.Note, error) { return store.Notes(ctx, name, notes...) })
}

func (s *patientStore) Stats(ctx context.Context, name string, most int) (queue.Stats, error) {
	return with(s, func(store queue.Store) (queue.Stats, error) { return store.Stats(ctx, name, most) })
}

func (s *patientStore) Queues(ctx context.Context) ([]string, error) {
	return with(s, func(store queue.Store) ([]string, error) { return store.Queues(ctx) })
}

func (s *patientStore) Sweep(ctx context.Context, limit int) (int, error) {
	return with(s, func(store queue.Store) (int, error) { return store.Sweep(ctx, limit) })
}
