package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/internal/queuecmd"
	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// newConsole makes the page for people.
func (s *service) newConsole(logger *slog.Logger, announce io.Writer) (http.Handler, error) {
	password, err := environ.Password(s.config.env, "KILLSWITCH_CONSOLE_PASSWORD", console.MinPassword)
	if err != nil {
		return nil, err
	}
	config := console.Config{
		Title: "Kill switch", Decisions: s.decisions, Password: signing.NewSecret(password), Announce: announce, Hosts: s.config.ConsoleHosts, Logger: logger,
	}
	if s.store != nil {
		config.Switches = switches{s.parts, logger}
	}
	if s.emitter != nil {
		config.Inspector = s.emitter.Inspector()
	}
	return console.New(config)
}

// serveConsole serves the page on an address of its own, if one is configured,
// until the function returned is called.
func (s *service) serveConsole(ctx context.Context, logger *slog.Logger, announce io.Writer) (stop func(), err error) {
	if s.config.Console == "" {
		return func() {}, nil
	}
	page, err := s.newConsole(logger, announce)
	if err != nil {
		return nil, err
	}
	return setup.ServePage(ctx, s.config.Console, page, "killswitch", logger)
}

// switches are the journals of all togglers, for the console.
type switches struct {
	*parts
	logger *slog.Logger
}

// SwitchedOff implements console.Switches.
func (s switches) SwitchedOff(ctx context.Context) ([]console.SwitchedOff, error) {
	var all []console.SwitchedOff
	journals := s.journals()
	for _, name := range slices.Sorted(maps.Keys(journals)) {
		off, err := journals[name].SwitchedOff(ctx)
		if err != nil {
			return nil, err
		}
		for _, one := range off {
			all = append(all, console.SwitchedOff{
				Target: name + ": " + one.Target.String(), Flag: one.Flag, Alert: one.Alert, Since: one.Since, Was: was[one.Was],
			})
		}
	}
	return all, nil
}

var was = map[killswitch.State]console.Was{killswitch.StateOn: console.WasOn, killswitch.StateOff: console.WasOff}

// Restore implements console.Switches.
func (s switches) Restore(ctx context.Context, target, by string, force bool) error {
	for name, journal := range s.journals() {
		off, err := journal.SwitchedOff(ctx)
		if err != nil {
			return err
		}
		for _, one := range off {
			if name+": "+one.Target.String() != target {
				continue
			}
			what := killswitch.Restoration{Flag: one.Target.String(), By: by, Force: force, Toggler: s.togglers[name], Logger: s.logger}
			if s.emitter != nil {
				what.Emitter = s.emitter
			}
			_, err := journal.Restore(ctx, what)
			return err
		}
	}
	return killswitch.ErrNotSwitchedOff
}

// Pending implements console.Switches.
func (s switches) Pending(ctx context.Context) ([]console.PendingSwitch, error) {
	var all []console.PendingSwitch
	journals := s.journals()
	for _, name := range slices.Sorted(maps.Keys(journals)) {
		pending, err := journals[name].Pending(ctx)
		if err != nil {
			return nil, err
		}
		for _, one := range pending {
			all = append(all, console.PendingSwitch{
				ID: one.ID, Target: name + ": " + one.Target.String(), On: one.On, Alert: one.Alert, By: one.By, At: one.At,
				Failed: one.Failed, Due: one.Due, Reason: one.Reason,
			})
		}
	}
	return all, nil
}

// Retry implements console.Switches.
func (s switches) Retry(ctx context.Context, id, _ string) error {
	return s.onPending(ctx, id, (*killswitch.Journal).Retry)
}

// GiveUp implements console.Switches.
func (s switches) GiveUp(ctx context.Context, id, _ string) error {
	return s.onPending(ctx, id, (*killswitch.Journal).Discard)
}

func (s switches) onPending(ctx context.Context, id string, do func(*killswitch.Journal, context.Context, killswitch.Pending) error) error {
	for _, journal := range s.journals() {
		pending, err := journal.Pending(ctx)
		if err != nil {
			return err
		}
		for _, one := range pending {
			if one.ID == id {
				return do(journal, ctx, one)
			}
		}
	}
	return errors.New("there is no such switch (any more)")
}

// exitStatus is how the program ends when everything was said already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// runQueue is the command queue: the records on their way to Sentry's flag log.
func runQueue(ctx context.Context, file string, env func(string) string, args []string, out, log io.Writer) error {
	status := queuecmd.Command{
		Name: "killswitch queue", Stdout: out, Stderr: log,
		Open: func(context.Context) (*webhook.Inspector, func() error, error) {
			c, err := readConfig(file, env)
			if err != nil {
				return nil, nil, err
			}
			p := &parts{config: c}
			if err := p.openStore(options{existing: true}); err != nil { //nolint:contextcheck // it lives until it is closed
				return nil, nil, err
			}
			closeAll := func() error { return p.close(context.WithoutCancel(ctx)) }
			inspector, err := p.inspector()
			if err != nil {
				return nil, nil, errors.Join(err, closeAll())
			}
			return inspector, closeAll, nil
		},
	}.Run(ctx, args)
	if status != queuecmd.OK {
		return exitStatus(status)
	}
	return nil
}

// inspector opens the queue of the service's emitter without delivering from it.
func (p *parts) inspector() (*webhook.Inspector, error) {
	if p.store == nil {
		return nil, errors.New("no store is configured, so there is no queue that another process could read")
	}
	if p.config.flagsURL == "" {
		return nil, errors.New("no flag log is configured: set SENTRY_FLAGS_WEBHOOK_URL and SENTRY_FLAGS_WEBHOOK_SECRET")
	}
	client, err := p.config.flagLog()
	if err != nil {
		return nil, err
	}
	return webhook.NewInspector(p.store, client.Queue(), webhook.InspectorConfig{FormerQueues: p.config.FormerQueues})
}
