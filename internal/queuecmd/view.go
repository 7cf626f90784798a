package queuecmd

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// view is what is printed: as JSON as it is, for people in columns or lines.
type view interface {
	columns() []string
	lines() [][2]string
}

// change is a change in JSON.
type change struct {
	Flag       string     `json:"flag"`
	Action     string     `json:"action,omitempty"`
	ChangeID   int64      `json:"change_id,omitempty"`
	CreatedAt  *time.Time `json:"created_at,omitempty"`
	Author     string     `json:"author,omitempty"`
	AuthorType string     `json:"author_type,omitempty"`
}

func changeOf(c webhook.Change) change {
	return change{c.Flag, string(c.Action), c.ChangeID, &c.CreatedAt, c.CreatedBy.ID, string(c.CreatedBy.Type)}
}

func (c change) lines() [][2]string {
	lines := [][2]string{{"flag", c.Flag}}
	if c.CreatedAt != nil {
		lines = append(lines, [][2]string{
			{"action", c.Action}, {"by", fmt.Sprintf("%s (%s)", c.Author, c.AuthorType)}, {"made", c.CreatedAt.Format(time.RFC3339Nano)},
		}...)
	}
	return lines
}

// entryView is an entry.
type entryView struct {
	ID    string `json:"id"`
	Seq   int64  `json:"seq"`
	State string `json:"state"`
	change
	Added  time.Time `json:"added"`
	Since  time.Time `json:"since"`
	Tries  int       `json:"tries,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

func viewOf(e queue.Entry) entryView {
	v := entryView{
		ID: e.ID, Seq: e.Seq, State: stateName(e.State), Added: second(e.Added), Since: second(e.Since), Tries: e.Tries, Reason: e.Reason,
		change: change{Flag: e.Key},
	}
	if c, err := webhook.DecodeItem(e.Item); err == nil {
		v.change = changeOf(c)
	}
	return v
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func stateName(s queue.State) string {
	if s == queue.Done {
		return "delivered"
	}
	return s.String()
}

func (v entryView) columns() []string {
	return []string{v.ID, fmt.Sprint(v.Seq), v.State, v.Since.Format(time.RFC3339), v.Action, v.Flag, v.Author, v.Reason}
}

func (v entryView) lines() [][2]string {
	lines := append([][2]string{{"id", v.ID}, {"seq", fmt.Sprint(v.Seq)}, {"state", v.State}}, v.change.lines()...)
	lines = append(lines, [2]string{"added", v.Added.Format(time.RFC3339)}, [2]string{"since", v.Since.Format(time.RFC3339)})
	if v.Reason != "" {
		lines = append(lines, [2]string{"reason", v.Reason})
	}
	return lines
}

// reasonView is a reason of the dead.
type reasonView struct {
	Changes int       `json:"changes"`
	Newest  time.Time `json:"newest"`
	Reason  string    `json:"reason"`
}

func (v reasonView) columns() []string {
	return []string{fmt.Sprint(v.Changes), v.Newest.Format(time.RFC3339), v.Reason}
}
func (v reasonView) lines() [][2]string { return nil }

// changeView is a change that was corrected, or would be.
type changeView struct {
	ID  string `json:"id"`
	Did string `json:"did"`
	change
}

func (v changeView) columns() []string { return nil }
func (v changeView) lines() [][2]string {
	return append([][2]string{{"id", v.ID}, {"did", v.Did}}, v.change.lines()...)
}

// doneView is what was done with one entry, manyView with many.
type doneView struct {
	ID  string `json:"id"`
	Did string `json:"did"`
}

func (v doneView) columns() []string  { return nil }
func (v doneView) lines() [][2]string { return [][2]string{{v.Did, v.ID}} }

type manyView struct {
	Changes int    `json:"changes"`
	Did     string `json:"did"`
}

func (v manyView) columns() []string  { return nil }
func (v manyView) lines() [][2]string { return [][2]string{{v.Did, fmt.Sprint(v.Changes)}} }

// longest is how much of a value a column shows, but for the first, the id.
const longest = 60

// table prints views in columns, or as JSON.
type table struct {
	run *run
	tab *tabwriter.Writer
	err error
}

func (r *run) table(head ...string) *table {
	t := &table{run: r, tab: tabwriter.NewWriter(r.Stdout, 0, 0, 2, ' ', 0)}
	if !r.json {
		t.row(head)
	}
	return t
}

func (t *table) row(cells []string) {
	for i, cell := range cells {
		if i > 0 {
			cell = "\t" + visible.Text(visible.Cut(cell, longest))
		} else {
			cell = visible.Text(cell)
		}
		_, err := t.tab.Write([]byte(cell))
		t.keep(err)
	}
	_, err := t.tab.Write([]byte("\n"))
	t.keep(err)
}

func (t *table) line(v view) {
	if t.run.json {
		t.keep(t.run.print(v))
		return
	}
	t.row(v.columns())
}

func (t *table) keep(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *table) end() error {
	t.keep(t.tab.Flush())
	return t.err
}

// print prints one view.
func (r *run) print(v view) error {
	if r.json {
		encoder := json.NewEncoder(r.Stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	}
	for _, line := range v.lines() {
		if _, err := fmt.Fprintf(r.Stdout, "%-10s %s\n", line[0], visible.Text(line[1])); err != nil {
			return err
		}
	}
	return nil
}
