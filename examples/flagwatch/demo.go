package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// demoTimeout bounds the whole demonstration.
const demoTimeout = time.Minute

const demoFlagd = `{
  "flags": {
    "new-checkout": {
      "state": "ENABLED",
      "variants": {"on": true, "off": false},
      "defaultVariant": "off",
      "targeting": {"if": [{"$ref": "staff"}, "on", "off"]}
    },
    "gift-wrapping": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}
  },
  "$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@example.com"]}}
}
`

const demoGOFF = `search-engine:
  variations: {classic: classic, vector: vector}
  defaultRule: {variation: classic}
page-size:
  variations: {small: 10, large: 100}
  defaultRule:
    percentage: {small: 90, large: 10}
`

// demo is one run of the demonstration.
type demo struct {
	out     io.Writer
	folder  string
	config  config
	sentry  *webhooktest.Server
	service *service

	flagd, goff string // the documents as they are

	edits, accepted, without, refused int
	problem                           string // the last one
}

// demoEdit is something that somebody does to a document.
type demoEdit struct {
	who, what string
	goff      bool              // which document
	old, new  string            // a replacement in it
	put       func(*demo) error // instead of one
	want      int               // changes
	broken    bool              // it is no document then
	down      bool              // nobody watches meanwhile
}

// playDemo edits definitions as people, editors and Kubernetes do, and shows
// what Sentry's flag log has in the end.
func playDemo(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	folder, err := os.MkdirTemp("", "flagwatch")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	d := &demo{out: out, folder: folder, flagd: demoFlagd, goff: demoGOFF, sentry: webhooktest.NewServer(webhooktest.Config{})} //nolint:contextcheck // it lives until it is closed
	defer d.sentry.Close()
	d.config = config{
		Store: filepath.Join(folder, "flagwatch.db"), Interval: setup.Duration(100 * time.Millisecond), Lag: setup.Duration(time.Second), AllowHTTP: true,
		Sources:  []fileSource{{Format: "flagd", File: d.path("checkout.flagd.json")}, {Format: "go-feature-flag", File: d.path("search.goff.yaml")}},
		flagsURL: d.sentry.URL(), flagsSecrets: []signing.Secret{d.sentry.Secret()}, database: func() string { return "" },
		env: demoSecrets, Receive: demoDoors,
	}
	if err := errors.Join(d.write("checkout.flagd.json", d.flagd), d.write("search.goff.yaml", d.goff)); err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop(ctx)) }()
	fmt.Fprintf(out, "Watching a file of flagd and one of GO Feature Flag; %s stands in for Sentry.\nWhat the files say at first is what changes are counted from.\n\n", d.sentry.BaseURL())
	for _, edit := range demoEdits {
		if err := d.make(ctx, edit); err != nil {
			return fmt.Errorf("%s: %w", edit.what, err)
		}
	}
	if err := d.playWebhooks(ctx); err != nil {
		return err
	}
	if err := d.playGit(ctx); err != nil {
		return err
	}
	return d.sumUp()
}

var demoEdits = []demoEdit{
	{who: "a person", what: "switches gift-wrapping off", old: `"gift-wrapping": {"state": "ENABLED"`, new: `"gift-wrapping": {"state": "DISABLED"`, want: 1},
	{who: "a person", what: "writes a comment into the YAML", goff: true, old: "page-size:", new: "# how many results\npage-size:"},
	{who: "an editor", what: "saves by a rename: 50 of 100 get large pages", goff: true, old: "{small: 90, large: 10}", new: "{small: 50, large: 50}", put: (*demo).rename, want: 1},
	{who: "a formatter", what: "sorts and indents the JSON", put: (*demo).reformat},
	{who: "Kubernetes", what: "swaps the links of a ConfigMap: who counts as staff", old: "@example.com", new: "@example.org", put: (*demo).swapLinks, want: 1},
	{who: "a person", what: "saves half a file", put: (*demo).half, broken: true},
	{who: "a person", what: "empties the file", put: (*demo).empty, broken: true},
	{who: "a person", what: "saves it whole, with a new flag", old: `"flags": {`, new: "\"flags\": {\n    \"parcel-lockers\": {\"state\": \"ENABLED\", \"variants\": {\"on\": true, \"off\": false}, \"defaultVariant\": \"off\"},", want: 1},
	{who: "a deployment", what: "replaces search-engine by another flag while flagwatch is down", goff: true, old: "search-engine:", new: "search-ranking:", want: 2, down: true},
}

// make makes an edit and waits for what comes of it.
func (d *demo) make(ctx context.Context, edit demoEdit) error {
	d.edits++
	if edit.down {
		if err := d.stop(ctx); err != nil {
			return err
		}
	}
	document, name := &d.flagd, "checkout.flagd.json"
	if edit.goff {
		document, name = &d.goff, "search.goff.yaml"
	}
	if edit.old != "" {
		*document = strings.Replace(*document, edit.old, edit.new, 1)
	}
	put := edit.put
	if put == nil {
		put = func(d *demo) error { return d.write(name, *document) }
	}
	if err := put(d); err != nil {
		return err
	}
	if edit.down {
		if err := d.start(ctx); err != nil {
			return err
		}
	}
	outcome, err := d.await(ctx, edit)
	fmt.Fprintf(d.out, "%-12s  %s\n              %s\n", edit.who, edit.what, outcome)
	return err
}

// await waits until an edit has had its effect, or has been seen to have none.
func (d *demo) await(ctx context.Context, edit demoEdit) (string, error) {
	watcher := d.service.watchers[0]
	if edit.goff {
		watcher = d.service.watchers[1]
	}
	switch {
	case edit.broken:
		d.refused++
		before := d.problem
		for d.problem == before || d.problem == "" {
			if err := sleep(ctx); err != nil {
				return "", err
			}
			if err := watcher.Stats().Problem; err != nil {
				d.problem = err.Error()
			}
		}
		return "refused: " + d.problem + "; the last good definitions stay", nil
	case edit.want == 0:
		d.without++
		for looks := watcher.Stats().Looks; watcher.Stats().Looks < looks+10; {
			if err := sleep(ctx); err != nil {
				return "", err
			}
		}
		if got := len(d.sentry.Changes()); got != d.accepted {
			return "", fmt.Errorf("%d changes instead of %d", got, d.accepted)
		}
		return "without effect on any evaluation: nothing to report", nil
	}
	all, err := d.sentry.WaitChanges(ctx, d.accepted+edit.want)
	if err != nil {
		return "", err
	}
	var told []string
	for _, change := range all[d.accepted:] {
		told = append(told, string(change.Action)+" "+change.Flag)
	}
	d.accepted = len(all)
	if len(told) != edit.want {
		return "", fmt.Errorf("%s", strings.Join(told, ", "))
	}
	return "accepted: " + strings.Join(told, ", "), nil
}

func sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

func (d *demo) sumUp() error {
	fmt.Fprintln(d.out, "\nSentry's flag log:")
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for _, change := range d.sentry.Changes() {
		fmt.Fprintf(table, "  %s\t%s\tby %s (%s)\n", change.Action, change.Flag, change.CreatedBy.ID, change.CreatedBy.Type)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nflagwatch: %d edits, %d changes accepted, %d without effect, %d refused\n", d.edits, d.accepted, d.without, d.refused)
	return nil
}

func (d *demo) start(ctx context.Context) error {
	var err error
	d.service, err = newService(d.config, slog.New(slog.DiscardHandler)) //nolint:contextcheck // it lives until it is closed
	if err != nil {
		return err
	}
	for _, watcher := range d.service.watchers {
		for watcher.Stats().Version == 0 { // no baseline yet
			if err := sleep(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *demo) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	return d.service.close(ctx)
}

func (d *demo) path(name string) string { return filepath.Join(d.folder, name) }

func (d *demo) write(name, content string) error {
	// A link that Kubernetes left is replaced, not followed.
	if info, err := os.Lstat(d.path(name)); err == nil && info.Mode()&os.ModeSymlink != 0 {
		if err := os.Remove(d.path(name)); err != nil {
			return err
		}
	}
	return os.WriteFile(d.path(name), []byte(content), 0o600)
}

func (d *demo) rename() error {
	if err := d.write("search.goff.yaml~", d.goff); err != nil {
		return err
	}
	return os.Rename(d.path("search.goff.yaml~"), d.path("search.goff.yaml"))
}

func (d *demo) reformat() error {
	return d.write("checkout.flagd.json", strings.ReplaceAll(strings.ReplaceAll(d.flagd, "  ", "\t"), "true", " true"))
}

func (d *demo) half() error { return d.write("checkout.flagd.json", d.flagd[:len(d.flagd)/2]) }

func (d *demo) empty() error { return d.write("checkout.flagd.json", "") }

// swapLinks replaces a file as Kubernetes replaces that of a mounted ConfigMap:
// the name is a link into ..data, which is a link to a folder.
func (d *demo) swapLinks() error {
	const version = "..2026_11_26"
	if err := errors.Join(os.Mkdir(d.path(version), 0o700), d.write(filepath.Join(version, "checkout.flagd.json"), d.flagd)); err != nil {
		return err
	}
	return errors.Join(
		os.Symlink(version, d.path("..data")),
		os.Symlink(filepath.Join("..data", "checkout.flagd.json"), d.path("link")),
		os.Rename(d.path("link"), d.path("checkout.flagd.json")),
	)
}
