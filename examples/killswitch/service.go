package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// shutdownWithin is how long a stop may take: below the half minute that
// orchestrators grant.
const shutdownWithin = 20 * time.Second

// parts are what the service and the tools are made of.
type parts struct {
	config   config
	logger   *slog.Logger
	rules    []killswitch.Rule
	togglers map[string]killswitch.Toggler
	store    queue.Store // nil if none is configured
	flags    *webhook.Client
	emitter  *webhook.Emitter // nil without a flag log

	closers []func(context.Context) error // in the order of closing
}

// options are what the demonstration and the tests have other than the program.
type options struct {
	logger     *slog.Logger
	onDecision func(killswitch.Decision)
	onReport   func(killswitch.Report)
	unlimited  bool // stand-ins of VWO need no rate limit
	existing   bool // a store that is not there is not made
	patient    bool // the database may be away
	// answerWithin is the relay's; 0 is its default.
	answerWithin time.Duration
}

func (o options) log() *slog.Logger {
	if o.logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.logger
}

// newParts makes what the configuration asks for.
func newParts(ctx context.Context, c config, o options) (_ *parts, err error) {
	p := &parts{config: c, logger: o.log()}
	defer func() {
		if err != nil {
			_ = p.close(context.WithoutCancel(ctx))
		}
	}()
	if p.rules, err = c.rules(); err != nil {
		return nil, err
	}
	if p.togglers, err = c.togglers(o.unlimited); err != nil {
		return nil, err
	}
	if err := p.openStore(o); err != nil { //nolint:contextcheck // it lives until it is closed, as does the one below
		return nil, err
	}
	return p, p.newEmitter(o) //nolint:contextcheck // see above
}

// openStore opens the database that is configured. A service does not wait for
// it; a tool can do nothing without.
func (p *parts) openStore(o options) error {
	c := p.config
	if err := c.checkDatabase(); err != nil {
		return err
	}
	if o.patient && (c.Store != "" || c.database.text() != "") {
		store := newPatientStore(func() (*openedStore, error) { return c.openStore(false) }, o.log())
		p.store = store
		p.closers = append(p.closers, func(context.Context) error { return store.close() })
		return nil
	}
	store, err := c.openStore(o.existing)
	if err != nil || store == nil {
		return err
	}
	p.store = store
	p.closers = append(p.closers, func(context.Context) error { return store.close() })
	return nil
}

// flagLog makes the client of Sentry's flag log.
func (c config) flagLog() (*webhook.Client, error) {
	client, err := webhook.NewClient(webhook.Config{URL: c.flagsURL, Secrets: c.flagsSecrets, AllowHTTP: c.Sentry.AllowHTTP})
	if err != nil {
		return nil, fmt.Errorf("SENTRY_FLAGS_WEBHOOK_URL: %w (AllowHTTP is sentry.allow_http in the configuration)", err)
	}
	return client, nil
}

// newEmitter makes what records switches in Sentry's flag log.
func (p *parts) newEmitter(o options) error {
	c := p.config
	if c.flagsURL == "" {
		return nil
	}
	var err error
	if p.flags, err = c.flagLog(); err != nil {
		return err
	}
	store := p.store
	if store == nil {
		memory, err := queue.NewMemory(queue.MemoryConfig{})
		if err != nil {
			return err
		}
		store = memory
		p.closers = append(p.closers, func(context.Context) error { return memory.Close() })
	}
	p.emitter, err = webhook.NewEmitter(p.flags, store, webhook.EmitterConfig{Logger: o.log(), FormerQueues: p.config.FormerQueues})
	if err != nil {
		return err
	}
	p.closers = append([]func(context.Context) error{p.emitter.Close}, p.closers...)
	return nil
}

// close ends everything, what gives before what takes.
func (p *parts) close(ctx context.Context) error {
	var failed error
	for _, one := range p.closers {
		failed = errors.Join(failed, one(ctx))
	}
	return failed
}

// service is what runs: the relay with all it needs.
type service struct {
	*parts
	relay     *killswitch.Relay
	checker   *checker
	decisions *console.Decisions
}

func newService(ctx context.Context, c config, o options) (*service, error) {
	if err := c.checkServing(); err != nil {
		return nil, err
	}
	o.patient = true
	p, err := newParts(ctx, c, o)
	if err != nil {
		return nil, err
	}
	s := &service{parts: p, checker: newChecker(p, o.log()), decisions: &console.Decisions{}}
	relay := killswitch.Config{
		Secrets: c.clientSecrets, Rules: p.rules, Togglers: p.togglers, Installation: c.Sentry.Installation,
		Header: c.Sentry.Header, HeaderValues: c.headerValues, Store: p.store,
		MaxAge: time.Duration(c.MaxAge), CoolDown: time.Duration(c.CoolDown), CapPerHour: c.CapPerHour, DryRun: c.DryRun,
		AnswerWithin: o.answerWithin, Logger: o.log(), OnReport: o.onReport,
		OnDecision: func(d killswitch.Decision) {
			s.decisions.Add(string(d.Verdict), string(d.Reason))
			if d.Verdict == killswitch.Acted {
				s.checker.giveWay()
			}
			if o.onDecision != nil {
				o.onDecision(d)
			}
		},
	}
	if p.emitter != nil {
		relay.Emitter = p.emitter
	}
	if s.relay, err = killswitch.NewRelay(relay); err != nil { //nolint:contextcheck // it lives until it is closed
		return nil, errors.Join(err, p.close(context.WithoutCancel(ctx)))
	}
	p.closers = append([]func(context.Context) error{s.relay.Close}, p.closers...)
	return s, nil
}

// handler routes Sentry's path, the health checks and the metrics.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(s.config.Path, s.relay)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		killswitch.WriteHealth(w, append(s.relay.Health(r.Context()), s.checker.troubles()...))
	})
	mux.HandleFunc("GET /livez", s.relay.ServeLive)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		s.relay.ServeMetrics(w, r)
		if s.emitter != nil {
			_ = s.emitter.WriteMetrics(r.Context(), w) // nobody is left to tell
		}
	})
	return mux
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
	stopConsole, err := s.serveConsole(ctx, logger, os.Stderr)
	if err != nil {
		return errors.Join(err, listener.Close(), s.close(context.WithoutCancel(ctx)))
	}
	defer stopConsole()
	s.say(ctx, logger)
	// Alerts are taken already while the flag systems are asked.
	checking, stop := context.WithCancel(ctx)
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		s.checker.run(checking)
	}()
	// The check has a last word for the store.
	closeRelay := s.closers[0]
	s.closers[0] = func(ctx context.Context) error {
		stop()
		err := closeRelay(ctx)
		select {
		case <-checked:
		case <-ctx.Done():
		}
		return err
	}
	return serveOn(ctx, s, listener, logger)
}

// say tells of what is configured and may surprise.
func (s *service) say(ctx context.Context, logger *slog.Logger) {
	if s.config.DryRun {
		logger.Warn("killswitch: dry_run is on: it decides, and switches nothing")
	}
	if s.store == nil {
		logger.Warn("killswitch: no store is configured; a crash loses what is under way")
	} else if names, err := queue.Unattended(ctx, s.store, time.Minute); err == nil && len(names) > 0 {
		logger.Error("killswitch: switches or records wait in queues that nobody works on; was a toggler renamed?", "queues", names)
	}
	if s.flags == nil {
		logger.Warn("killswitch: no flag log is configured; switches will not show in Sentry")
	}
}

func serveOn(ctx context.Context, s *service, listener net.Listener, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("killswitch: listening", "address", listener.Addr().String(), "path", s.config.Path)

	var failed error
	select {
	case failed = <-served:
	case <-ctx.Done():
	}
	logger.Info("killswitch: stopping")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	failed = errors.Join(failed, server.Shutdown(ctx), s.closeIn(ctx))
	logger.Info("killswitch: stopped")
	return failed
}

// closeIn leaves the emitter and the store some of the time.
func (s *service) closeIn(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	early, cancel := context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/3))
	defer cancel()
	failed := s.closers[0](early)
	s.closers = s.closers[1:]
	// What the emitter has not delivered waits in the store.
	err := s.close(ctx)
	if s.store != nil && errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return errors.Join(failed, err)
}
