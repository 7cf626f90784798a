package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// shutdownWithin is how long a stop may take: below the half minute that
// orchestrators grant.
const shutdownWithin = 20 * time.Second

// service is what runs: the relay with all it needs.
type service struct {
	relay   *vwo.Relay
	vwo     *vwo.Client
	flags   *webhook.Client // nil without a flag log
	targets []vwo.Target

	closers []func(context.Context) error // in the order of closing
}

// options are what the demonstration and the tests have other than the program.
type options struct {
	logger     *slog.Logger
	onDecision func(vwo.Decision)
	onReport   func(vwo.Report)
	unlimited  bool // stand-ins of VWO need no rate limit
}

func newService(ctx context.Context, c config, o options) (_ *service, err error) {
	s := &service{}
	defer func() {
		if err != nil {
			_ = s.close(context.WithoutCancel(ctx))
		}
	}()
	rules, err := c.rules()
	if err != nil {
		return nil, err
	}
	for _, rule := range rules {
		s.targets = append(s.targets, rule.Target)
	}
	s.vwo, err = vwo.NewClient(vwo.ClientConfig{
		Token: c.vwoToken, BaseURL: c.VWO.BaseURL, Account: c.VWO.Account, Unlimited: o.unlimited,
	})
	if err != nil {
		return nil, err
	}
	store, err := s.openStore(c) //nolint:contextcheck // it lives until it is closed, as do the two below
	if err != nil {
		return nil, err
	}
	emitter, err := s.newEmitter(c, store, o.logger) //nolint:contextcheck // see above
	if err != nil {
		return nil, err
	}
	relay := vwo.RelayConfig{
		Secrets: c.clientSecrets, Rules: rules, Toggler: s.vwo, Installation: c.Sentry.Installation,
		Header: c.Sentry.Header, HeaderValues: c.headerValues, Store: store,
		MaxAge: time.Duration(c.MaxAge), CoolDown: time.Duration(c.CoolDown), CapPerHour: c.CapPerHour, DryRun: c.DryRun,
		Logger: o.logger, OnDecision: o.onDecision, OnReport: o.onReport,
	}
	if emitter != nil {
		relay.Emitter = emitter
	}
	if s.relay, err = vwo.NewRelay(relay); err != nil { //nolint:contextcheck // see above
		return nil, err
	}
	// The relay goes first: it gives to the emitter, and both to the store.
	s.closers = append([]func(context.Context) error{s.relay.Close}, s.closers...)
	return s, nil
}

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

// openStore opens the database that is configured; nil if none is.
func (s *service) openStore(c config) (webhook.Store, error) {
	if err := c.checkDatabase(); err != nil {
		return nil, err
	}
	driver, dsn, dialect := "sqlite", "", sqlstore.SQLite
	switch {
	case c.database.text() != "":
		driver, dsn, dialect = "pgx", c.database.text(), sqlstore.PostgreSQL
	case c.Store != "":
		dsn = sqlstore.SQLiteDSN(c.Store)
	default:
		return nil, nil
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	store, err := sqlstore.New(db, dialect)
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s.closers = append(s.closers,
		func(context.Context) error { return store.Close() },
		func(context.Context) error { return db.Close() })
	return store, nil
}

// newEmitter makes what records switches in Sentry's flag log; nil if that is
// not configured.
func (s *service) newEmitter(c config, store webhook.Store, logger *slog.Logger) (*webhook.Emitter, error) {
	if c.flagsURL == "" {
		return nil, nil
	}
	var err error
	s.flags, err = webhook.NewClient(webhook.Config{URL: c.flagsURL, Secrets: c.flagsSecrets, AllowHTTP: c.Sentry.AllowHTTP})
	if err != nil {
		return nil, err
	}
	if store == nil {
		memory, err := webhook.NewMemoryStore(webhook.MemoryStoreConfig{})
		if err != nil {
			return nil, err
		}
		store = memory
		s.closers = append(s.closers, func(context.Context) error { return memory.Close() })
	}
	emitter, err := webhook.NewEmitter(s.flags, store, webhook.EmitterConfig{Logger: logger})
	if err != nil {
		return nil, err
	}
	s.closers = append([]func(context.Context) error{emitter.Close}, s.closers...)
	return emitter, nil
}

// close ends everything, the relay first.
func (s *service) close(ctx context.Context) error {
	var failed error
	for _, one := range s.closers {
		failed = errors.Join(failed, one(ctx))
	}
	return failed
}

// handler routes Sentry's path and the health check.
func (s *service) handler(path string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path, s.relay)
	mux.HandleFunc("GET /healthz", s.health)
	return mux
}

// health answers 200 when the store can be asked.
func (s *service) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	stats, err := s.relay.Stats(ctx)
	if err != nil {
		http.Error(w, "the store cannot be asked", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "ok: %d waiting, %d failed for good\n", stats.Waiting, stats.Dead)
}

// serve runs until ctx ends, and then stops gracefully.
func serve(ctx context.Context, c config, logger *slog.Logger) error {
	reports, err := newReporter(c.dsn.text())
	if err != nil {
		return err
	}
	defer reports.close()
	s, err := newService(ctx, c, options{logger: logger, onReport: reports.send})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	// The check takes a second per rule, in which alerts are taken already.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		if err := startCheck(ctx, s, logger); err != nil {
			stop(err)
		}
	}()
	err = serveOn(ctx, s, listener, c.Path, logger)
	if wrong := context.Cause(ctx); ctx.Err() != nil && !errors.Is(wrong, context.Canceled) {
		err = errors.Join(wrong, err)
	}
	stop(nil)
	<-checked
	return err
}

func serveOn(ctx context.Context, s *service, listener net.Listener, path string, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           s.handler(path),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("killswitch: listening", "address", listener.Addr().String(), "path", path)

	var failed error
	select {
	case failed = <-served:
	case <-ctx.Done():
	}
	logger.Info("killswitch: stopping")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	failed = errors.Join(failed, server.Shutdown(ctx), s.close(ctx))
	logger.Info("killswitch: stopped")
	return failed
}
