package main

import (
	"bytes"
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
	"forget":  "forget [-toggler <name>] <flag>",
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
		{"forget", "a flag that list shows as switched off, and that is gone or was switched on elsewhere; switches nothing"},
		{"retry", "a switch that has failed, once the cause is gone"},
		{"discard", "a switch that waits or has failed"},
		{"explain", "what the service makes of an alert, and why; - reads standard input"},
		{"queue", "the records on their way to Sentry's flag log; queue alone tells more"},
	} {
		fmt.Fprintf(out, "  killswitch %s\n    \t%s\n", usage[command.name], command.does)
	}
}

// helpOf says how a command is called, if that is asked for or there is none of
// that name. It needs no configuration.
func helpOf(args []string, log io.Writer) error {
	name, args := args[0], args[1:]
	if _, known := usage[name]; !known {
		return fmt.Errorf("unknown command %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(usage)), ", "))
	}
	if slices.ContainsFunc(args, func(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }) {
		fmt.Fprintf(log, "usage: killswitch %s\n", usage[name])
		return flag.ErrHelp
	}
	return nil
}

// runTool is a command: explain, list, retry, discard, restore or forget. For
// queue see runQueue.
func runTool(ctx context.Context, c config, args []string, out, log io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, toolWithin)
	defer cancel()
	name, args := args[0], args[1:]
	if name == "explain" {
		return explain(ctx, c, args, out)
	}
	tool := map[string]func(context.Context, *parts, []string, io.Writer) error{
		"list": list, "retry": retry, "discard": discard, "restore": restore, "forget": forget,
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
func explain(ctx context.Context, c config, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: killswitch " + usage["explain"])
	}
	read := func() ([]byte, error) { return os.ReadFile(args[0]) }
	if args[0] == "-" {
		read = func() ([]byte, error) { return io.ReadAll(os.Stdin) }
	}
	body, err := read()
	if err != nil {
		return err
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // an editor's, which the signature would not cover
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
	if c.DryRun && e.Decision.Verdict == killswitch.Acted {
		fmt.Fprintln(out, "dry_run is on: nothing is switched")
	}
	if err := c.explainStanding(ctx, &a, e, rules, out); err != nil {
		fmt.Fprintf(out, "what holds it back now (cool-down, cap) cannot be told: %v\n", err)
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

// explainStanding says what earlier switches hold against the alert now.
func (c config) explainStanding(ctx context.Context, a *alert.Alert, e killswitch.Explanation, rules []killswitch.Rule, out io.Writer) error {
	if e.Decision.Verdict != killswitch.Acted {
		return nil
	}
	store, err := c.openStore(true)
	if err != nil || store == nil {
		return err
	}
	defer func() { _ = store.close() }()
	for i, conditions := range e.Rules {
		if slices.ContainsFunc(conditions, func(one killswitch.Condition) bool { return !one.Holds }) {
			continue
		}
		toggler := rules[i].Toggler
		for name := range c.Togglers {
			if toggler == "" && len(c.Togglers) == 1 {
				toggler = name
			}
		}
		standing, err := killswitch.OpenJournal(store, killswitch.QueueName("", toggler)).Standing(ctx, time.Duration(c.CoolDown), c.CapPerHour)
		if err != nil {
			return err
		}
		for _, one := range standing {
			if !one.Target.Equal(rules[i].Target) {
				continue
			}
			for _, cool := range one.CoolDowns {
				if cool.Of(a) {
					fmt.Fprintf(out, "now it would not: the same alert has switched %s, and does so again from %s\n", one.Target, cool.Until.Format(time.RFC3339))
				}
			}
			if !one.CapUntil.IsZero() {
				fmt.Fprintf(out, "now it would not: %s was switched %d times within the hour, which is the cap; the next time from %s\n", one.Target, one.Switched, one.CapUntil.Format(time.RFC3339))
			}
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
		standing, err := journals[name].Standing(ctx, time.Duration(p.config.CoolDown), p.config.CapPerHour)
		if err != nil {
			return err
		}
		for _, one := range standing {
			printStanding(out, one)
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

// printStanding says what holds the next alert about a flag back.
func printStanding(out io.Writer, one killswitch.Standing) {
	if !one.CapUntil.IsZero() {
		fmt.Fprintf(out, "  %s: CAP REACHED, switched %d times within the hour; no alert switches it before %s\n", one.Target, one.Switched, one.CapUntil.Format(time.RFC3339))
	}
	for _, cool := range one.CoolDowns {
		fmt.Fprintf(out, "  %s: cool-down of an alert (%s) until %s\n", one.Target, cool.Trigger, cool.Until.Format(time.RFC3339))
	}
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
		return p.hint(ctx, names[0], err)
	}
	what := killswitch.Restoration{
		Flag: names[0], By: *by, Force: *force, Toggler: p.togglers[toggler], Logger: p.logger,
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
	case errors.Is(err, killswitch.ErrNotSwitchedOff):
		return p.hint(ctx, names[0], err)
	case err != nil:
		return fmt.Errorf("%w (if the flag is gone, or is to stay as it is: killswitch %s)", err, usage["forget"])
	case restored.On:
		fmt.Fprintf(out, "%s is on again; %s\n", restored.Target, recorded)
	default:
		fmt.Fprintf(out, "%s was off before it was switched off, and stays off\n", restored.Target)
	}
	return nil
}

// hint adds to "no such flag is switched off" what is about to switch it.
func (p *parts) hint(ctx context.Context, flag string, err error) error {
	if !errors.Is(err, killswitch.ErrNotSwitchedOff) {
		return err
	}
	for _, journal := range p.journals() {
		pending, _ := journal.Pending(ctx) // the error is another one already
		for _, one := range pending {
			if !one.Failed && !one.On && (one.Target.Flag == flag || one.Target.String() == flag) {
				err = fmt.Errorf("%w; but a switch of it waits: killswitch discard %s", err, shortID(one.ID))
			}
		}
	}
	return err
}

// forget is "forget [-toggler <name>] <flag>".
func forget(ctx context.Context, p *parts, args []string, out io.Writer) error {
	through, names, err := forgetArgs(args)
	if err != nil || len(names) != 1 {
		return fmt.Errorf("usage: killswitch %s; list shows the flags", usage["forget"])
	}
	toggler := through // it may be one that the configuration does not have any more
	if toggler == "" {
		if toggler, err = p.togglerOf(ctx, names[0], ""); err != nil {
			return err
		}
	}
	off, err := killswitch.OpenJournal(p.store, killswitch.QueueName("", toggler)).Forget(ctx, names[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is forgotten: it was not switched, and its cool-downs are over\n", off.Target)
	return nil
}

// forgetArgs takes the flag before and behind the name.
func forgetArgs(args []string) (toggler string, names []string, err error) {
	flags := flag.NewFlagSet("forget", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&toggler, "toggler", "", "")
	for err = flags.Parse(args); err == nil && flags.NArg() > 0; err = flags.Parse(flags.Args()[1:]) {
		names = append(names, flags.Arg(0))
	}
	return toggler, names, err
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
