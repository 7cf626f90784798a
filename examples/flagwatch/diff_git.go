package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
)

// gitDiff is one run of flagwatch diff -git.
type gitDiff struct {
	dir    string // "" for the current folder
	span   string // before..after
	paths  []string
	format changes.Format

	send, asJSON, mergedAuthor, allowHTTP bool

	env          func(string) string
	out, trouble io.Writer
}

// run shows and sends what changed in a history. Its exit status is that of
// diff(1) without -send; with it 0 if Sentry has all, 2 if not. In both cases 2
// if the documents are broken now: what reads them may have no flags.
func (d gitDiff) run(ctx context.Context) int {
	log, err := d.read(ctx)
	if err != nil {
		return d.fail(err)
	}
	d.explain(log)
	var done *gitlog.Reported
	var failed error
	if d.send {
		done, failed = d.report(ctx, log.Changes())
	}
	if d.asJSON {
		err = printJSON(d.out, d.json(log, done))
	} else {
		err = d.print(log, done)
	}
	switch {
	case err != nil || failed != nil:
		return d.fail(errors.Join(err, failed))
	case done != nil && len(done.Refused) > 0:
		return d.fail(fmt.Errorf("there are changes that Sentry does not take: %d", len(done.Refused)))
	case log.Broken != nil:
		return d.fail(fmt.Errorf("the documents cannot be read as they are now: %w", log.Broken))
	case !d.send && len(log.Sets) > 0:
		return exitChanges
	}
	return exitOK
}

func (d gitDiff) fail(err error) int {
	fmt.Fprintln(d.trouble, "flagwatch: diff:", err)
	return exitTrouble
}

func (d gitDiff) read(ctx context.Context) (gitlog.Log, error) {
	before, after, ok := strings.Cut(d.span, "..")
	if !ok || strings.HasPrefix(after, ".") {
		return gitlog.Log{}, fmt.Errorf("-git takes before..after, with two dots, and not %q", d.span)
	}
	return gitlog.Read(ctx, gitlog.Config{Dir: d.dir, Before: before, After: after, Paths: d.paths, Format: d.format, MergedAuthor: d.mergedAuthor})
}

// explain says what the changes do not.
func (d gitDiff) explain(log gitlog.Log) {
	if log.NewBranch {
		fmt.Fprintln(d.trouble, "flagwatch: diff: the branch is new: changes are counted from what it has now")
	}
	for _, problem := range log.Problems {
		fmt.Fprintf(d.trouble, "flagwatch: diff: commit %.12s: %v; the definitions before it stand until the next that can be read\n", problem.Commit, problem.Err)
	}
	for _, move := range log.Moved {
		fmt.Fprintf(d.trouble, "flagwatch: diff: %q is called %q now: name that\n", move.Path, move.Now)
	}
}

// report sends the changes, and only those that Sentry does not have if there is
// a token to find out.
func (d gitDiff) report(ctx context.Context, list []webhook.Change) (*gitlog.Reported, error) {
	flagsURL, secrets, err := readWebhook(d.env)
	if err != nil {
		return nil, err
	}
	token, err := environ.Secret(d.env, "SENTRY_FLAGS_READ_TOKEN")
	if err != nil {
		return nil, err
	}
	client, err := webhook.NewClient(webhook.Config{
		URL: flagsURL, Secrets: secrets, AllowHTTP: d.allowHTTP,
		OnWarning: func(w webhook.Warning) { fmt.Fprintln(d.trouble, "flagwatch: diff:", w) },
	})
	if err != nil {
		return nil, err
	}
	if token == "" && len(list) > 0 {
		fmt.Fprintln(d.trouble, "flagwatch: diff: without SENTRY_FLAGS_READ_TOKEN Sentry's log cannot be read first: run again, this reports the same changes again")
	}
	done, err := gitlog.Report(ctx, gitlog.ReportConfig{Client: client, Token: token}, list...)
	for _, refusal := range done.Refused {
		fmt.Fprintf(d.trouble, "flagwatch: diff: %s %q: %v\n", refusal.Change.Action, shown(refusal.Change.Flag), refusal.Err)
	}
	if done.Twice > 0 {
		fmt.Fprintf(d.trouble, "flagwatch: diff: Sentry's log has %d of these twice: another run reported the same commits at the same time; let one follow the other\n", done.Twice)
	}
	return &done, err
}

func (d gitDiff) print(log gitlog.Log, done *gitlog.Reported) error {
	if len(log.Sets) == 0 {
		fmt.Fprintf(d.out, "no change in %s\n", counted(log.Commits, "commit"))
	}
	for i, set := range log.Sets {
		if i > 0 {
			fmt.Fprintln(d.out)
		}
		forced := ""
		if set.Forced {
			forced = ", pushed by force"
		}
		fmt.Fprintf(d.out, "%.12s, %s%s\n", set.Commit, set.Date.Format(time.RFC3339), forced)
		edits := make([]changes.Edit, 0, len(set.Edits))
		for at, edit := range set.Edits { // a table for each author
			edits = append(edits, edit.Edit)
			if at+1 < len(set.Edits) && set.Edits[at+1].Author == edit.Author {
				continue
			}
			fmt.Fprintf(d.out, "by %s\n", shown(edit.Author.ID))
			if err := printTable(d.out, edits); err != nil {
				return err
			}
			edits = edits[:0]
		}
	}
	if done != nil {
		fmt.Fprintf(d.out, "\n%s sent, %d there already, %d refused\n", counted(done.Sent, "change"), done.There, len(done.Refused))
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// logJSON is what -json prints of a history.
type logJSON struct {
	Commits   int           `json:"commits"`
	NewBranch bool          `json:"new_branch,omitempty"`
	Sets      []setJSON     `json:"sets"`
	Problems  []problemJSON `json:"problems,omitempty"`
	Report    *reportJSON   `json:"report,omitempty"`
}

type setJSON struct {
	Commit  string       `json:"commit"`
	Date    time.Time    `json:"date"`
	Forced  bool         `json:"forced,omitempty"`
	Changes []changeJSON `json:"changes"`
}

type changeJSON struct {
	editJSON
	Author authorJSON `json:"author"`
}

type authorJSON struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type problemJSON struct {
	Commit string `json:"commit"`
	Error  string `json:"error"`
}

type reportJSON struct {
	Sent    int `json:"sent"`
	There   int `json:"there"`
	Twice   int `json:"twice,omitempty"`
	Refused int `json:"refused"`
}

func (d gitDiff) json(log gitlog.Log, done *gitlog.Reported) logJSON {
	out := logJSON{Commits: log.Commits, NewBranch: log.NewBranch, Sets: make([]setJSON, len(log.Sets))}
	for i, set := range log.Sets {
		out.Sets[i] = setJSON{Commit: set.Commit, Date: set.Date, Forced: set.Forced}
		for _, edit := range set.Edits {
			out.Sets[i].Changes = append(out.Sets[i].Changes, changeJSON{
				listed([]changes.Edit{edit.Edit})[0],
				authorJSON{edit.Author.ID, string(edit.Author.Type)},
			})
		}
	}
	for _, problem := range log.Problems {
		out.Problems = append(out.Problems, problemJSON{problem.Commit, problem.Err.Error()})
	}
	if done != nil {
		out.Report = &reportJSON{done.Sent, done.There, done.Twice, len(done.Refused)}
	}
	return out
}
