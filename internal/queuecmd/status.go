package queuecmd

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// statusMost is where the counts end.
const statusMost = 100_000

// status says how the queue stands. Why it is paused only the process that delivers
// knows: its log and its page say it.
func (r *run) status() (*flag.FlagSet, func(context.Context, []string) error) {
	return flag.NewFlagSet("status", flag.ContinueOnError), func(ctx context.Context, ids []string) error {
		if len(ids) > 0 {
			return wrong("status takes no ids; show does")
		}
		stats, err := r.inspector.Stats(ctx, statusMost)
		if err != nil {
			return err
		}
		others, err := r.inspector.Others(ctx, statusMost)
		if err != nil {
			return err
		}
		own := statusView{
			Queue: r.inspector.Queue(), Waiting: stats.Waiting, OldestSeconds: int(stats.OldestAge / time.Second), Dead: stats.Dead,
			Paused: stats.Paused, RestSeconds: int(stats.Rest / time.Second),
		}
		if err := r.print(own); err != nil {
			return err
		}
		for _, o := range others {
			other := statusView{Queue: o.Name, Waiting: o.Waiting, Dead: o.Dead, Elsewhere: true, Held: o.Held}
			if !o.Oldest.IsZero() {
				other.OldestSeconds = int(time.Since(o.Oldest) / time.Second)
			}
			if err := r.print(other); err != nil {
				return err
			}
		}
		return nil
	}
}

// statusView is how a queue stands.
type statusView struct {
	Queue         string `json:"queue"`
	Waiting       int    `json:"waiting"`
	OldestSeconds int    `json:"oldest_seconds"`
	Dead          int    `json:"dead"`
	Paused        bool   `json:"paused,omitempty"`
	RestSeconds   int    `json:"rest_seconds,omitempty"`
	// Elsewhere says that it is another one of the store, and Held that somebody
	// works on it.
	Elsewhere bool `json:"elsewhere,omitempty"`
	Held      bool `json:"held,omitempty"`
}

func (v statusView) columns() []string { return nil }

func (v statusView) lines() [][2]string {
	name := "queue"
	if v.Elsewhere {
		name = "elsewhere"
	}
	lines := [][2]string{{name, v.Queue}, {"waiting", counted(v.Waiting)}}
	if v.Waiting > 0 {
		lines = append(lines, [2]string{"oldest", (time.Duration(v.OldestSeconds) * time.Second).String()})
	}
	lines = append(lines, [2]string{"dead", counted(v.Dead)})
	if v.Paused {
		lines = append(lines, [2]string{"paused", fmt.Sprintf("tried again in %d s; the log of what delivers says why", v.RestSeconds)})
	}
	return lines
}

func counted(n int) string {
	if n == statusMost {
		return fmt.Sprint(n) + " or more"
	}
	return fmt.Sprint(n)
}

// resume ends a pause.
func (r *run) resume() (*flag.FlagSet, func(context.Context, []string) error) {
	return flag.NewFlagSet("resume", flag.ContinueOnError), func(ctx context.Context, ids []string) error {
		if len(ids) > 0 {
			return wrong("resume takes no ids: it is for the whole queue")
		}
		if err := r.inspector.Resume(ctx); err != nil {
			return err
		}
		return r.print(doneView{r.inspector.Queue(), "resumed"})
	}
}
