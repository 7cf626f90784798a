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

// usage is how each command is called.
var usage = map[string]string{
	"explain": "explain payload.json",
	"list":    "list",
	"retry":   "retry <id>...",
	"discard": "discard <id>...",
	"restore": "restore -by <person> [-force] [-toggler <name>] <flag>",
	"queue":   "queue status|list|show|correct|replay|discard|resume ...",
}

// printUsage says what the program can do.
func printUsage(flags *flag.FlagSet) {
	out := flags.Output()
	fmt.Fprint(out, "usage: killswitch [-config file] [-check | -demo | command]\n\nWithout a command it serves.\n\n")
	flags.PrintDefaults()
	fmt.Fprint(out, "\ncommands:\n")
	for _, command := range []struct{ name, does string }{
		{"list", "what is switched off, what waits, what has failed and why"},
		{"restore", "a flag back to the state before it was switched off"},
		{"retry", "a switch that has failed, once the cause is gone"},
		{"discard", "a switch that waits or has failed"},
		{"explain", "what the service makes of an alert, and why"},
		{"queue", "the records on their way to Sentry's flag log; queue alone tells more"},
	} {
		fmt.Fprintf(out, "  killswitch %s\n    \t%s\n", usage[command.name], command.does)
	}
}

// runTool is a command: explain, list, retry, discard or restore. For queue see
// runQueue.
func runTool(ctx context.Context, c config, args []string, out, log io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, toolWithin)
	defer cancel()
	name, args := args[0], args[1:]
	if _, known := usage[name]; !known {
		return fmt.Errorf("unknown command %q; there are explain, list, retry, discard, restore and queue", name)
	}
	if slices.ContainsFunc(args, func(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }) {
		fmt.Fprintf(log, "usage: killswitch %s\n", usage[name])
		return flag.ErrHelp
	}
	if name == "explain" {
		return explain(c, args, out)
	}
	tool := map[string]func(context.Context, *parts, []string, io.Writer) error{
		"list": list, "retry": retry, "discard": discard, "restore": restore,
	}[name]
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
		return errors.New("usage: killswitch " + usage["explain"])
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

// former are the journals in which something waits, and whose toggler the
// configuration does not have any more.
func (p *parts) former(ctx context.Context) (map[string]*killswitch.Journal, error) {
	queues, err := p.store.Queues(ctx)
	all := map[string]*killswitch.Journal{}
	for _, queue := range queues {
		name, ours := strings.CutPrefix(queue, killswitch.QueueName("", ""))
		if _, configured := p.togglers[name]; ours && !configured {
			all[name] = killswitch.OpenJournal(p.store, queue)
		}
	}
	return all, err
}

// list is "list".
func list(ctx context.Context, p *parts, args []string, out io.Writer) error {
	if len(args) > 0 {
		return errors.New("usage: killswitch " + usage["list"])
	}
	journals, err := p.former(ctx)
	if err != nil {
		return err
	}
	maps.Copy(journals, p.journals())
	for _, name := range slices.Sorted(maps.Keys(journals)) {
		off, err := journals[name].SwitchedOff(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d switched off and not restored\n", name, len(off))
		if p.togglers[name] == nil {
			fmt.Fprintf(out, "  the configuration has no toggler of that name: what waits here waits until it has\n")
		}
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
			fmt.Fprintf(out, "  %s %s: %s on=%t by %q at %s", state, shortID(one.ID), one.Target, one.On, one.Alert+one.By, one.At.Format(time.RFC3339))
			if one.Tries > 0 { // put off so often; the last attempt is not counted
				fmt.Fprintf(out, ", put off %d times", one.Tries)
			}
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
	journals := p.journals()
	for _, id := range ids {
		journal, one, err := pendingOf(ctx, journals, id)
		if err != nil {
			return err
		}
		if err := do(journal, ctx, one); err != nil {
			return fmt.Errorf("%s: %w", one.Target, err)
		}
		fmt.Fprintf(out, "%s %s\n", one.Target, done)
	}
	return nil
}

// shortID is an id as list shows it: so much of its two parts, the alert's and the
// flag's, as tells it from others.
func shortID(id string) string {
	body, flag, _ := strings.Cut(id, "-")
	return fmt.Sprintf("%.10s-%.6s", body, flag)
}

// pendingOf finds the one switch whose id begins so. Several are an error: they
// would be more than was meant.
func pendingOf(ctx context.Context, journals map[string]*killswitch.Journal, id string) (of *killswitch.Journal, found killswitch.Pending, _ error) {
	n := 0
	for _, journal := range journals {
		pending, err := journal.Pending(ctx)
		if err != nil {
			return nil, found, err
		}
		for _, one := range pending {
			if id != "" && (strings.HasPrefix(one.ID, id) || strings.HasPrefix(shortID(one.ID), id)) {
				n++
				of, found = journal, one
			}
		}
	}
	switch n {
	case 0:
		return nil, found, fmt.Errorf("nothing that waits or has failed begins with %q; list shows the ids", id)
	case 1:
		return of, found, nil
	}
	return nil, found, fmt.Errorf("%d switches begin with %q: give more of the id, as list shows it", n, id)
}

// restore is "restore -by <person> [-force] [-toggler <name>] <flag>".
func restore(ctx context.Context, p *parts, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("restore", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	by := flags.String("by", "", "")
	force := flags.Bool("force", false, "")
	through := flags.String("toggler", "", "")
	var names []string
	for err := flags.Parse(args); ; err = flags.Parse(flags.Args()[1:]) { // flags may stand behind the name
		if err != nil {
			return fmt.Errorf("%w; usage: killswitch %s", err, usage["restore"])
		}
		if flags.NArg() == 0 {
			break
		}
		names = append(names, flags.Arg(0))
	}
	if *by == "" || len(names) != 1 {
		return fmt.Errorf("usage: killswitch %s; list shows the flags", usage["restore"])
	}
	toggler, err := p.togglerOf(ctx, names[0], *through)
	if err != nil {
		return err
	}
	what := killswitch.Restoration{
		Flag: names[0], By: *by, Force: *force, Toggler: p.togglers[toggler], Logger: slog.New(slog.DiscardHandler),
	}
	recorded := "no flag log is configured, which would show it"
	if p.emitter != nil {
		what.Emitter = p.emitter
		recorded = fmt.Sprintf("the flag log has it under %q", *by)
	}
	restored, err := p.journals()[toggler].Restore(ctx, what)
	switch {
	case errors.Is(err, killswitch.ErrFormerState):
		return fmt.Errorf("%w (-force)", err)
	case err != nil:
		return err
	case restored.On:
		fmt.Fprintf(out, "%s is on again; %s\n", restored.Target, recorded)
	default:
		fmt.Fprintf(out, "%s was off before it was switched off, and stays off\n", restored.Target)
	}
	return nil
}

// togglerOf returns the toggler that has switched a flag off. Two may have a flag
// of that name.
func (p *parts) togglerOf(ctx context.Context, flag, wanted string) (string, error) {
	if wanted != "" {
		if _, found := p.togglers[wanted]; !found {
			return "", fmt.Errorf("there is no toggler %q", wanted)
		}
		return wanted, nil
	}
	journals := p.journals()
	if len(journals) == 1 {
		for name := range journals {
			return name, nil
		}
	}
	var have, known []string
	for _, name := range slices.Sorted(maps.Keys(journals)) {
		all, err := journals[name].SwitchedOff(ctx)
		if err != nil {
			return "", err
		}
		for _, one := range all {
			known = append(known, one.Target.String())
			if (one.Target.String() == flag || one.Target.Flag == flag || one.Flag == flag) && !slices.Contains(have, name) {
				have = append(have, name)
			}
		}
	}
	switch len(have) {
	case 0:
		return "", fmt.Errorf("%w: %q; there are: %q", killswitch.ErrNotSwitchedOff, flag, known)
	case 1:
		return have[0], nil
	}
	return "", fmt.Errorf("%s have a flag %q that is switched off: say which with -toggler", strings.Join(have, " and "), flag)
}
