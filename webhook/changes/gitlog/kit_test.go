package gitlog_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
)

func TestMain(m *testing.M) {
	// Neither the settings of whoever runs the tests nor a hook that they run in
	// count.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "GIT_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	_ = os.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	// A child process for each question makes a history dear.
	if os.Getenv("SENTRYFLAGS_TEST_CRASH") != "full" {
		_ = flag.Set("rapid.checks", "40")
	}
	goleak.VerifyTestMain(m)
}

// start is when the first commit of a test is made; each is a minute later than
// the one before.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// repo is a repository that a test makes.
type repo struct {
	testing.TB
	dir   string
	now   time.Time
	names map[string]string // of commits: their messages
}

func newRepo(t testing.TB, options ...string) *repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := &repo{TB: t, dir: t.TempDir(), now: start, names: map[string]string{}}
	r.git(append([]string{"init", "-q", "-b", "main", "--template="}, options...)...)
	return r
}

// git runs git in the repository and returns what it says.
func (r *repo) git(args ...string) string {
	r.Helper()
	return r.gitAs("ada <ada@example.com>", args...)
}

func (r *repo) gitAs(who string, args ...string) string {
	r.Helper()
	out, err := r.try(who, args...)
	if err != nil {
		r.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func (r *repo) try(who string, args ...string) (string, error) {
	name, email, _ := strings.Cut(strings.TrimSuffix(who, ">"), " <")
	date := fmt.Sprint(r.now.Unix(), " +0200")
	cmd := exec.Command("git", append([]string{"-c", "protocol.file.allow=always", "-c", "user.useConfigOnly=true", "-c", "gc.auto=0", "-c", "maintenance.auto=false"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(),
		"GIT_AUTHOR_NAME="+name, "GIT_AUTHOR_EMAIL="+email, "GIT_AUTHOR_DATE=2020-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=forge", "GIT_COMMITTER_EMAIL=noreply@forge.example", "GIT_COMMITTER_DATE="+date)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// put writes files: names and contents in turn. An empty content removes one.
func (r *repo) put(pairs ...string) {
	r.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		path := filepath.Join(r.dir, pair[0])
		if pair[1] == "" {
			if err := os.Remove(path); err != nil {
				r.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			r.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(pair[1]), 0o600); err != nil {
			r.Fatal(err)
		}
	}
}

// commit commits all there is, and returns its id.
func (r *repo) commit(message string) string {
	r.Helper()
	return r.commitAs("ada <ada@example.com>", message)
}

func (r *repo) commitAs(who, message string, options ...string) string {
	r.Helper()
	r.git("add", "-A")
	r.now = r.now.Add(time.Minute)
	r.gitAs(who, append([]string{"commit", "-q", "--allow-empty", "-m", message}, options...)...)
	return r.named(message)
}

// merge merges branches into the current one.
func (r *repo) merge(who, message string, branches ...string) string {
	r.Helper()
	r.now = r.now.Add(time.Minute)
	r.gitAs(who, append([]string{"merge", "-q", "--no-ff", "-m", message}, branches...)...)
	return r.named(message)
}

func (r *repo) named(message string) string {
	id := r.head()
	r.names[id] = message
	return id
}

// head reads the current commit where git has it, which takes no process.
func (r *repo) head() string {
	r.Helper()
	folder := r.dir
	if _, err := os.Stat(filepath.Join(folder, ".git")); err == nil {
		folder = filepath.Join(folder, ".git")
	}
	text, err := os.ReadFile(filepath.Join(folder, "HEAD"))
	if ref, ok := strings.CutPrefix(string(text), "ref: "); ok && err == nil {
		text, err = os.ReadFile(filepath.Join(folder, strings.TrimSpace(ref)))
	}
	if err != nil {
		r.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (r *repo) config(before, after string, paths ...string) gitlog.Config {
	return gitlog.Config{Dir: r.dir, Before: before, After: after, Paths: paths, Format: changes.Flagd{}}
}

// read returns what the history says, a line for each edit: the commit, the
// author, the action and the flag.
func (r *repo) read(config gitlog.Config) ([]string, gitlog.Log) {
	r.Helper()
	log, err := gitlog.Read(r.Context(), config)
	if err != nil {
		r.Fatal(err)
	}
	return r.lines(log), log
}

func (r *repo) lines(log gitlog.Log) []string {
	lines := []string{}
	for _, set := range log.Sets {
		for _, edit := range set.Edits {
			lines = append(lines, fmt.Sprint(r.names[set.Commit], ": ", edit.Author.ID, " ", edit.Action, " ", edit.Flag))
		}
	}
	return lines
}

// flagd is a document with these flags; one with an exclamation mark is off.
func flagd(names ...string) string {
	var b strings.Builder
	b.WriteString("{\n  \"flags\": {")
	for i, name := range names {
		state, comma := "ENABLED", ","
		if strings.HasSuffix(name, "!") {
			name, state = strings.TrimSuffix(name, "!"), "DISABLED"
		}
		if i == 0 {
			comma = ""
		}
		fmt.Fprintf(&b, "%s\n    %q: {\n      \"state\": %q,\n      \"variants\": {\"on\": true, \"off\": false},\n      \"defaultVariant\": \"on\"\n    }", comma, name, state)
	}
	b.WriteString("\n  }\n}\n")
	return b.String()
}

func name(id string) webhook.Author  { return webhook.Author{ID: id, Type: webhook.AuthorName} }
func email(id string) webhook.Author { return webhook.Author{ID: id, Type: webhook.AuthorEmail} }
