package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/getsentry/sentry-go"
	flagd "github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk/openfeature"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	_ "modernc.org/sqlite" // the driver called "sqlite"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/flagdfile"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// settings are what a deployment says.
type settings struct {
	Flags        string // the flag file: what flagd evaluates, the watcher reads and the kill switch edits
	Store        string // the SQLite file for what must not be lost
	FlagLog      string // Sentry, Feature Flags, Change Tracking, provider Generic: the URL
	FlagSecret   signing.Secret
	ClientSecret signing.Secret // of the internal integration that sends the alerts
	Rules        []killswitch.Rule

	DSN       string
	Transport sentry.Transport      // nil sends to Sentry
	Spans     sdktrace.SpanExporter // an OTLP exporter, say
	OnReport  func(killswitch.Report)
}

// service is the three flows in one process, around a shop.
type service struct {
	HTTP http.Handler
	GRPC *grpc.Server

	spans   *sdktrace.TracerProvider
	db      *sql.DB
	store   *sqlstore.Store
	emitter *webhook.Emitter
	watcher *changes.Watcher
	relay   *killswitch.Relay
}

// start puts everything together; stop ends it, also after an error.
func start(ctx context.Context, c settings) (s *service, err error) {
	s = &service{}
	for _, flow := range []func(context.Context, settings) error{s.trackEvaluations, s.trackChanges, s.killSwitch} {
		if err := flow(ctx, c); err != nil {
			return s, err
		}
	}
	shop := newShop(s.spans, flagtrack.NewHook()) // on its client, or with openfeature.AddHooks on all there are
	mux := http.NewServeMux()
	mux.Handle("POST /sentry/alerts", s.relay)
	mux.HandleFunc("GET /health", s.relay.ServeHealth)
	mux.Handle("/", shop.http())
	s.HTTP, s.GRPC = mux, shop.grpc()
	return s, nil
}

// trackEvaluations: what flagd's provider evaluates stands on the errors, by the
// hook of the shop's client. They say in which OpenTelemetry trace they happened.
func (s *service) trackEvaluations(ctx context.Context, c settings) error {
	if err := sentry.Init(sentry.ClientOptions{Dsn: c.DSN, Transport: c.Transport}); err != nil {
		return err
	}
	linkTraces(sentry.CurrentHub().Client())
	s.spans = sdktrace.NewTracerProvider(sdktrace.WithBatcher(c.Spans))
	provider, err := flagd.NewProvider(flagd.WithFileResolver(), flagd.WithOfflineFilePath(c.Flags))
	if err != nil {
		return err
	}
	return openfeature.SetProviderWithContextAndWait(ctx, provider)
}

// trackChanges: what people change in the flag file stands in Sentry's flag log.
func (s *service) trackChanges(ctx context.Context, c settings) (err error) {
	if s.db, err = sqlstore.OpenSQLite("sqlite", c.Store); err != nil { //nolint:contextcheck // it opens a file
		return err
	}
	if s.store, err = sqlstore.New(s.db, sqlstore.SQLite); err != nil {
		return err
	}
	client, err := webhook.NewClient(webhook.Config{URL: c.FlagLog, Secrets: []signing.Secret{c.FlagSecret}})
	if err != nil {
		return err
	}
	if err := client.Check(ctx); err != nil { // proves the URL and the secret, and writes nothing
		slog.Error("Sentry's flag log", "err", err)
	}
	if s.emitter, err = webhook.NewEmitter(client, s.store, webhook.EmitterConfig{}); err != nil {
		return err
	}
	s.watcher, err = changes.NewWatcher(changes.Config{ //nolint:contextcheck // it lives until it is closed
		Source: &changes.File{Path: c.Flags}, Format: changes.Flagd{}, Emitter: s.emitter, Store: s.store,
		Lag: -1, // there is one process
	})
	if err != nil {
		return err
	}
	look := func(openfeature.EventDetails) { s.watcher.Look() } // flagd's provider has seen something: so look now
	openfeature.AddHandler(openfeature.ProviderConfigChange, &look)
	return nil
}

// killSwitch: an alert switches a flag off in the same file.
func (s *service) killSwitch(_ context.Context, c settings) error {
	file, err := flagdfile.New(c.Flags)
	if err != nil {
		return err
	}
	s.relay, err = killswitch.NewRelay(killswitch.Config{ //nolint:contextcheck // it lives until it is closed
		Secrets: []signing.Secret{c.ClientSecret}, Rules: c.Rules,
		Togglers: map[string]killswitch.Toggler{"flagd": owned{file, s.watcher}},
		Store:    s.store, Emitter: s.emitter, OnReport: c.OnReport,
	})
	return err
}

// owned is a toggler of the watched file. It tells the watcher of each switch
// first, so that the flag log has it once: from the kill switch, with the name of
// the alert.
type owned struct {
	*flagdfile.Toggler
	watcher *changes.Watcher
}

// ownWithin bounds what a switch waits for the store: that it is made counts for
// more than that it is reported once.
var ownWithin = 250 * time.Millisecond

func (o owned) Toggle(ctx context.Context, s killswitch.Switch) (was killswitch.State, err error) {
	soon, cancel := context.WithTimeout(ctx, ownWithin)
	defer cancel()
	if err := o.watcher.Own(soon, s.Target.Flag, s.On); err != nil {
		slog.Warn("the flag log may have this switch twice", "flag", s.Target.Flag, "err", err)
	}
	was, err = o.Toggler.Toggle(ctx, s)
	if err != nil {
		err = errors.Join(err, o.watcher.Disown(context.WithoutCancel(ctx), s.Target.Flag))
	}
	return was, err
}

// stop ends the service in the order in which its parts need one another.
func (s *service) stop(ctx context.Context) error {
	var failed []error
	if s.GRPC != nil {
		impatient := context.AfterFunc(ctx, s.GRPC.Stop) // a call may never end
		s.GRPC.GracefulStop()
		impatient()
	}
	if s.relay != nil {
		failed = append(failed, s.relay.Close(ctx))
	}
	if s.watcher != nil {
		failed = append(failed, s.watcher.Close(ctx))
	}
	if s.emitter != nil {
		failed = append(failed, s.emitter.Close(ctx))
	}
	if s.store != nil {
		failed = append(failed, s.store.Close())
	}
	if s.db != nil {
		failed = append(failed, s.db.Close())
	}
	openfeature.Shutdown()
	if s.spans != nil {
		failed = append(failed, s.spans.Shutdown(ctx))
	}
	if client := sentry.CurrentHub().Client(); client != nil {
		if !client.FlushWithContext(ctx) {
			failed = append(failed, errors.New("not all events have reached Sentry"))
		}
		client.Close()
	}
	return errors.Join(failed...)
}
