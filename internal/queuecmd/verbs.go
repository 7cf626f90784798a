package queuecmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// states are what -state takes: the words of people, for whom done is delivered.
var states = map[string][]queue.State{
	"waiting": {queue.Waiting}, "dead": {queue.Dead}, "delivered": {queue.Done}, "discarded": {queue.Discarded}, "all": nil,
}

func (r *run) list() (*flag.FlagSet, func(context.Context, []string) error) {
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	state := flags.String("state", "dead", "")
	name := flags.String("flag", "", "")
	limit := flags.Int("limit", 100, "")
	before := flags.Int64("before", 0, "")
	reasons := flags.Bool("reasons", false, "")
	return flags, func(ctx context.Context, ids []string) error {
		wanted, known := states[*state]
		switch {
		case len(ids) > 0:
			return wrong("list takes no ids; show does")
		case !known:
			return wrong("-state has to be waiting, dead, delivered, discarded or all")
		case *limit < 0 || *before < 0:
			return wrong("-limit and -before must not be negative; a limit of 0 is none")
		case *reasons:
			return r.listReasons(ctx)
		}
		out := r.table("ID", "SEQ", "STATE", "SINCE", "ACTION", "FLAG", "BY", "REASON")
		filter := queue.Filter{States: wanted, Key: *name, Before: *before}
		listed := 0
		err := r.walk(ctx, filter, *limit, func(entries []queue.Entry) error {
			for _, e := range entries {
				out.line(viewOf(e))
				listed, filter.Before = listed+1, e.Seq
			}
			return out.err
		})
		if err = errors.Join(err, out.end()); err != nil || listed == 0 || listed != *limit {
			return err
		}
		return r.tellOfMore(ctx, filter)
	}
}

// tellOfMore says, beside the list and not in it, that it is not all.
func (r *run) tellOfMore(ctx context.Context, filter queue.Filter) error {
	filter.Newest, filter.Limit = true, 1
	older, err := r.inspector.List(ctx, filter)
	if err == nil && len(older) > 0 {
		fmt.Fprintf(r.Stderr, "%s: there are older ones: -before %d lists on, -limit 0 lists all\n", r.Name, filter.Before)
	}
	return err
}

// allReasons is more than anybody has dead.
const allReasons = 10_000_000

func (r *run) listReasons(ctx context.Context) error {
	counts, _, err := r.inspector.CountReasons(ctx, allReasons)
	if err != nil {
		return err
	}
	out := r.table("CHANGES", "NEWEST", "REASON")
	for _, c := range counts {
		out.line(reasonView{c.Entries, c.Newest.UTC().Truncate(time.Second), c.Reason})
	}
	return out.end()
}

func (r *run) show() (*flag.FlagSet, func(context.Context, []string) error) {
	return flag.NewFlagSet("show", flag.ContinueOnError), func(ctx context.Context, ids []string) error {
		if len(ids) == 0 {
			return wrong("show needs an id: list has them")
		}
		return r.each(ids, func(id string) error {
			e, err := r.find(ctx, id)
			if err != nil {
				return err
			}
			return r.print(viewOf(e))
		})
	}
}

func (r *run) correct() (*flag.FlagSet, func(context.Context, []string) error) {
	flags := flag.NewFlagSet("correct", flag.ContinueOnError)
	given := make(map[string]string)
	for _, name := range []string{"flag", "action", "author", "author-type", "created-at"} {
		flags.Func(name, "", func(value string) error {
			given[name] = value
			return nil
		})
	}
	check := flags.Bool("check", false, "")
	return flags, func(ctx context.Context, ids []string) error {
		if len(ids) != 1 || len(given) == 0 {
			return wrong("correct needs one id, and what is to be in place of what it has; replay delivers as it is")
		}
		dead, err := r.find(ctx, ids[0])
		if err != nil {
			return err
		}
		if dead.State != queue.Dead {
			return fmt.Errorf("%w: it is %s", queue.ErrNotDead, stateName(dead.State))
		}
		change, err := webhook.DecodeItem(dead.Item)
		if err != nil {
			return err
		}
		if err := apply(&change, given); err != nil {
			return err
		}
		correct := r.inspector.Correct
		if *check {
			correct = func(_ context.Context, dead queue.Entry, change webhook.Change) (webhook.Change, error) {
				return r.inspector.Preview(dead, change)
			}
		}
		if change, err = correct(ctx, dead, change); err != nil {
			return err
		}
		return r.print(changeView{ID: dead.ID, Did: did("corrected", *check), change: changeOf(change)})
	}
}

func did(what string, checked bool) string {
	if checked {
		return "checked"
	}
	return what
}

// apply puts what is given in place of what a change has.
func apply(change *webhook.Change, given map[string]string) error {
	for name, value := range given {
		switch name {
		case "flag":
			change.Flag = value
		case "action":
			change.Action = webhook.Action(value)
		case "author":
			change.CreatedBy.ID = value
		case "author-type":
			change.CreatedBy.Type = webhook.AuthorType(value)
		case "created-at":
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return wrong("-created-at has to look like 2026-09-01T12:00:00Z")
			}
			change.CreatedAt = at
		}
	}
	return nil
}

func (r *run) replay() (*flag.FlagSet, func(context.Context, []string) error) {
	return r.many("replay", "replayed", func(ctx context.Context, e queue.Entry) error { return r.inspector.Replay(ctx, e) })
}

func (r *run) discard() (*flag.FlagSet, func(context.Context, []string) error) {
	return r.many("discard", "discarded", func(ctx context.Context, e queue.Entry) error {
		n, err := r.inspector.Discard(ctx, e)
		if err == nil && n == 0 {
			err = fmt.Errorf("it is %s: there is nothing to discard", stateName(e.State))
		}
		return err
	})
}

// many is a verb for entries by their ids, or for all the dead.
func (r *run) many(verb, did string, do func(context.Context, queue.Entry) error) (*flag.FlagSet, func(context.Context, []string) error) {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	all := flags.Bool("all", false, "")
	reason := flags.String("reason", "", "")
	return flags, func(ctx context.Context, ids []string) error {
		switch {
		case *all == (len(ids) > 0):
			return wrong("%s needs ids or -all, not both", verb)
		case *reason != "" && !*all:
			return wrong("-reason is for -all")
		case !*all:
			return r.each(ids, func(id string) error {
				e, err := r.find(ctx, id)
				if err == nil {
					err = do(ctx, e)
				}
				if err != nil {
					return err
				}
				return r.print(doneView{id, did})
			})
		}
		n := 0
		err := r.walk(ctx, queue.Filter{States: []queue.State{queue.Dead}}, 0, func(entries []queue.Entry) error {
			for _, e := range entries {
				if *reason != "" && e.Reason != *reason {
					continue
				}
				err := do(ctx, e)
				if errors.Is(err, queue.ErrNotDead) {
					continue // somebody else was there before
				}
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		return errors.Join(err, r.print(manyView{n, did}))
	}
}

// each does something with each id, and goes on after a failure.
func (r *run) each(ids []string, do func(id string) error) error {
	for _, id := range ids {
		if err := do(id); err != nil {
			fmt.Fprintf(r.Stderr, "%s: %s: %v\n", r.Name, id, err)
			r.failed = true
		}
	}
	return nil
}
