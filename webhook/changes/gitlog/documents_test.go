package gitlog_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
)

func (r *repo) link(target, name string) {
	r.Helper()
	path := filepath.Join(r.dir, name)
	_ = os.Remove(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		r.Skip(err)
	}
}

// TestLinks follows symbolic links within the repository, and none out of it.
func TestLinks(t *testing.T) {
	r := newRepo(t)
	r.put("environments/one/flags.json", flagd("a"), "environments/two/flags.json", flagd("a!"))
	r.link("environments/one", "current")
	r.link("../current/flags.json", "live/flags.json")
	r.link("./flags.json", "live/more.json")
	base := r.commit("base")
	r.link("environments/two", "current")
	r.commit("swapped")
	r.put("environments/two/flags.json", flagd("a!", "b"))
	swapped := r.commit("through the link")
	want := []string{"swapped: ada@example.com updated a", "through the link: ada@example.com created b"}
	for _, path := range []string{"live/flags.json", "current/flags.json", "live", "current"} {
		if got, log := r.read(r.config(base, swapped, path)); !cmp.Equal(got, want) || log.Broken != nil {
			t.Error(path, got, log.Broken)
		}
	}
	for _, target := range []string{"/etc/passwd", "../../outside.json", ".."} {
		r.link(target, "live/flags.json")
		r.commit("to " + target)
		got, log := r.read(r.config(swapped, "HEAD", "live/flags.json"))
		if outside := target != ".."; len(got) > 0 && outside || outside != errors.Is(log.Broken, gitlog.ErrOutside) {
			t.Error(target, got, log.Broken)
		}
	}
	r.link("flags.json", "live/flags.json")
	r.commit("circle")
	if _, log := r.read(r.config(swapped, "HEAD", "live/flags.json")); !errors.Is(log.Broken, gitlog.ErrOutside) {
		t.Error("a circle:", log.Broken)
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"))
	base := r.commit("base")
	r.put("flags.json", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
	pointer := r.commit("to LFS")
	if got, log := r.read(r.config(base, pointer, "flags.json")); len(got) > 0 || !errors.Is(log.Broken, gitlog.ErrLFS) {
		t.Error(got, log.Broken)
	}
	r.git("mv", "flags.json", "flags.yaml") // it would be YAML
	r.commit("to YAML")
	if got, log := r.read(r.config(base, "HEAD", "flags.yaml")); len(got) > 0 || !errors.Is(log.Broken, gitlog.ErrLFS) {
		t.Error(got, log.Broken)
	}

	r.put("flags.yaml", "", "flags.json", flagd("a")+strings.Repeat(" ", 1000))
	large := r.commit("large")
	config := r.config(base, large, "flags.json")
	config.Limit = 500
	if got, log := r.read(config); len(got) > 0 || !errors.Is(log.Broken, changes.ErrTooLarge) {
		t.Error(got, log.Broken)
	}

	module := newRepo(t)
	module.put("flags.json", flagd("m"))
	module.commit("base")
	r.git("submodule", "add", "-q", module.dir, "module")
	added := r.commit("a submodule")
	if got, log := r.read(r.config(large, added, "module/flags.json")); len(got) > 0 || !errors.Is(log.Broken, gitlog.ErrSubmodule) {
		t.Error(got, log.Broken)
	}
	if got, log := r.read(r.config(large, added, ".")); len(got) > 0 || log.Broken != nil {
		t.Error("beside a submodule:", got, log.Broken)
	}
}

// TestNames has files of all names that git allows.
func TestNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are few such names here")
	}
	names := []string{
		"-rf.json", "--.json", "*.json", "[a].json", ":(exclude)x.json", ":!flags.json", "a b.json", "a\nb.json", "a\tb.json",
		`"quoted".json`, `back\slash.json`, "größe.json", "日本.json", "not\xffutf8.json", "HEAD", "HEAD:flags.json", "a..b.json", "🚩", "@{1}", "~", "%H",
	}
	r := newRepo(t)
	for _, name := range names {
		r.put("folder/"+name, flagd("a", "of "+strings.ToValidUTF8(name, "?")))
	}
	before := r.commit("base")
	for _, name := range names {
		r.put("folder/"+name, flagd("a!", "of "+strings.ToValidUTF8(name, "?")))
	}
	r.commit("off")
	r.git("mv", "folder", "other")
	moved := r.commit("moved")
	want := []string{"off: ada@example.com updated a"}
	for _, name := range names {
		config := r.config(before, moved, name)
		config.Dir = filepath.Join(r.dir, "other") // the paths are relative to it
		if got, _ := r.read(config); !cmp.Equal(got, want) {
			t.Errorf("%q: %q", name, got)
		}
		for _, path := range []string{"other/" + name, "folder/" + name} {
			if got, log := r.read(r.config(before, moved, path)); !cmp.Equal(got, want) || log.Broken != nil {
				t.Errorf("%q: %q, %v", path, got, log.Broken)
			}
		}
	}
	config := r.config(before, moved, "../other/a b.json", "./größe.json")
	config.Dir = filepath.Join(r.dir, "other")
	if got, _ := r.read(config); !cmp.Equal(got, want) {
		t.Error("from a folder:", got)
	}
}

func TestAuthors(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"), ".mailmap", "Ada L <ada@new.example> <ada@example.com>\n")
	r.commit("base")
	long := strings.Repeat("l", 100) + "@example.com"
	for i, tc := range []struct {
		who     string
		options []string
		want    string
	}{
		{who: "ada <ada@example.com>", want: "ada@example.com email"}, // whatever .mailmap says
		{who: "Ada <>", want: "Ada name"},
		{who: "Ada <root>", want: "Ada name"},
		{who: "Ada <ada@host.(none)>", want: "ada@host.(none) email"}, // what the commit says
		{who: "Ada <" + long + ">", want: "Ada name"},                 // cut it would be another's
		{who: strings.Repeat("ä", 200) + " <>", want: strings.Repeat("ä", 100) + " name"},
		{who: "Äda <Äda@example.com>", options: []string{"-c", "i18n.commitEncoding=ISO-8859-1"}, want: "Äda@example.com email"},
		{who: "dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>", want: "49699333+dependabot[bot]@users.noreply.github.com email"},
	} {
		r.put("flags.json", flagd([]string{"a!", "a"}[i%2]))
		r.git("add", "-A")
		who := tc.who
		if tc.options != nil {
			who = strings.ReplaceAll(who, "Ä", "\xc4")
		}
		r.gitAs(who, append(tc.options, "commit", "-q", "-m", "edit")...)
		_, log := r.read(r.config("HEAD~", "HEAD", "flags.json"))
		author := log.Sets[0].Edits[0].Author
		if got := author.ID + " " + string(author.Type); got != tc.want {
			t.Errorf("%s: %s", tc.who, got)
		}
	}
	// A commit that git itself would not make: nobody has made it.
	tree := r.git("rev-parse", "HEAD~:")
	raw := "tree " + tree + "\nparent " + r.git("rev-parse", "HEAD") + "\nauthor  <> 1700000000 +0000\ncommitter  <> 1700000000 +0000\n\nnobody\n"
	r.put("raw", raw)
	id := r.git("hash-object", "-t", "commit", "-w", "--literally", "raw")
	_, log := r.read(r.config("HEAD", id, "flags.json"))
	if len(log.Sets) != 1 || log.Sets[0].Edits[0].Author != name("git") || log.Sets[0].Date.Unix() != 1700000000 {
		t.Error(log.Sets)
	}
}
