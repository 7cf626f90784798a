package gitlog_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
)

// TestRead makes histories and looks for what was changed in them.
func TestRead(t *testing.T) {
	const bob, carol, dora = "bob <bob@example.com>", "carol <carol@example.com>", "dora <dora@example.com>"
	for title, history := range map[string]func(r *repo) (config gitlog.Config, want []string){
		"one after the other": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a"))
			before := r.commit("base")
			r.put("flags.json", flagd("a", "b"))
			r.commitAs(bob, "create")
			r.put("flags.json", flagd("b!", "a"))
			r.commit("update")
			r.commit("empty")
			r.put("flags.json", strings.ReplaceAll(flagd("b!", "a"), "  ", "\t"), "README.md", "x\n")
			r.commit("layout")
			r.put("flags.json", flagd("b!"))
			r.commitAs(bob, "delete")
			r.git("revert", "--no-edit", "HEAD")
			r.git("commit", "-q", "--amend", "-m", "revert")
			after := r.named("revert")
			return r.config(before, after, "flags.json"), []string{
				"create: bob@example.com created b", "update: ada@example.com updated b",
				"delete: bob@example.com deleted a", "revert: ada@example.com created a",
			}
		},
		"nothing between": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a"))
			return r.config(r.commit("base"), "HEAD", "flags.json"), []string{}
		},
		"a merge is by who merged": func(r *repo) (gitlog.Config, []string) {
			return mergedTwo(r)
		},
		"a merge is by who wrote": func(r *repo) (gitlog.Config, []string) {
			config, _ := mergedTwo(r)
			config.MergedAuthor = true
			return config, []string{"merge: dora@example.com updated a", "merge: bob@example.com created b"}
		},
		"a merge is by who wrote, in a file that looks like a pattern": func(r *repo) (gitlog.Config, []string) {
			const file = ":(top)flags.json"
			r.put(file, flagd("a"))
			before := r.commit("base")
			r.git("switch", "-qc", "work")
			r.put(file, flagd("a!"))
			r.commitAs(bob, "bob's")
			r.git("switch", "-q", "main")
			config := r.config(before, r.merge(carol, "merge", "work"), file)
			config.MergedAuthor = true
			return config, []string{"merge: bob@example.com updated a"}
		},
		"three branches at once": func(r *repo) (gitlog.Config, []string) {
			r.put("a.json", flagd("a"), "b.json", flagd("b"), "c.json", flagd("c"))
			before := r.commit("base")
			for _, branch := range []string{"a", "b", "c"} {
				r.git("switch", "-qc", branch, "main")
				r.put(branch+".json", flagd(branch+"!"))
				r.commitAs(branch+" <"+branch+"@example.com>", "work on "+branch)
			}
			r.git("switch", "-q", "main")
			config := r.config(before, r.merge(carol, "octopus", "a", "b", "c"), "a.json", "b.json", "c.json")
			config.MergedAuthor = true
			return config, []string{
				"octopus: a@example.com updated a", "octopus: b@example.com updated b", "octopus: c@example.com updated c",
			}
		},
		"what the line had before a merge is not found again": func(r *repo) (gitlog.Config, []string) {
			before := foxtrot(r)
			return r.config(before, "HEAD", "flags.json"), []string{"foxtrot: ada@example.com updated local"}
		},
		"and is by who wrote it": func(r *repo) (gitlog.Config, []string) {
			before := foxtrot(r)
			config := r.config(before, "HEAD", "flags.json")
			config.MergedAuthor = true
			return config, []string{"foxtrot: dora@example.com updated local"}
		},
		"a merge into another merge": func(r *repo) (gitlog.Config, []string) {
			before := foxtrot(r) // main's old tip, merged into local work
			r.git("branch", "-f", "mine", "HEAD")
			r.put("flags.json", flagd("base!", "local!", "main!"))
			r.commitAs(bob, "theirs goes on")
			r.git("switch", "-q", "mine")
			r.put("other.json", flagd("other"))
			r.commitAs(dora, "mine goes on")
			after := r.merge("ada <ada@example.com>", "again", "main")
			return r.config(before, after, "flags.json", "other.json"), []string{
				"foxtrot: ada@example.com updated local", "mine goes on: dora@example.com created other",
				"again: ada@example.com updated base",
			}
		},
		"pushed by force": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a", "b", "c"))
			r.commit("base")
			r.put("flags.json", flagd("a!", "b!", "c"))
			before := r.commit("was there")
			r.git("reset", "-q", "--hard", "HEAD~")
			r.put("flags.json", flagd("a!", "b", "c"))
			r.commitAs(bob, "the same again")
			r.put("flags.json", flagd("a!", "b", "c!"))
			r.commitAs(dora, "something else")
			return r.config(before, "HEAD", "flags.json"), []string{
				"something else: git updated b", "something else: dora@example.com updated c",
			}
		},
		"pushed back by force": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a"))
			r.commit("base")
			r.put("flags.json", flagd("a!", "b"))
			before := r.commit("gone again")
			config := r.config(before, "HEAD~", "flags.json")
			config.Name = "forge"
			return config, []string{"base: forge updated a", "base: forge deleted b"}
		},
		"an unrelated history": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a"))
			before := r.commit("base")
			r.git("switch", "-q", "--orphan", "other")
			r.put("flags.json", flagd("a!"))
			r.commitAs(bob, "from nothing")
			return r.config(before, "HEAD", "flags.json"), []string{"from nothing: git updated a"}
		},
		"a history that was merged with an unrelated one": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a"))
			before := r.commit("base")
			r.git("switch", "-q", "--orphan", "other")
			r.put("more.json", flagd("b"))
			r.commitAs(bob, "from nothing")
			r.now = r.now.Add(time.Minute)
			r.git("merge", "-q", "--allow-unrelated-histories", "-m", "joined", "main")
			return r.config(before, r.named("joined"), "flags.json", "more.json"), []string{"joined: ada@example.com created b"}
		},
		"a file in another language": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a", "b"))
			before := r.commit("base")
			r.put("flags.json", "", "flags.yaml", "flags:\n  a: {state: ENABLED, variants: {\"on\": true, \"off\": false}, defaultVariant: \"on\"}\n"+
				"  b: {state: DISABLED, variants: {\"on\": true, \"off\": false}, defaultVariant: \"on\"}\n")
			return r.config(before, r.commit("to YAML"), "flags.yaml"), []string{"to YAML: ada@example.com updated b"}
		},
		"a file that begins and ends": func(r *repo) (gitlog.Config, []string) {
			before := r.commit("base")
			r.put("flags.json", flagd("a"))
			r.commit("begins")
			r.put("flags.json", "")
			r.commitAs(bob, "ends")
			r.put("flags.json", flagd("a"))
			return r.config(before, r.commit("again"), "flags.json"), []string{
				"begins: ada@example.com created a", "ends: bob@example.com deleted a", "again: ada@example.com created a",
			}
		},
		"a flag in two files": func(r *repo) (gitlog.Config, []string) {
			r.put("a.json", flagd("both", "a"), "b.json", flagd("both!"))
			before := r.commit("base")
			r.put("b.json", flagd("both"))
			r.commit("the second")
			r.put("a.json", flagd("a"))
			r.commit("now in one")
			r.put("b.json", flagd("b"))
			return r.config(before, r.commit("in none"), "b.json", "a.json"), []string{
				"the second: ada@example.com updated both", // and then it is the same in both as in one
				"in none: ada@example.com created b", "in none: ada@example.com deleted both",
			}
		},
		"a flag moves to another file": func(r *repo) (gitlog.Config, []string) {
			r.put("flags/a.json", flagd("a", "b"), "flags/b.json", flagd("c"))
			before := r.commit("base")
			r.put("flags/a.json", flagd("a"), "flags/b.json", flagd("b", "c"))
			return r.config(before, r.commit("moves"), "flags"), []string{}
		},
		"a folder": func(r *repo) (gitlog.Config, []string) {
			r.put("flags/a.json", flagd("a"), "flags/.hidden.json", "{", "flags/README.md", "{", "flags/deeper/d.json", flagd("d"))
			before := r.commit("base")
			r.put("flags/b.yml", "flags: {b: {state: ENABLED, variants: {x: 1}, defaultVariant: x}}\n", "flags/deeper/d.json", flagd("d!"))
			r.commit("more")
			r.put("flags/a.json", "")
			return r.config(before, r.commit("less"), "flags/", "./flags/a.json"), []string{
				"more: ada@example.com created b", "less: ada@example.com deleted a",
			}
		},
		"the whole repository's folder": func(r *repo) (gitlog.Config, []string) {
			r.put("a.json", flagd("a"))
			before := r.commit("base")
			r.put("a.json", flagd("a!"))
			return r.config(before, r.commit("off"), "."), []string{"off: ada@example.com updated a"}
		},
		"the same second": func(r *repo) (gitlog.Config, []string) {
			r.put("flags.json", flagd("a"))
			before := r.commit("base")
			want := []string{}
			for _, flags := range []string{"a!", "a", "a!"} {
				r.put("flags.json", flagd(flags))
				r.now = start
				r.commit("again")
				want = append(want, "again: ada@example.com updated a")
			}
			return r.config(before, "HEAD", "flags.json"), want
		},
		"other hashes": func(r *repo) (gitlog.Config, []string) {
			other := newRepo(r.TB, "--object-format=sha256")
			*r = *other
			r.put("flags.json", flagd("a"))
			before := r.commit("base")
			r.put("flags.json", flagd("a!"))
			return r.config(before, r.commit("off"), "flags.json"), []string{"off: ada@example.com updated a"}
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			config, want := history(r)
			got, log := r.read(config)
			if diff := cmp.Diff(want, got); diff != "" || len(log.Problems) > 0 || log.Broken != nil {
				t.Error(diff, log.Problems)
			}
			if again, _ := r.read(config); !cmp.Equal(got, again) {
				t.Error("another time:", again)
			}
			ids := map[int64]bool{}
			for _, change := range log.Changes() {
				if ids[change.ChangeID] || change.ChangeID < 1 {
					t.Error("twice:", change.ChangeID)
				}
				ids[change.ChangeID] = true
			}
		})
	}
}

// mergedTwo has a branch on which two people worked, and one on which somebody
// undid something.
func mergedTwo(r *repo) (gitlog.Config, []string) {
	r.put("flags.json", flagd("a"))
	before := r.commit("base")
	r.git("switch", "-qc", "work")
	r.put("flags.json", flagd("a", "b!"))
	r.commitAs("bob <bob@example.com>", "bob's")
	r.put("flags.json", flagd("a!", "b"))
	r.commitAs("dora <dora@example.com>", "dora's")
	r.put("README.md", "x")
	r.commitAs("eve <eve@example.com>", "something else")
	r.git("switch", "-q", "main")
	after := r.merge("carol <carol@example.com>", "merge", "work")
	return r.config(before, after, "flags.json"), []string{"merge: carol@example.com updated a", "merge: carol@example.com created b"}
}

// foxtrot has somebody merge the branch into work of their own and push that: of
// the merge the branch's old tip, which is returned, is the second parent.
func foxtrot(r *repo) (before string) {
	r.put("flags.json", flagd("base", "local", "main"))
	r.commit("base")
	r.git("switch", "-qc", "local")
	r.put("README.md", "x")
	r.commitAs("dora <dora@example.com>", "text")
	r.put("flags.json", flagd("base", "local!", "main"))
	r.commitAs("dora <dora@example.com>", "local")
	r.git("switch", "-q", "main")
	r.put("flags.json", flagd("base", "local", "main!"))
	before = r.commitAs("bob <bob@example.com>", "main")
	r.git("switch", "-q", "local")
	r.now = r.now.Add(time.Minute)
	r.merge("ada <ada@example.com>", "foxtrot", "main")
	r.git("switch", "-q", "-C", "main")
	return before
}

func TestDates(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"))
	base := r.commit("base")
	r.put("flags.json", flagd("a!"))
	r.now = start // the base's second, once more
	one := r.commit("one")
	r.put("flags.json", flagd("a"))
	r.now = start
	two := r.commit("two")
	r.put("flags.json", flagd("a!"))
	r.now = start.AddDate(0, 0, -1) // a clock that goes wrong
	three := r.commit("three")
	at := start.Add(time.Minute)
	for _, span := range []struct {
		before, after string
		want          []time.Time
	}{
		{base, three, []time.Time{at.Add(time.Microsecond), at.Add(2 * time.Microsecond), at.AddDate(0, 0, -1)}},
		{one, two, []time.Time{at.Add(2 * time.Microsecond)}}, // whatever is asked for
		{two, base, nil}, // back by force, to the same
		{one, base, []time.Time{at.Add(2 * time.Microsecond)}},
		{three, two, []time.Time{at.Add(2 * time.Microsecond)}},
	} {
		_, log := r.read(r.config(span.before, span.after, "flags.json"))
		var got []time.Time
		for _, set := range log.Sets {
			got = append(got, set.Date)
			if set.Changes()[0].CreatedAt != set.Date || set.Date.Location() != time.UTC {
				t.Error(set.Changes())
			}
		}
		if diff := cmp.Diff(span.want, got); diff != "" {
			t.Error(r.names[span.before], r.names[span.after], diff)
		}
	}
}

func TestNewBranch(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"))
	after := r.commit("base")
	for _, zeros := range []string{strings.Repeat("0", 40), strings.Repeat("0", 64)} {
		if got, log := r.read(r.config(zeros, after, "flags.json")); len(got) > 0 || !log.NewBranch || log.Commits != 0 {
			t.Error(got, log)
		}
	}
	if _, err := gitlog.Read(t.Context(), r.config(strings.Repeat("0", 40), "nobody", "flags.json")); !errors.Is(err, gitlog.ErrNoCommit) {
		t.Error(err)
	}
}

// TestBroken has documents that cannot be read between those that can.
func TestBroken(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a", "b"))
	base := r.commit("base")
	r.put("flags.json", flagd("a!")[1:])
	broken := r.commit("broken")
	r.put("flags.json", " \n")
	empty := r.commit("empty")
	r.put("flags.json", flagd("a!", "b"))
	mended := r.commitAs("bob <bob@example.com>", "mended")
	for _, span := range []struct {
		before, after string
		want          []string
		problems      []error
		broken        bool
	}{
		{base, mended, []string{"mended: bob@example.com updated a"}, []error{changes.ErrUnreadable, changes.ErrEmpty}, false},
		{base, broken, []string{}, []error{changes.ErrUnreadable}, true},
		{broken, mended, []string{"mended: bob@example.com updated a"}, []error{changes.ErrUnreadable, changes.ErrEmpty}, false},
		{empty, mended, []string{"mended: bob@example.com updated a"}, []error{changes.ErrEmpty}, false},
		{broken, empty, []string{}, []error{changes.ErrUnreadable, changes.ErrEmpty}, true},
		{empty, empty, []string{}, []error{changes.ErrEmpty}, true},
	} {
		got, log := r.read(r.config(span.before, span.after, "flags.json"))
		if diff := cmp.Diff(span.want, got); diff != "" || (log.Broken != nil) != span.broken || len(log.Problems) != len(span.problems) {
			t.Error(diff, log)
			continue
		}
		for i, problem := range log.Problems {
			if !errors.Is(problem.Err, span.problems[i]) || !strings.Contains(problem.Err.Error(), "flags.json") {
				t.Error(problem)
			}
		}
	}
}

// TestOtherFormatBefore has a file that was something else before, so that there
// is nothing to compare the first definitions with.
func TestOtherFormatBefore(t *testing.T) {
	const goff = "search:\n  variations: {a: 1, b: 2}\n  defaultRule: {variation: a}\n"
	r := newRepo(t)
	r.put("flags.yaml", goff)
	base := r.commit("base")
	r.put("flags.yaml", goff+"# more\n")
	r.commit("goes on")
	r.put("flags.yaml", "", "flags.json", flagd("search"))
	r.commit("to flagd")
	r.put("flags.json", flagd("search!"))
	r.commit("off")
	got, log := r.read(r.config(base, "HEAD", "flags.json"))
	if diff := cmp.Diff([]string{"off: ada@example.com updated search"}, got); diff != "" || len(log.Problems) != 2 || log.Broken != nil {
		t.Error(diff, log)
	}
}
