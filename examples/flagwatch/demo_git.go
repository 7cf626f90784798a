package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

const demoGitFlags = `{
  "flags": {
    "dark-mode": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}
  }
}
`

// demoGit is a repository of definitions, and a job that runs after each push.
type demoGit struct {
	*demo
	folder string
	file   string
	flags  string
	tip    string // what the last push left
}

// demoPush is what somebody pushes.
type demoPush struct {
	who, what string
	old, new  string                                // a replacement in the document
	put       func(*demoGit, context.Context) error // instead of one
	want      string
	broken    bool
}

var demoPushes = []demoPush{
	{who: "bob", what: "commits: dark-mode off", old: `"state": "ENABLED"`, new: `"state": "DISABLED"`, want: "updated dark-mode, by bob@example.com"},
	{who: "ada", what: "renames the file", put: (*demoGit).rename},
	{who: "dora", what: "merges carol's branch: a new flag", put: (*demoGit).merge, want: "created beta-search, by dora@example.com"},
	{who: "eve", what: "commits half a file", put: (*demoGit).half, broken: true},
	{who: "eve", what: "commits the other half"},
}

// playGit commits definitions as people do, and runs the job that tells Sentry
// who did what.
func (d *demo) playGit(ctx context.Context) error {
	if _, err := exec.LookPath("git"); err != nil {
		fmt.Fprintln(d.out, "\nGit is not installed, so that its part is left out.")
		return nil
	}
	g := &demoGit{demo: d, folder: d.path("repository"), file: "flags.json", flags: demoGitFlags}
	fmt.Fprint(d.out, "\nA repository has definitions too, and a job after each push: flagwatch diff -git before..after -send\n\n")
	if err := os.Mkdir(g.folder, 0o700); err != nil {
		return err
	}
	if err := errors.Join(g.git(ctx, "ada", "init", "-q", "-b", "main"), g.save(g.flags), g.commit(ctx, "ada")); err != nil {
		return err
	}
	first := g.tip
	for _, push := range demoPushes {
		if err := g.push(ctx, push); err != nil {
			return err
		}
	}
	return g.again(ctx, first)
}

// push makes a push and shows what the job made of it.
func (g *demoGit) push(ctx context.Context, push demoPush) error {
	g.edits++
	before := g.tip
	g.flags = strings.Replace(g.flags, push.old, push.new, 1)
	put := push.put
	if put == nil {
		put = func(g *demoGit, _ context.Context) error { return g.save(g.flags) }
	}
	if err := errors.Join(put(g, ctx), g.commit(ctx, push.who)); err != nil {
		return err
	}
	outcome, broken, err := g.job(ctx, before)
	if err == nil && (outcome != push.want || broken != push.broken) {
		err = fmt.Errorf("%q instead of %q", outcome, push.want)
	}
	if err != nil {
		return err
	}
	switch {
	case broken:
		g.refused++
		outcome = "refused: the job fails, and the last good definitions stay"
	case outcome == "":
		g.without++
		outcome = "without effect on any evaluation: nothing to report"
	default:
		outcome = "accepted: " + outcome
	}
	fmt.Fprintf(g.out, "%-12s  %s\n              %s\n", push.who, push.what, outcome)
	return nil
}

// job does what flagwatch diff -git -send does, for what was pushed.
func (g *demoGit) job(ctx context.Context, before string) (outcome string, broken bool, err error) {
	job := g.diff(before)
	log, err := job.read(ctx)
	if err != nil {
		return "", false, err
	}
	done, err := job.report(ctx, log.Changes())
	if err != nil {
		return "", false, err
	}
	g.accepted += done.Sent
	var told []string
	for _, change := range log.Changes() {
		told = append(told, fmt.Sprintf("%s %s, by %s", change.Action, change.Flag, change.CreatedBy.ID))
	}
	return strings.Join(told, "; "), log.Broken != nil, nil
}

// again runs the job for all that was pushed, as if somebody had pressed the
// button.
func (g *demoGit) again(ctx context.Context, first string) error {
	job := g.diff(first)
	log, err := job.read(ctx)
	if err != nil {
		return err
	}
	done, err := job.report(ctx, log.Changes())
	if err == nil && done.Sent > 0 {
		err = fmt.Errorf("%d changes were sent again", done.Sent)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(g.out, "%-12s  %s\n              %s\n", "somebody", "runs the job again, for all pushes",
		fmt.Sprintf("Sentry's log was read first: %d changes are there already", done.There))
	return nil
}

func (g *demoGit) diff(before string) gitDiff {
	env := map[string]string{
		"SENTRY_FLAGS_WEBHOOK_URL": g.sentry.URL(), "SENTRY_FLAGS_WEBHOOK_SECRET": webhooktest.DefaultSecret,
		"SENTRY_FLAGS_READ_TOKEN": g.sentry.Token(),
	}
	return gitDiff{
		dir: g.folder, span: before + ".." + g.tip, paths: []string{g.file}, format: changes.Flagd{}, send: true,
		env: func(name string) string { return env[name] }, out: io.Discard, trouble: io.Discard,
	}
}

func (g *demoGit) save(content string) error {
	return os.WriteFile(filepath.Join(g.folder, g.file), []byte(content), 0o600)
}

func (g *demoGit) half(context.Context) error { return g.save(g.flags[:len(g.flags)/2]) }

func (g *demoGit) rename(ctx context.Context) error {
	old := g.file
	g.file = "features.json"
	return g.git(ctx, "ada", "mv", old, g.file)
}

func (g *demoGit) merge(ctx context.Context) error {
	g.flags = strings.Replace(g.flags, "\"flags\": {\n", "\"flags\": {\n    \"beta-search\": {\"state\": \"ENABLED\", \"variants\": {\"on\": true, \"off\": false}, \"defaultVariant\": \"off\"},\n", 1)
	return errors.Join(
		g.git(ctx, "carol", "switch", "-q", "-c", "search"), g.save(g.flags), g.git(ctx, "carol", "commit", "-q", "-a", "-m", "a new search"),
		g.git(ctx, "dora", "switch", "-q", "main"), g.git(ctx, "dora", "merge", "-q", "--no-ff", "--no-commit", "search"),
	)
}

// commit commits all there is.
func (g *demoGit) commit(ctx context.Context, who string) error {
	if err := errors.Join(g.git(ctx, who, "add", "-A"), g.git(ctx, who, "commit", "-q", "-m", "edit")); err != nil {
		return err
	}
	tip, err := g.command(ctx, who, "rev-parse", "HEAD").Output()
	g.tip = strings.TrimSpace(string(tip))
	return err
}

func (g *demoGit) git(ctx context.Context, who string, args ...string) error {
	if out, err := g.command(ctx, who, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// command is git in the demonstration's own repository, whatever is set up for
// the person who watches it.
func (g *demoGit) command(ctx context.Context, who string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "user.name=" + who, "-c", "user.email=" + who + "@example.com"}, args...)...)
	cmd.Dir = g.folder
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GIT_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	return cmd
}
