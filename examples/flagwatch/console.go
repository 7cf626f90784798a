package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/internal/queuecmd"
	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/internal/storefile"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// serveConsole serves the page for people on an address of its own, if one is
// configured, until the function returned is called.
func (s *service) serveConsole(ctx context.Context, c config, logger *slog.Logger, announce io.Writer) (stop func(), err error) {
	if c.Console == "" {
		return func() {}, nil
	}
	password, err := environ.Password(c.env, "FLAGWATCH_CONSOLE_PASSWORD", console.MinPassword)
	if err != nil {
		return nil, err
	}
	page, err := console.New(console.Config{
		Title: "Flag watch", Inspector: s.emitter.Inspector(), Sources: s.sources,
		Password: signing.NewSecret(password), Announce: announce, Hosts: c.ConsoleHosts, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return setup.ServePage(ctx, c.Console, page, "flagwatch", logger)
}

// sources are the watchers and the receivers, for the console.
func (s *service) sources() []console.Source {
	var all []console.Source
	for _, watcher := range s.watchers {
		stats := watcher.Stats()
		source := console.Source{Name: watcher.Name(), Flags: stats.Flags, LastGood: stats.LastGood, Since: stats.Since}
		if stats.Problem != nil {
			source.Problem = stats.Problem.Error()
		}
		all = append(all, source)
	}
	for _, path := range s.paths() {
		stats := s.doors[path].Stats()
		problem, since := unheard(stats)
		all = append(all, console.Source{Name: "webhooks of " + s.doors[path].Name(), Received: true, LastGood: stats.LastAuthentic, Problem: problem, Since: since})
	}
	return all
}

// runQueue is the command queue: the changes on their way to Sentry's flag log.
func runQueue(ctx context.Context, file string, args []string, env func(string) string, stdout, stderr io.Writer) int {
	return queuecmd.Command{
		Name: "flagwatch queue", Stdout: stdout, Stderr: stderr,
		Open: func(context.Context) (*webhook.Inspector, func() error, error) {
			c, err := readConfig(file, env)
			if err != nil {
				return nil, nil, err
			}
			client, err := webhook.NewClient(webhook.Config{URL: c.flagsURL, Secrets: c.flagsSecrets, AllowHTTP: c.AllowHTTP})
			if err != nil {
				return nil, nil, err
			}
			if c.database() == "" {
				if err := storefile.Exists(c.Store); err != nil {
					return nil, nil, err
				}
			}
			s := &service{}
			store, err := s.openStore(c, sqlstore.WithExistingTables()) //nolint:contextcheck // it lives until it is closed
			closeAll := func() error { return s.close(context.WithoutCancel(ctx)) }
			if err != nil {
				return nil, nil, errors.Join(err, closeAll())
			}
			inspector, err := webhook.NewInspector(store, client.Queue(), webhook.InspectorConfig{FormerQueues: c.FormerQueues})
			return inspector, closeAll, err
		},
	}.Run(ctx, args)
}
