package gitlog_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// author writes a history and what is to be found in it.
type author struct {
	pick   func(n int) int // 0 to n-1
	stream bytes.Buffer
	marks  int
	tip    int
	now    time.Time
	tick   int
	path   string           // of one of the documents; the other is in more
	flags  map[string]bool  // on or off
	good   map[string]bool  // as they were last when they could be read
	broken bool             // the first document
	want   []webhook.Change // as the log has to have them; by who merged
	wrote  []webhook.Author // who wrote each of them
	first  int              // the commit to count from
	counts map[string]int
}

var people = []string{"ada@example.com", "bob@example.com", "carol@example.com", "dora@example.com"}

func (a *author) person() string { return people[a.pick(len(people))] }

// commit writes one, with all documents.
func (a *author) commit(who string, flags map[string]bool, parents ...int) int {
	a.marks++
	fmt.Fprintf(&a.stream, "commit refs/heads/main\nmark :%d\nauthor Somebody <%s> 1600000000 +0000\ncommitter forge <noreply@forge.example> %d +0000\ndata 1\nx\n", a.marks, who, a.now.Unix())
	for i, parent := range parents {
		fmt.Fprintf(&a.stream, "%s :%d\n", []string{"from", "merge"}[min(i, 1)], parent)
	}
	a.stream.WriteString("deleteall\n")
	for at, file := range []string{a.path, "more/flags.json"} {
		var names []string
		for _, flag := range slices.Sorted(maps.Keys(flags)) {
			if strings.HasPrefix(flag, "more") != (at == 1) {
				continue
			}
			if !flags[flag] {
				flag += "!"
			}
			names = append(names, flag)
		}
		content := flagd(names...)
		if at == 0 && a.broken {
			content = content[:len(content)/2]
		}
		fmt.Fprintf(&a.stream, "M 100644 inline %s\ndata %d\n%s\n", file, len(content), content)
	}
	return a.marks
}

// edit changes one flag of some.
func (a *author) edit(flags map[string]bool, flag string) {
	on, there := flags[flag]
	switch {
	case !there:
		flags[flag] = a.pick(2) == 0
	case a.pick(3) == 0:
		delete(flags, flag)
	default:
		flags[flag] = !on
	}
}

func (a *author) flag() string {
	return fmt.Sprint([]string{"flag", "more"}[a.pick(2)], "-", a.pick(12))
}

// later lets time go on, or not.
func (a *author) later() {
	if a.tick++; a.pick(4) > 0 {
		a.now, a.tick = a.now.Add(time.Duration(1+a.pick(3600))*time.Second), 0
	}
}

// step adds something to the branch.
func (a *author) step() {
	who, wrote := a.person(), map[string]string{}
	parents := []int{a.tip}
	next := maps.Clone(a.flags)
	a.later()
	kind := []string{"edit", "edit", "edit", "merge", "merge", "rename", "nothing", "break"}[a.pick(8)]
	a.counts[kind]++
	switch kind {
	case "edit":
		for range 1 + a.pick(3) {
			a.edit(next, a.flag())
		}
		a.broken = false
	case "merge":
		a.broken = false
		for range 1 + a.pick(3) { // branches
			side := a.tip
			flags := maps.Clone(a.flags)
			for range 1 + a.pick(3) {
				if flag, person := a.flag(), a.person(); wrote[flag] == "" { // no conflicts
					a.edit(flags, flag)
					wrote[flag] = person
					if on, there := flags[flag]; there {
						next[flag] = on
					} else {
						delete(next, flag)
					}
					side = a.commit(person, flags, side)
				}
			}
			if side != a.tip {
				parents = append(parents, side)
			}
		}
	case "rename":
		a.path = fmt.Sprintf("folder-%d/flags-%d.json", a.pick(3), a.marks)
	case "break":
		a.broken = true
	}
	a.tip = a.commit(who, next, parents...)
	a.flags = next
	if a.broken {
		return
	}
	a.expect(who, wrote)
	a.good = next
}

func (a *author) expect(who string, wrote map[string]string) {
	all := maps.Clone(a.good)
	maps.Copy(all, a.flags)
	for _, flag := range slices.Sorted(maps.Keys(all)) {
		was, before := a.good[flag]
		is, after := a.flags[flag]
		change := webhook.Change{Flag: flag, CreatedBy: email(who), CreatedAt: a.now.Add(time.Duration(a.tick) * time.Microsecond)}
		switch {
		case !before:
			change.Action = webhook.ActionCreated
		case !after:
			change.Action = webhook.ActionDeleted
		case was != is:
			change.Action = webhook.ActionUpdated
		default:
			continue
		}
		a.want = append(a.want, change)
		if wrote[flag] != "" {
			who := wrote[flag]
			a.wrote = append(a.wrote, email(who))
			continue
		}
		a.wrote = append(a.wrote, change.CreatedBy)
	}
}

// write adds a history of so many commits on the branch to a bare repository.
func write(t testing.TB, dir string, pick func(int) int, commits int) (*author, gitlog.Config) {
	a := &author{pick: pick, now: start, path: "flags.json", flags: map[string]bool{}, counts: map[string]int{}}
	for i := range 12 {
		a.flags[fmt.Sprint("flag-", i)], a.flags[fmt.Sprint("more-", i)] = true, true
	}
	a.tip = a.commit("root@example.com", a.flags)
	a.good, a.first = a.flags, a.tip
	for range commits {
		a.step()
	}
	cmd := exec.Command("git", "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--force", "--export-marks=marks")
	cmd.Dir, cmd.Stdin = dir, &a.stream
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	marks, err := os.ReadFile(dir + "/marks")
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(string(marks))
	id := func(mark int) string { return ids[slices.Index(ids, fmt.Sprint(":", mark))+1] }
	return a, gitlog.Config{Dir: dir, Before: id(a.first), After: id(a.tip), Paths: []string{a.path, "more"}, Format: changes.Flagd{}}
}

// held is what the log has to say, as it is compared.
func held(list []webhook.Change) []webhook.Change {
	list = slices.Clone(list)
	for i := range list {
		list[i].ChangeID, list[i].ItemID = 0, ""
	}
	return list
}

// TestHistories writes histories with merges, renames, broken documents and
// commits of the same second, and finds in each what was written.
func TestHistories(t *testing.T) {
	dir := newRepo(t, "--bare").dir // for all of them
	rapid.Check(t, func(rt *rapid.T) {
		a, config := write(t, dir, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") }, rapid.IntRange(1, 12).Draw(rt, "commits"))
		log, err := gitlog.Read(context.Background(), config)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(held(a.want), held(log.Changes())); diff != "" {
			rt.Fatal(diff)
		}
		config.MergedAuthor = true
		if log, err = gitlog.Read(context.Background(), config); err != nil {
			rt.Fatal(err)
		}
		var wrote []webhook.Author
		for _, change := range log.Changes() {
			wrote = append(wrote, change.CreatedBy)
		}
		if diff := cmp.Diff(a.wrote, wrote); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// TestFiveHundredCommits reports a long history three times, over a Sentry that
// fails now and then, and in the end has each change once, by the right author
// and in the right order.
func TestFiveHundredCommits(t *testing.T) {
	random := rand.New(rand.NewPCG(14, 500)) //nolint:gosec // a test's
	a, config := write(t, newRepo(t, "--bare").dir, random.IntN, 500)
	server, client := standIn(t, webhooktest.Config{})
	report := gitlog.ReportConfig{Client: client, Token: server.Token(), Settle: time.Millisecond}
	var sent, there int
	for try := range 3 {
		server.Fail([]webhooktest.Fault{
			{}, webhooktest.Disconnect().AfterStoring(), {}, webhooktest.Status(http.StatusBadGateway).AfterStoring(), {}, webhooktest.Status(http.StatusUnauthorized),
		}...)
		log, err := gitlog.Read(t.Context(), config)
		if err != nil || log.Commits != 500 {
			t.Fatal(log.Commits, err)
		}
		done, err := gitlog.Report(t.Context(), report, log.Changes()...)
		if (err != nil) != (try == 0) {
			t.Errorf("%d: %v", try, err)
		}
		sent, there = sent+done.Sent, done.There
		server.Recover()
	}
	t.Logf("%d changes in 500 commits, %v: %d requests, %d sent, %d there at last", len(a.want), a.counts, len(server.Requests()), sent, there)
	if sent != len(a.want) || there != len(a.want) {
		t.Errorf("%d sent, %d there, want %d", sent, there, len(a.want))
	}
	if diff := cmp.Diff(held(a.want), held(server.Changes())); diff != "" {
		t.Error(diff)
	}
	// As Sentry sorts them.
	sorted := held(server.Changes())
	slices.SortStableFunc(sorted, func(a, b webhook.Change) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if diff := cmp.Diff(held(a.want), sorted); diff != "" {
		t.Error("by their dates:", diff)
	}
}
