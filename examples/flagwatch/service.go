package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"github.com/sentryflags/sentryflags-go/internal/storefile"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// shutdownWithin is how long a stop may take: below the half minute that
// orchestrators grant.
const shutdownWithin = 20 * time.Second

// service is what runs: a watcher for each source, and what delivers.
type service struct {
	client    *webhook.Client
	emitter   *webhook.Emitter
	watchers  []*changes.Watcher
	doors     map[string]*receive.Receiver  // by path
	elsewhere elsewhere                     // the other paths
	closers   []func(context.Context) error // in the order of closing
}

func newService(c config, logger *slog.Logger) (_ *service, err error) {
	s := &service{}
	defer func() {
		if err != nil {
			_ = s.close(context.Background())
		}
	}()
	store, err := s.openStore(c)
	if err != nil {
		return nil, err
	}
	return s, s.assemble(c, store, logger)
}

// assemble makes the parts. Each is closed by close, also after an error.
func (s *service) assemble(c config, store queue.Store, logger *slog.Logger) (err error) {
	if s.client, err = webhook.NewClient(webhook.Config{
		URL: c.flagsURL, Secrets: c.flagsSecrets, AllowHTTP: c.AllowHTTP, ShownNames: c.ShownNames,
		OnWarning: func(w webhook.Warning) {
			logger.Warn("flagwatch: a change will not show beside an error; see shown_names", "change", w.String())
		},
	}); err != nil {
		return err
	}
	if s.emitter, err = webhook.NewEmitter(s.client, store, webhook.EmitterConfig{Logger: logger, FormerQueues: c.FormerQueues}); err != nil {
		return err
	}
	s.closers = append([]func(context.Context) error{s.emitter.Close}, s.closers...)
	names := map[string]bool{}
	for i, each := range c.Sources {
		watcher, err := s.watch(c, each, store, logger)
		if err != nil {
			return fmt.Errorf("sources[%d]: %w", i, err)
		}
		// The watchers go first: they give to the emitter, and it to the store.
		s.closers = append([]func(context.Context) error{watcher.Close}, s.closers...)
		if names[watcher.Name()] {
			return fmt.Errorf("sources[%d]: two sources are called %q; give one a name", i, watcher.Name())
		}
		names[watcher.Name()] = true
		s.watchers = append(s.watchers, watcher)
	}
	return s.openDoors(c, store, logger)
}

func (s *service) watch(c config, each fileSource, store queue.Store, logger *slog.Logger) (*changes.Watcher, error) {
	format, err := each.format()
	if err != nil {
		return nil, err
	}
	source, err := each.source(c)
	if err != nil {
		return nil, err
	}
	lag := time.Duration(c.Lag)
	if c.Store != "" && lag == 0 {
		lag = -1 // nobody else has this file; a restart need not wait
	}
	config := changes.Config{
		Source: source, Format: format, Name: cmp.Or(each.Name, format.Name()+":"+source.Name()), Store: store, Emitter: s.emitter, Logger: logger,
		Interval: time.Duration(c.Interval), Gather: time.Duration(c.Gather), Lag: lag, Limit: c.Limit,
	}
	if c.lends(config.Name) {
		config.AuthorWait = time.Duration(c.AuthorWait)
	}
	return changes.NewWatcher(config)
}

// openStore opens the store: the SQLite file, or the PostgreSQL if there is one.
func (s *service) openStore(c config, options ...sqlstore.Option) (*sqlstore.Store, error) {
	db, dialect, err := openDatabase(c)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	store, err := sqlstore.New(db, dialect, options...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), db.Close())
	}
	s.closers = append(s.closers, func(context.Context) error { return store.Close() }, func(context.Context) error { return db.Close() })
	return store, nil
}

func openDatabase(c config) (*sql.DB, sqlstore.Dialect, error) {
	url := c.database()
	if url == "" {
		db, err := sqlstore.OpenSQLite("sqlite", c.Store)
		return db, sqlstore.SQLite, err
	}
	if _, err := pgx.ParseConfig(url); err != nil {
		return nil, sqlstore.PostgreSQL, errors.New("FLAGWATCH_DATABASE_URL cannot be read") // the cause may show its password
	}
	db, err := sql.Open("pgx", url)
	return db, sqlstore.PostgreSQL, err
}

// close ends everything, the watchers first.
func (s *service) close(ctx context.Context) error {
	var failed error
	for _, one := range s.closers {
		failed = errors.Join(failed, one(ctx))
	}
	return failed
}

// serve runs until ctx ends, and then stops gracefully.
func serve(ctx context.Context, c config, logger *slog.Logger) error {
	s, err := newService(c, logger) //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	stopConsole, err := s.serveConsole(ctx, c, logger, os.Stderr)
	if err != nil {
		return errors.Join(err, listener.Close(), s.close(context.WithoutCancel(ctx)))
	}
	defer stopConsole()
	stopWebhooks, err := s.serveWebhooks(ctx, c, logger)
	if err != nil {
		return errors.Join(err, listener.Close(), s.close(context.WithoutCancel(ctx)))
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	logger.Info("flagwatch: watching", "sources", len(s.watchers), "listen", listener.Addr().String())
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	logger.Info("flagwatch: stopping")
	stopWebhooks()
	return errors.Join(err, server.Shutdown(stopping), s.close(stopping))
}

// runCheck reads each source once and proves the webhook and the store, without
// writing anything.
func runCheck(ctx context.Context, c config, out interface{ Write([]byte) (int, error) }) error {
	client, err := webhook.NewClient(webhook.Config{URL: c.flagsURL, Secrets: c.flagsSecrets, AllowHTTP: c.AllowHTTP})
	if err != nil {
		return err
	}
	var failed error
	say := func(what string, err error) {
		if err != nil {
			fmt.Fprintf(out, "FAILED  %s: %v\n", what, err)
			failed = errors.New("not all is well")
			return
		}
		fmt.Fprintf(out, "ok      %s\n", what)
	}
	say("Sentry takes what is signed with the secret", client.Check(ctx))
	say("the store opens", tryStore(ctx, c))
	fits := true
	for i, each := range c.Sources {
		definitions, name, err := each.read(ctx, c)
		what := strings.TrimSpace(fmt.Sprintf("sources[%d] %s", i, each.File+each.Folder))
		if err == nil {
			what = fmt.Sprintf("%s, %d flags", name, definitions.Len())
		}
		say(what, err)
		for _, skipped := range definitions.Skipped() {
			fmt.Fprintf(out, "        %q is left out: %s\n", skipped.Flag, skipped.Reason)
		}
	}
	for i, each := range c.Receive {
		config, path, err := each.config(c.env)
		err = errors.Join(err, c.reportsTwice(each))
		what := fmt.Sprintf("receive[%d]", i)
		if err == nil {
			what = fmt.Sprintf("%s posts to %s%s, signed with one of %d secrets", config.Name, c.ReceiveListen, path, len(config.Secrets))
		}
		fits = fits && err == nil
		say(what, err)
	}
	if fits {
		if err := c.fits(ctx); err != nil {
			say("the parts fit together", err)
		}
	}
	return failed
}

// tryStore opens the store, and makes none where there is none yet.
func tryStore(ctx context.Context, c config) error {
	done := func() error { return nil }
	if c.database() == "" {
		var err error
		if c.Store, done, err = storefile.Trial(c.Store); err != nil {
			return err
		}
	}
	s := &service{}
	_, err := s.openStore(c) //nolint:contextcheck // closed below
	return errors.Join(err, s.close(context.WithoutCancel(ctx)), done())
}

// fits makes all the parts, with a store that is thrown away.
func (c config) fits(ctx context.Context) error {
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		return err
	}
	s := &service{}
	err = s.assemble(c, store, slog.New(slog.DiscardHandler)) //nolint:contextcheck // closed below
	return errors.Join(err, s.close(context.WithoutCancel(ctx)))
}

// read reads a source once.
func (s fileSource) read(ctx context.Context, c config) (changes.Definitions, string, error) {
	format, err := s.format()
	if err != nil {
		return changes.Definitions{}, "", err
	}
	source, err := s.source(c)
	if err != nil {
		return changes.Definitions{}, "", err
	}
	definitions, err := changes.Read(ctx, source, format)
	return definitions, cmp.Or(s.Name, format.Name()+":"+source.Name()), err
}
