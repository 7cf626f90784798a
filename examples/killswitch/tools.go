package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// toolWithin bounds what a tool does.
const toolWithin = time.Minute

// runTool is a command: explain, list, retry, discard or restore. For queue see
// runQueue.
func runTool(ctx context.Context, c config, args []string, out, log io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, toolWithin)
	defer cancel()
	name, args := args[0], args[1:]
	if name == "explain" {
		return explain(c, args, out)
	}
	tool, found := map[string]func(context.Context, *parts, []string, io.Writer) error{
		"list": list, "retry": retry, "discard": discard, "restore": restore,
	}[name]
	if !found {
		return fmt.Errorf("unknown command %q; there are explain, list, retry, discard, restore and queue", name)
	}
	p, err := newParts(ctx, c, options{
		existing: true, logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	if p.store == nil {
		return errors.Join(errors.New("no store is configured, so there is no journal that another process could read"), p.close(ctx))
	}
	return errors.Join(tool(ctx, p, args, out), p.close(context.WithoutCancel(ctx)))
}

// explain is "explain payload.json": what the service would make of an alert, and
// why. It needs no secret, and switches nothing.
func explain(c config, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: killswitch explain payload.json")
	}
	body, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	rules, err := c.rules()
	if err != nil {
		return err
	}
	a, err := alert.Parse(body)
	if err != nil {
		return err
	}
	now := time.Now()
	if !a.At.IsZero() && now.Sub(a.At) > 0 {
		now = a.At.Add(time.Second)
		fmt.Fprintf(out, "as if it had arrived at %s\n", now.Format(time.RFC3339))
	}
	e := killswitch.Explain(&a, rules, time.Duration(c.MaxAge), now)
	fmt.Fprintf(out, "%s: %s\n", e.Decision.Verdict, e.Decision.Reason)
	if e.Decision.Note != "" {
		fmt.Fprintf(out, "%s\n", e.Decision.Note)
	}
	for i, conditions := range e.Rules {
		fmt.Fprintf(out, "rule %d, about %s:\n", i+1, rules[i].Target)
		for _, condition := range conditions {
			mark := "no "
			if condition.Holds {
				mark = "yes"
			}
			fmt.Fprintf(out, "  %s  %s\n", mark, condition)
		}
	}
	return nil
}

// journals are the togglers' journals, by name.
func (p *parts) journals() map[string]*killswitch.Journal {
	all := map[string]*killswitch.Journal{}
	for name := range p.togglers {
		all[name] = killswitch.OpenJournal(p.store, killswitch.QueueName("", name))
	}
	return all
}

// list is "list".
func list(ctx context.Context, p *parts, args []string, out io.Writer) error {
	if len(args) > 0 {
		return errors.New("usage: killswitch list")
	}
	journals := p.journals()
	for _, name := range slices.Sorted(maps.Keys(journals)) {
		off, err := journals[name].SwitchedOff(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d switched off and not restored\n", name, len(off))
		for _, one := range off {
			fmt.Fprintf(out, "  %s since %s by %q (%s), was %s\n", one.Target, one.Since.Format(time.RFC3339), one.Alert, one.Trigger, one.Was)
		}
		pending, err := journals[name].Pending(ctx)
		if err != nil {
			return err
		}
		for _, one := range pending {
			state := "waits"
			if one.Failed {
				state = "failed"
			}
			fmt.Fprintf(out, "  %s %.16s: %s on=%t by %q at %s, tried %d times", state, one.ID, one.Target, one.On, one.Alert+one.By, one.At.Format(time.RFC3339), one.Tries)
			if one.Reason != "" {
				fmt.Fprintf(out, ": %s", one.Reason)
			}
			fmt.Fprintln(out)
		}
	}
	return nil
}

// retry is "retry <id>…", and discard "discard <id>…": the beginning of an id
// does.
func retry(ctx context.Context, p *parts, ids []string, out io.Writer) error {
	return p.each(ctx, ids, out, "is tried again", (*killswitch.Journal).Retry)
}

func discard(ctx context.Context, p *parts, ids []string, out io.Writer) error {
	return p.each(ctx, ids, out, "is given up", (*killswitch.Journal).Discard)
}

func (p *parts) each(ctx context.Context, ids []string, out io.Writer, done string,
	do func(*killswitch.Journal, context.Context, killswitch.Pending) error,
) error {
	if len(ids) == 0 {
		return errors.New("which? list shows the ids")
	}
	for _, id := range ids {
		found := 0
		for _, journal := range p.journals() {
			pending, err := journal.Pending(ctx)
			if err != nil {
				return err
			}
			for _, one := range pending {
				if !strings.HasPrefix(one.ID, id) {
					continue
				}
				found++
				if err := do(journal, ctx, one); err != nil {
					return fmt.Errorf("%s: %w", one.Target, err)
				}
				fmt.Fprintf(out, "%s %s\n", one.Target, done)
			}
		}
		if found == 0 {
			return fmt.Errorf("nothing that waits or has failed begins with %q", id)
		}
	}
	return nil
}

// restore is "restore -by <person> [-force] <flag>".
func restore(ctx context.Context, p *parts, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("restore", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	by := flags.String("by", "", "")
	force := flags.Bool("force", false, "")
	if err := flags.Parse(args); err != nil || *by == "" || flags.NArg() != 1 {
		return errors.New("usage: killswitch restore -by <person> [-force] <flag>; list shows the flags")
	}
	failed := killswitch.ErrNotSwitchedOff
	for name, journal := range p.journals() {
		what := killswitch.Restoration{
			Flag: flags.Arg(0), By: *by, Force: *force, Toggler: p.togglers[name], Logger: slog.New(slog.DiscardHandler),
		}
		if p.emitter != nil {
			what.Emitter = p.emitter
		}
		restored, err := journal.Restore(ctx, what)
		if errors.Is(err, killswitch.ErrNotSwitchedOff) {
			failed = err
			continue
		}
		if err != nil {
			return err
		}
		if restored.On {
			fmt.Fprintf(out, "%s is on again; the flag log has it under %q\n", restored.Target, *by)
		} else {
			fmt.Fprintf(out, "%s was off before it was switched off, and stays off\n", restored.Target)
		}
		return nil
	}
	return failed
}
