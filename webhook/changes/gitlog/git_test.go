package gitlog_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
)

// clone makes a copy of the repository, as a job's checkout does.
func (r *repo) clone(options ...string) *repo {
	r.Helper()
	c := *r
	c.dir = filepath.Join(r.TempDir(), "clone")
	r.git(append(append([]string{"clone", "-q"}, options...), "file://"+filepath.ToSlash(r.dir), c.dir)...)
	return &c
}

// pushes is a repository with a base and three commits, and what they changed.
func pushes(t *testing.T) (r *repo, commits [4]string, want []string) {
	t.Helper()
	r = newRepo(t)
	for i, flags := range []string{"a", "a!", "a", "a!"} {
		r.put("flags.json", flagd(flags))
		commits[i] = r.commit([]string{"base", "one", "two", "three"}[i])
	}
	return r, commits, []string{"one: ada@example.com updated a", "two: ada@example.com updated a", "three: ada@example.com updated a"}
}

// TestShallow has copies of which a part was fetched. What is not there is an
// error, and never taken for a push by force or for a file that is new.
func TestShallow(t *testing.T) {
	r, commits, want := pushes(t)
	for depth, reach := range map[string]int{"1": 3, "2": 2, "3": 1, "4": 0} {
		c := r.clone("--depth", depth)
		for before, id := range commits[:3] {
			log, err := gitlog.Read(t.Context(), c.config(id, "HEAD", "flags.json"))
			switch {
			case before < reach:
				if !errors.Is(err, gitlog.ErrShallow) || !strings.Contains(err.Error(), "fetch-depth: 0") {
					t.Errorf("depth %s from %d: %v", depth, before, err)
				}
			case err != nil || !cmp.Equal(c.lines(log), want[before:]):
				t.Errorf("depth %s from %d: %v, %v", depth, before, c.lines(log), err)
			}
		}
	}
	// The commit before is there, and what lies between is not.
	c := r.clone("--depth", "1")
	c.git("fetch", "-q", "--depth", "1", "origin", commits[0])
	if _, err := gitlog.Read(t.Context(), c.config(commits[0], "HEAD", "flags.json")); !errors.Is(err, gitlog.ErrShallow) {
		t.Error(err)
	}
}

// TestShallowBroken has a copy that ends with documents that cannot be read: what
// they are compared with is not there, and without it nothing would be found.
func TestShallowBroken(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"))
	r.commit("good")
	r.put("flags.json", "{")
	broken := r.commit("broken")
	r.put("flags.json", flagd("b"))
	r.commit("mended")
	c := r.clone("--depth", "2")
	if log, err := gitlog.Read(t.Context(), c.config(broken, "HEAD", "flags.json")); !errors.Is(err, gitlog.ErrShallow) {
		t.Error(c.lines(log), err)
	}
	c = r.clone("--depth", "3")
	log, err := gitlog.Read(t.Context(), c.config(broken, "HEAD", "flags.json"))
	if err != nil || len(log.Changes()) != 2 {
		t.Error(c.lines(log), err)
	}
}

// TestShallowSecond has a copy that ends among commits of the same second, so that
// it would date a change otherwise than a whole one, and report it again.
func TestShallowSecond(t *testing.T) {
	r := newRepo(t)
	var commits []string
	for _, flags := range []string{"a", "b", "c"} {
		r.put("flags.json", flagd(flags))
		r.now = start // commit adds a minute
		commits = append(commits, r.commit(flags))
	}
	whole, err := gitlog.Read(t.Context(), r.config(commits[1], "HEAD", "flags.json"))
	if want := start.Add(time.Minute + 2*time.Microsecond); err != nil || len(whole.Sets) != 1 || !whole.Sets[0].Date.Equal(want) {
		t.Fatal(whole.Sets, err)
	}
	c := r.clone("--depth", "2")
	if log, err := gitlog.Read(t.Context(), c.config(commits[1], "HEAD", "flags.json")); !errors.Is(err, gitlog.ErrShallow) {
		t.Error(log.Sets, err)
	}
}

// TestShallowName names a commit that a shallow copy has not by its place.
func TestShallowName(t *testing.T) {
	r, _, _ := pushes(t)
	c := r.clone("--depth", "1")
	_, err := gitlog.Read(t.Context(), c.config("HEAD~1", "HEAD", "flags.json"))
	if !errors.Is(err, gitlog.ErrNoCommit) || !strings.Contains(err.Error(), "shallow") {
		t.Error(err)
	}
}

// TestShallowMerge has a copy that ends within what a merge brought in.
func TestShallowMerge(t *testing.T) {
	r := newRepo(t)
	before := foxtrot(r)
	for depth, enough := range map[string]bool{"1": false, "2": true, "3": true, "4": true} {
		c := r.clone("--depth", depth)
		log, err := gitlog.Read(t.Context(), c.config(before, "HEAD", "flags.json"))
		if !enough && !errors.Is(err, gitlog.ErrShallow) || err != nil && !errors.Is(err, gitlog.ErrShallow) {
			t.Error(depth, err)
		}
		if want := []string{"foxtrot: ada@example.com updated local"}; err == nil && !cmp.Equal(c.lines(log), want) {
			t.Error(depth, c.lines(log))
		}
	}
}

// TestShallowBeside has a copy that reaches the commit before through what was
// merged, and not along the branch.
func TestShallowBeside(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"))
	before := r.commit("base")
	r.git("switch", "-qc", "work")
	r.put("more.json", flagd("b"))
	r.commit("work")
	r.git("switch", "-q", "main")
	for _, flags := range []string{"a!", "a"} {
		r.put("flags.json", flagd(flags))
		r.commitAs("bob <bob@example.com>", "bob's "+flags)
	}
	r.merge("carol <carol@example.com>", "merge", "work")
	c := r.clone("--depth", "3")
	if out := c.git("cat-file", "-t", before); out != "commit" {
		t.Fatal(out)
	}
	if log, err := gitlog.Read(t.Context(), c.config(before, "HEAD", "flags.json", "more.json")); !errors.Is(err, gitlog.ErrShallow) {
		t.Error(c.lines(log), err)
	}
	want := []string{"bob's a!: bob@example.com updated a", "bob's a: bob@example.com updated a", "merge: carol@example.com created b"}
	if got, _ := r.read(r.config(before, "HEAD", "flags.json", "more.json")); !cmp.Equal(got, want) {
		t.Error(got)
	}
}

// TestNoCommit names commits that are not there.
func TestNoCommit(t *testing.T) {
	r, commits, _ := pushes(t)
	r.git("reset", "-q", "--hard", commits[1])
	c := r.clone() // what was pushed by force is gone
	_, err := gitlog.Read(t.Context(), c.config(commits[3], "HEAD", "flags.json"))
	if !errors.Is(err, gitlog.ErrNoCommit) || !strings.Contains(err.Error(), "git fetch origin "+commits[3]) {
		t.Error(err)
	}
	r.git("tag", "-a", "-m", "x", "v1", commits[0])
	for before, want := range map[string]error{
		"v1": nil, "main~": nil, "HEAD": nil, "nobody": gitlog.ErrNoCommit, "HEAD:flags.json": gitlog.ErrNoCommit, "": gitlog.ErrInvalidConfig,
		"--all": gitlog.ErrInvalidConfig, "main main": gitlog.ErrNoCommit, "a\nb": gitlog.ErrNoCommit, commits[0][:10]: nil, "null": gitlog.ErrNoCommit,
	} {
		if _, err := gitlog.Read(t.Context(), r.config(before, "main", "flags.json")); !errors.Is(err, want) {
			t.Errorf("%q: %v", before, err)
		}
		if _, err := gitlog.Read(t.Context(), r.config("main", before, "flags.json")); !errors.Is(err, want) {
			t.Errorf("%q: %v", before, err)
		}
	}
}

// TestHostile has all that a repository can say to run something or to lie.
func TestHostile(t *testing.T) {
	r, commits, want := pushes(t)
	trap := filepath.Join(t.TempDir(), "sprung")
	run := "touch " + trap + "; false"
	if runtime.GOOS == "windows" {
		t.Skip("the trap is a shell's")
	}
	r.git("mv", "flags.json", "features.json")
	r.commit("moved")
	hooks := filepath.Join(r.dir, "hooks")
	for _, hook := range []string{"pre-commit", "post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"} {
		r.put("hooks/"+hook, "#!/bin/sh\n"+run+"\n")
		if err := os.Chmod(filepath.Join(hooks, hook), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.put(".git/info/attributes", "*.json diff=evil filter=evil merge=evil\n", ".gitattributes", "*.json diff=evil filter=evil\n")
	for setting, value := range map[string]string{
		"core.hooksPath": hooks, "core.fsmonitor": run, "diff.external": run, "diff.evil.textconv": run, "diff.evil.command": run,
		"filter.evil.smudge": run, "filter.evil.clean": run, "filter.evil.process": run, "log.showSignature": "true", "gpg.program": run,
		"core.pager": run, "pager.rev-list": run, "core.editor": run, "core.sshCommand": run, "alias.rev-list": "!" + run, "alias.cat-file": "!" + run,
		"diff.renames": "false", "diff.orderFile": "/none", "color.ui": "always", "core.quotePath": "true", "log.mailmap": "true", "core.abbrev": "4",
		"diff.renameLimit": "1", "core.attributesFile": "/none", "i18n.logOutputEncoding": "ISO-8859-1", "log.date": "relative", "format.pretty": "%s",
	} {
		r.git("config", setting, value)
	}
	// A commit that passes for another, and a parent that is none.
	r.git("-c", "core.hooksPath=/none", "replace", "-f", commits[2], commits[1])
	r.put(".git/info/grafts", commits[3]+" "+commits[0]+"\n")
	t.Setenv("GIT_EXTERNAL_DIFF", run)
	t.Setenv("GIT_PAGER", run)
	t.Setenv("GIT_TRACE", "1") // speaks on the standard error
	t.Setenv("GIT_LITERAL_PATHSPECS", "0")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	config := r.config(commits[0], "HEAD", "features.json")
	config.MergedAuthor = true
	if got, _ := r.read(config); !cmp.Equal(got, want) {
		t.Error(got)
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("something was run")
	}
	if _, err := gitlog.Read(t.Context(), r.config("nobody", "HEAD", "features.json")); !errors.Is(err, gitlog.ErrNoCommit) {
		t.Error(err)
	}
}

// TestWhichRepository reads bare ones, and in a hook the one that git names.
func TestWhichRepository(t *testing.T) {
	r, commits, want := pushes(t)
	bare := r.clone("--bare")
	if got, _ := bare.read(bare.config(commits[0], "HEAD", "flags.json")); !cmp.Equal(got, want) {
		t.Error("bare:", got)
	}
	other := newRepo(t)
	other.put("flags.json", flagd("x"))
	other.commit("other")
	t.Setenv("GIT_DIR", filepath.Join(other.dir, ".git"))
	t.Setenv("GIT_INDEX_FILE", filepath.Join(other.dir, ".git", "index"))
	if got, _ := r.read(r.config(commits[0], "HEAD", "flags.json")); !cmp.Equal(got, want) {
		t.Error("in spite of GIT_DIR:", got)
	}
	t.Setenv("GIT_DIR", bare.dir)
	config := r.config(commits[0], "main", "flags.json")
	config.Dir = ""
	t.Chdir(t.TempDir())
	if got, _ := r.read(config); !cmp.Equal(got, want) {
		t.Error("by GIT_DIR:", got)
	}
}

func TestNoRepository(t *testing.T) {
	r, commits, _ := pushes(t)
	config := r.config(commits[0], "HEAD", "flags.json")
	config.Dir = t.TempDir()
	if _, err := gitlog.Read(t.Context(), config); !errors.Is(err, gitlog.ErrNoRepository) {
		t.Error(err)
	}
	config.Dir = filepath.Join(config.Dir, "missing")
	if _, err := gitlog.Read(t.Context(), config); !errors.Is(err, gitlog.ErrNoRepository) {
		t.Error(err)
	}
	config = r.config(commits[0], "HEAD", "flags.json")
	for _, git := range []string{"git-that-is-not-installed", filepath.Join(t.TempDir(), "git")} {
		config.Git = git
		if _, err := gitlog.Read(t.Context(), config); !errors.Is(err, gitlog.ErrNoGit) {
			t.Error(err)
		}
	}
	t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
	_, err := gitlog.Read(t.Context(), r.config(commits[0], "HEAD", "flags.json"))
	if !errors.Is(err, gitlog.ErrUntrusted) || !strings.Contains(err.Error(), "safe.directory") {
		t.Error(err)
	}
}

// script is a program that takes git's place.
func script(t *testing.T, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("it is a shell's")
	}
	path := filepath.Join(t.TempDir(), "git")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return path
}

// TestGitThatHangs has a git that never ends, or that leaves a child behind which
// holds its output.
func TestGitThatHangs(t *testing.T) {
	r, commits, _ := pushes(t)
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for title, text := range map[string]string{
		"at once":       "exec sleep 60\n",
		"with a child":  "sleep 60 &\nsleep 60\n",
		"later":         `for a; do [ "$a" = merge-base ] && exec sleep 60; done; exec ` + real + ` "$@"` + "\n",
		"while reading": `for a; do [ "$a" = cat-file ] && exec sleep 60; done; exec ` + real + ` "$@"` + "\n",
	} {
		// Written before any of them runs: a child that starts meanwhile would hold it open.
		config := r.config(commits[0], "HEAD", "flags.json")
		config.Git, config.Timeout = script(t, text), 500*time.Millisecond
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := gitlog.Read(t.Context(), config)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Timeout is 500ms") || time.Since(began) > 50*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errors.New("the job was stopped"))
			if _, err := gitlog.Read(ctx, config); err == nil || !strings.Contains(err.Error(), "the job was stopped") {
				t.Error(err)
			}
		})
	}
}

// TestGitThatFails shows git's reason, and no credentials.
func TestGitThatFails(t *testing.T) {
	r, commits, _ := pushes(t)
	config := r.config(commits[0], "HEAD", "flags.json")
	config.Git = script(t, "echo 'warning: something' >&2\necho \"fatal: unable to access 'https://user:hunter2@example.com/x.git/': \x1b[31mno\" >&2\nexit 128\n")
	_, err := gitlog.Read(t.Context(), config)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "unable to access 'https://…@example.com") || strings.ContainsRune(err.Error(), 0x1b) {
		t.Error(err)
	}
	for title, text := range map[string]string{
		"no objects":     "exit 0\n",
		"ends early":     `for a; do [ "$a" = cat-file ] && exit 3; done; exec git "$@"` + "\n",
		"says nothing":   `for a; do [ "$a" = cat-file ] && { head -n 1 >/dev/null; exit 0; }; done; exec git "$@"` + "\n",
		"says nonsense":  `for a; do [ "$a" = cat-file ] && exec yes nonsense; done; exec git "$@"` + "\n",
		"lists nonsense": `for a; do [ "$a" = rev-list ] && { yes nonsense | head -n 70; exit 0; }; done; exec git "$@"` + "\n",
	} {
		config := r.config(commits[0], "HEAD", "flags.json")
		config.Git = script(t, text)
		if _, err := gitlog.Read(t.Context(), config); err == nil {
			t.Errorf("%s: no error", title)
		}
	}
}

// TestPartialClone has a copy without contents, which git fetches when it needs
// them, and cannot once its origin is gone: that is no fault of a document.
func TestPartialClone(t *testing.T) {
	r, commits, want := pushes(t)
	r.git("config", "uploadpack.allowFilter", "true")
	r.git("config", "uploadpack.allowAnySHA1InWant", "true")
	c := r.clone("--filter=blob:none", "--no-checkout")
	cut := r.clone("--filter=blob:none", "--no-checkout")
	t.Setenv("GIT_ALLOW_PROTOCOL", "file")
	if got, _ := c.read(c.config(commits[0], "HEAD", "flags.json")); !cmp.Equal(got, want) {
		t.Error(got)
	}
	if err := os.Rename(r.dir, r.dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	if log, err := gitlog.Read(t.Context(), cut.config(commits[0], "HEAD", "flags.json")); err == nil {
		t.Error(cut.lines(log), log.Problems)
	}
	if got, _ := c.read(c.config(commits[0], "HEAD", "flags.json")); !cmp.Equal(got, want) {
		t.Error("what was fetched:", got)
	}
}

func TestInvalidConfig(t *testing.T) {
	good := gitlog.Config{Before: "a", After: "b", Paths: []string{"x"}, Format: changes.Flagd{}}
	for field, edit := range map[string]func(*gitlog.Config){
		"Before":  func(c *gitlog.Config) { c.Before = "" },
		"After":   func(c *gitlog.Config) { c.After = "" },
		"hyphen":  func(c *gitlog.Config) { c.After = "-x" },
		"Paths":   func(c *gitlog.Config) { c.Paths = nil },
		"Format":  func(c *gitlog.Config) { c.Format = nil },
		"Limit":   func(c *gitlog.Config) { c.Limit = -1 },
		"Timeout": func(c *gitlog.Config) { c.Timeout = -1 },
		"Name":    func(c *gitlog.Config) { c.Name = strings.Repeat("x", 101) },
	} {
		config := good
		edit(&config)
		if _, err := gitlog.Read(t.Context(), config); !errors.Is(err, gitlog.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
