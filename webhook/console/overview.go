package console

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// countMost is where counts end: what they cost does not grow beyond.
	countMost = 1000
	// reasonsMost is of how many dead letters the reasons are counted.
	reasonsMost = 150
	lettersPage = 20
	logPage     = 40
)

// overview is the page as such.
type overview struct {
	Queue     *queueView
	Letters   *lettersView
	Log       *logView
	Switches  *switchesView
	Decisions *[]decided
	Sources   *[]Source
	Others    []otherView
}

// otherView is another queue of the store.
type otherView struct {
	webhook.OtherQueue
	Waits, Refused string
	// Alone says that something waits and nobody works on it.
	Alone bool
}

// graceAlone is how long something may wait until somebody should have come.
const graceAlone = time.Minute

func (c *Console) readOthers(ctx context.Context) ([]otherView, error) {
	others, err := c.config.Inspector.Others(ctx, countMost+1)
	if err != nil {
		return nil, err
	}
	var views []otherView
	for _, o := range others {
		views = append(views, otherView{
			OtherQueue: o, Waits: number(o.Waiting, countMost), Refused: number(o.Dead, countMost),
			Alone: o.Waiting > 0 && !o.Held && time.Since(o.Oldest) > graceAlone,
		})
	}
	return views, nil
}

func (c *Console) overview(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTime)
	defer cancel()
	query := r.URL.Query()
	f := frame{Body: "overview", Notice: noticeOf(query)}
	var view overview
	status := http.StatusOK
	if c.config.Inspector != nil {
		if err := c.readQueue(ctx, &view, query); err != nil {
			f.Problem, status = "The store does not answer: "+err.Error(), http.StatusServiceUnavailable
			view.Queue, view.Letters, view.Log, view.Others = nil, nil, nil, nil
		}
	}
	if c.config.Switches != nil {
		view.Switches = c.readSwitches(ctx)
		if view.Switches.Problem != "" {
			status = http.StatusServiceUnavailable
		}
	}
	if c.config.Decisions != nil {
		counts := c.config.Decisions.counts(time.Now())
		view.Decisions = &counts
	}
	if c.config.Sources != nil {
		sources := c.config.Sources()
		view.Sources = &sources
	}
	f.View = view
	c.render(w, r, status, f)
}

// notices are what the page can be asked to say.
var notices = map[string]string{
	"resumed":   "It is tried now.",
	"corrected": "The corrected change is on its way to Sentry.",
	"replayed":  "The change is on its way to Sentry again.",
	"discarded": "The change is discarded: Sentry will not get it.",
	"restored":  "The flag is as it was before it was switched off.",
	"retried":   "The switch is tried again.",
	"givenup":   "The switch is given up: nobody tries it any more.",
}

// queueView is the queue now.
type queueView struct {
	Name          string
	Waiting, Dead string
	None          bool // nothing waits
	AnyDead       bool
	Oldest        time.Duration
	Paused        bool
	PausedSince   time.Time // zero if it is not known
	PausedFor     time.Duration
	Rest          time.Duration // until it is tried again
	Why           string
	Failures      int
	Plot          plot
}

func (c *Console) readQueue(ctx context.Context, view *overview, query url.Values) error {
	inspector := c.config.Inspector
	stats, err := inspector.Stats(ctx, countMost+1)
	if err != nil {
		return err
	}
	plot, err := c.tally.update(ctx, inspector, time.Now())
	if err != nil {
		return err
	}
	view.Queue = queueOf(inspector.Queue(), stats, plot)
	if view.Letters, err = c.readLetters(ctx, query); err != nil {
		return err
	}
	if view.Others, err = c.readOthers(ctx); err != nil {
		return err
	}
	view.Log, err = c.readLog(ctx, query)
	return err
}

func queueOf(name string, stats webhook.EmitterStats, plot plot) *queueView {
	v := &queueView{
		Name: name, Waiting: number(stats.Waiting, countMost), Dead: number(stats.Dead, countMost), None: stats.Waiting == 0, AnyDead: stats.Dead > 0,
		Oldest: stats.OldestAge, Paused: stats.Paused, Rest: stats.Rest, Failures: stats.Failures, Plot: plot,
	}
	switch {
	case stats.LastError != nil:
		v.Why = stats.LastError.Error()
		v.PausedSince, v.PausedFor = stats.PausedSince, time.Since(stats.PausedSince)
	case stats.Paused:
		v.Why = "Another process that delivers from this queue has failed; its log says why."
	}
	return v
}

// lettersView is a page of the dead letters.
type lettersView struct {
	Letters []letter
	Reasons []queue.ReasonCount
	// Counted is of how many of them the reasons are counted, 0 for all.
	Counted int
	// Older is the query of the page with older ones; Newer says that this is
	// such a page.
	Older template.URL
	Newer bool
	// Flag is the one that is asked for; Reasons are counted for all.
	Flag string
}

func (c *Console) readLetters(ctx context.Context, query url.Values) (*lettersView, error) {
	before := seqOf(query, "letters")
	v := &lettersView{Newer: before != 0, Flag: flagOf(query)}
	dead, err := c.config.Inspector.List(ctx, queue.Filter{
		States: []queue.State{queue.Dead}, Key: v.Flag, Newest: true, Before: before, Limit: lettersPage + 1,
	})
	if err != nil {
		return nil, err
	}
	if len(dead) > lettersPage {
		dead = dead[:lettersPage]
		v.Older = olderOf("letters", dead[lettersPage-1].Seq, v.Flag)
	}
	for _, entry := range dead {
		v.Letters = append(v.Letters, letterOf(entry))
	}
	if len(dead) == 0 || v.Flag != "" {
		return v, nil
	}
	reasons, all, err := c.config.Inspector.CountReasons(ctx, reasonsMost)
	if err != nil {
		return nil, err
	}
	if !all {
		v.Counted = reasonsMost
	}
	v.Reasons = reasons[:min(len(reasons), 10)]
	return v, nil
}

// letter is an entry as it is shown.
type letter struct {
	Entry queue.Entry
	// Known says that there is a change in it.
	Known  bool
	Change webhook.Change
	// Query names it.
	Query template.URL
}

func letterOf(entry queue.Entry) letter {
	change, err := webhook.DecodeItem(entry.Item)
	if err != nil {
		change.Flag = entry.Key
	}
	return letter{Entry: entry, Known: err == nil, Change: change, Query: letterQuery(entry.ID, entry.Seq)}
}

func letterQuery(id string, seq int64) template.URL {
	return encoded(url.Values{"id": {id}, "seq": {strconv.FormatInt(seq, 10)}})
}

// encoded is a query that the template need not encode: nothing in it is left as
// it came.
func encoded(values url.Values) template.URL {
	return template.URL(values.Encode()) //nolint:gosec // see above
}

// logView is a page of the flag log as delivered.
type logView struct {
	Flag  string // the one that is asked for
	Lines []letter
	Older template.URL
	Newer bool
	// Problem is why it cannot be shown.
	Problem string
}

func (c *Console) readLog(ctx context.Context, query url.Values) (*logView, error) {
	before := seqOf(query, "log")
	v := &logView{Flag: flagOf(query), Newer: before != 0}
	if asked := query.Get("flag"); asked != v.Flag {
		v.Flag = asked
		v.Problem = fmt.Sprintf("A flag's name is text of at most %d bytes.", queue.MaxKey)
		return v, nil
	}
	done, err := c.config.Inspector.List(ctx, queue.Filter{
		States: []queue.State{queue.Done}, Key: v.Flag, Newest: true, Before: before, Limit: logPage + 1,
	})
	if err != nil {
		return nil, err
	}
	if len(done) > logPage {
		done = done[:logPage]
		v.Older = olderOf("log", done[logPage-1].Seq, v.Flag)
	}
	for _, entry := range done {
		line := letterOf(entry)
		line.Query = encoded(url.Values{"flag": {entry.Key}})
		v.Lines = append(v.Lines, line)
	}
	return v, nil
}

// flagOf is the flag that is asked for, if it can be one.
func flagOf(query url.Values) string {
	flag := query.Get("flag")
	if (queue.Item{ID: "-", Key: flag}).Validate() != nil {
		return ""
	}
	return flag
}

// olderOf is the query of the page of a list that goes on below a Seq.
func olderOf(list string, seq int64, flag string) template.URL {
	older := url.Values{list: {strconv.FormatInt(seq, 10)}}
	if flag != "" {
		older.Set("flag", flag)
	}
	return encoded(older)
}

// seqOf reads where a page of a list begins.
func seqOf(query url.Values, name string) int64 {
	seq, err := strconv.ParseInt(query.Get(name), 10, 64)
	if err != nil {
		return 0
	}
	return max(seq, 0)
}

// switchesView is what is switched off, and what is not though it should be.
type switchesView struct {
	Off     []SwitchedOff
	Pending []pendingView
	Problem string
}

// pendingView is a switch that is not done, and what can be done with it.
type pendingView struct {
	PendingSwitch
	Do  string // "retry" or "giveup", once it is chosen
	Now time.Time
}

// Overdue says that it is more than under way.
func (p pendingView) Overdue() bool {
	return p.Failed || p.Reason != "" || p.Now.Sub(p.At) > underWay
}

// underWay is how long a switch may take before it is worth an alarm.
const underWay = 5 * time.Second

// Alarm says that a flag should be off and is not.
func (v *switchesView) Alarm() bool { return slices.ContainsFunc(v.Pending, pendingView.Overdue) }

func (c *Console) readSwitches(ctx context.Context) *switchesView {
	v := &switchesView{}
	off, err := c.config.Switches.SwitchedOff(ctx)
	if err == nil {
		v.Off = off
		v.Pending, err = c.pending(ctx)
	}
	if err != nil {
		v.Problem = "What is switched off cannot be read: " + err.Error()
	}
	return v
}

// pending are the switches that are not done, those that have failed first.
func (c *Console) pending(ctx context.Context) ([]pendingView, error) {
	all, err := c.config.Switches.Pending(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var views []pendingView
	for _, failed := range []bool{true, false} {
		for _, one := range all {
			if one.Failed == failed {
				views = append(views, pendingView{PendingSwitch: one, Now: now})
			}
		}
	}
	return views, nil
}
