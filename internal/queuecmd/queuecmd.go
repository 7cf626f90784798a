// Package queuecmd is the subcommand "queue" of this project's programs: an
// emitter's queue from a terminal or a script.
package queuecmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Command is the subcommand.
type Command struct {
	// Name is how it is called: "flagwatch queue".
	Name string
	// Open opens the queue, once the arguments are understood, and returns what
	// closes it.
	Open func(ctx context.Context) (*webhook.Inspector, func() error, error)
	// Stdout gets what was asked for, Stderr what is wrong.
	Stdout, Stderr io.Writer
}

// The exit statuses of [Command.Run].
const (
	// OK means that it was done.
	OK = 0
	// Failed means that it was not, or not wholly: the store, or Sentry's rules,
	// or the entry is not dead (any more).
	Failed = 1
	// Usage means that the arguments were not understood. Nothing was opened.
	Usage = 2
)

const usage = `usage:
  %[1]s status [-json]
      says what waits and since when, what is dead, whether delivery is paused, and
      what waits or is dead elsewhere in the store
  %[1]s list [-state dead] [-flag name] [-limit n] [-before seq] [-reasons] [-json]
      lists changes, the newest first: waiting, dead, delivered, discarded or all,
      100 of them unless -limit says otherwise, where 0 is no limit;
      with -reasons, how many of the dead have which reason
  %[1]s show [-json] id...
      shows all that is known of changes
  %[1]s correct [-flag name] [-action a] [-author id] [-author-type t] [-created-at time] [-check] [-json] id
      delivers a dead change with what is given in place of what it had
  %[1]s replay [-all [-reason text]] [-json] id...
      delivers dead changes again as they are
  %[1]s discard [-all [-reason text]] [-json] id...
      gives dead changes up, and with an id waiting ones too
  %[1]s resume
      ends a pause once its cause is mended: what waits is tried at once
With -json each line is an object. An id that begins with "-" goes after "--".
`

var errUsage = errors.New("usage")

// run is one call of the command.
type run struct {
	Command
	inspector *webhook.Inspector
	json      bool
	failed    bool
}

// Run runs the command with the arguments after its name and returns the
// program's exit status.
func (c Command) Run(ctx context.Context, args []string) int {
	r := &run{Command: c}
	verbs := map[string]func() (*flag.FlagSet, func(context.Context, []string) error){
		"status": r.status, "resume": r.resume, "list": r.list, "show": r.show, "correct": r.correct, "replay": r.replay, "discard": r.discard,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		help := len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help")
		if len(args) > 0 && !help {
			fmt.Fprintf(c.Stderr, "%s: there is no %q\n", c.Name, args[0])
		}
		fmt.Fprintf(c.Stderr, usage, c.Name)
		if help {
			return OK
		}
		return Usage
	}
	flags, do := verbs[args[0]]()
	flags.SetOutput(c.Stderr)
	flags.Usage = func() { fmt.Fprintf(c.Stderr, usage, c.Name) }
	flags.BoolVar(&r.json, "json", false, "")
	ids, err := parse(flags, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return OK
	case err != nil:
		return Usage // flags have said why
	}
	err = r.with(ctx, func() error { return do(ctx, ids) })
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintf(c.Stderr, "%s: %s\n", c.Name, strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return Usage
	case err != nil:
		fmt.Fprintf(c.Stderr, "%s: %v\n", c.Name, err)
		return Failed
	case r.failed:
		return Failed
	}
	return OK
}

// with opens the queue for as long as it is used.
func (r *run) with(ctx context.Context, use func() error) error {
	inspector, closeAll, err := r.Open(ctx)
	if err != nil {
		return err
	}
	r.inspector = inspector
	return errors.Join(use(), closeAll())
}

// parse takes flags before, between and after the other arguments. After "--"
// there are none: an id may begin with "-".
func parse(flags *flag.FlagSet, args []string) (others []string, err error) {
	var rest []string
	if end := slices.Index(args, "--"); end >= 0 {
		args, rest = args[:end], args[end+1:]
	}
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		args = flags.Args()
		if len(args) == 0 {
			return append(others, rest...), nil
		}
		others, args = append(others, args[0]), args[1:]
	}
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// find returns the entry with this ID.
func (r *run) find(ctx context.Context, id string) (queue.Entry, error) {
	found, err := r.inspector.List(ctx, queue.Filter{ID: id})
	if err != nil {
		return queue.Entry{}, err
	}
	if len(found) == 0 {
		return queue.Entry{}, fmt.Errorf("there is no change %q in the queue %s", id, r.inspector.Queue())
	}
	return found[0], nil
}

// walk calls do with entries, the newest first, up to a limit if that is not 0.
// What is added meanwhile, or revised, is not among them.
func (r *run) walk(ctx context.Context, filter queue.Filter, limit int, do func([]queue.Entry) error) error {
	filter.Newest = true
	for left := limit; ; {
		filter.Limit = queue.MaxList
		if limit > 0 {
			filter.Limit = min(left, queue.MaxList)
		}
		entries, err := r.inspector.List(ctx, filter)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			if err := do(entries); err != nil {
				return err
			}
			filter.Before = entries[len(entries)-1].Seq
		}
		left -= len(entries)
		if len(entries) < filter.Limit || limit > 0 && left == 0 {
			return nil
		}
	}
}
