package queuecmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/queuecmd"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// terminal is the command with a queue of its own.
type terminal struct {
	*testing.T
	store  *queue.Memory
	opened int
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	store, err := queue.NewMemory(queue.MemoryConfig{MaxDead: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &terminal{T: t, store: store}
}

func (x *terminal) run(args ...string) (status int, stdout, stderr string) {
	x.Helper()
	var out, err bytes.Buffer
	command := queuecmd.Command{
		Name: "flagwatch queue", Stdout: &out, Stderr: &err,
		Open: func(context.Context) (*webhook.Inspector, func() error, error) {
			x.opened++
			inspector, err := webhook.NewInspector(x.store, "q", webhook.InspectorConfig{MaxFlag: 100})
			return inspector, func() error { return nil }, err
		},
	}
	status = command.Run(x.Context(), args)
	return status, out.String(), err.String()
}

// does fails unless the command ends with a status, and has printed the texts.
func (x *terminal) does(status int, args []string, texts ...string) string {
	x.Helper()
	got, stdout, stderr := x.run(args...)
	if got != status {
		x.Errorf("%q: status %d, want %d; %s%s", args, got, status, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			x.Errorf("%q does not print %q, but\n%s%s", args, text, stdout, stderr)
		}
	}
	return stdout
}

// add adds a change and settles it, dead if there is a reason.
func (x *terminal) add(id, flag, reason string) {
	x.Helper()
	body, err := json.Marshal(map[string]any{
		"action": "updated", "change_id": 7, "created_at": "2026-09-01T12:00:00.000000+00:00", "created_by": map[string]string{"id": "ada", "type": "name"}, "flag": flag,
	})
	if err != nil {
		x.Fatal(err)
	}
	ctx := x.Context()
	if _, err := x.store.Add(ctx, "q", queue.Addition{Items: []queue.Item{{ID: id, Key: flag, Body: body}}}); err != nil {
		x.Fatal(err)
	}
	if wait, err := x.store.Lease(ctx, "q", "test", time.Hour); wait != 0 || err != nil {
		x.Fatal(wait, err)
	}
	e := x.entry(id)
	outcome := queue.Outcome{ID: id, Seq: e.Seq, State: queue.Done}
	if reason != "" {
		outcome.State, outcome.Reason = queue.Dead, reason
	}
	if err := x.store.Settle(ctx, "q", "test", outcome); err != nil {
		x.Fatal(err)
	}
}

func (x *terminal) entry(id string) queue.Entry {
	x.Helper()
	found, err := x.store.List(x.Context(), "q", queue.Filter{ID: id})
	if err != nil || len(found) != 1 {
		x.Fatalf("%d entries %q, %v", len(found), id, err)
	}
	return found[0]
}

func TestList(t *testing.T) {
	x := newTerminal(t)
	x.add("1-a", "old-flag", "flag: too long")
	x.add("2-b", "new-flag\x1b[31m", "flag: too long")
	x.add("3-c", "delivered-flag", "")
	out := x.does(queuecmd.OK, []string{"list"}, "ID", "REASON", "1-a", "old-flag", "updated", "ada", "flag: too long", `new-flag\u001b[31m`)
	if strings.Contains(out, "\x1b") || strings.Contains(out, "delivered-flag") || strings.Index(out, "2-b") > strings.Index(out, "1-a") {
		t.Errorf("listed\n%s", out)
	}
	x.does(queuecmd.OK, []string{"list", "-state", "delivered"}, "3-c")
	x.does(queuecmd.OK, []string{"list", "-state", "all", "-flag", "old-flag"}, "1-a")
	out = x.does(queuecmd.OK, []string{"list", "-state=all", "-limit=2", "-json"})
	var first struct {
		ID, State, Flag, Action, Author string
		AuthorType                      string `json:"author_type"`
		ChangeID                        int64  `json:"change_id"`
		Seq                             int64
		Since                           time.Time
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 {
		t.Fatalf("%v of\n%s", err, out)
	}
	if first.ID != "3-c" || first.State != "delivered" || first.Flag != "delivered-flag" || first.ChangeID != 7 || first.AuthorType != "name" || time.Since(first.Since) > time.Minute {
		t.Errorf("%+v", first)
	}
	x.does(queuecmd.OK, []string{"list", "-reasons"}, "2", "flag: too long")
	x.does(queuecmd.OK, []string{"list", "-reasons", "-json"}, `"changes":2`)
	x.does(queuecmd.OK, []string{"show", "1-a"}, "reason     flag: too long", "by         ada (name)")
	x.does(queuecmd.Failed, []string{"show", "1-a", "none"}, "flag: too long", `no change "none"`)
}

// TestListThatIsNotAll: whoever reads a hundred lines must not take them for all.
func TestListThatIsNotAll(t *testing.T) {
	x := newTerminal(t)
	for i := range 5 {
		x.add(fmt.Sprint("id-", i), "flag", "flag: too long")
	}
	for _, c := range []struct {
		args   []string
		listed int
		more   string
	}{
		{[]string{"list", "-limit", "2"}, 2, fmt.Sprintf("-before %d lists on", x.entry("id-3").Seq)},
		{[]string{"list", "-json", "-limit", "4"}, 4, fmt.Sprintf("-before %d lists on", x.entry("id-1").Seq)},
		{[]string{"list", "-limit", "5"}, 5, ""},
		{[]string{"list", "-limit", "6"}, 5, ""},
		{[]string{"list", "-limit", "0"}, 5, ""},
		{[]string{"list", "-limit", "2", "-state", "waiting"}, 0, ""},
		{[]string{"list", "-limit", "2", "-before", fmt.Sprint(x.entry("id-2").Seq)}, 2, ""},
	} {
		status, stdout, stderr := x.run(c.args...)
		if n := strings.Count(stdout, "id-"); status != queuecmd.OK || n != c.listed || !strings.Contains(stderr, c.more) || c.more == "" && stderr != "" {
			t.Errorf("%q: status %d, %d listed, %q", c.args, status, n, stderr)
		}
	}
}

func TestCorrect(t *testing.T) {
	x := newTerminal(t)
	long := strings.Repeat("x", 150)
	x.add("-7-a", long, "flag: too long")
	before := x.entry("-7-a")
	x.does(queuecmd.Failed, []string{"correct", "-author", "grace", "--", "-7-a"}, "Flag has 150 code points")
	x.does(queuecmd.Usage, []string{"correct", "-created-at", "now", "--", "-7-a"}, "2026-09-01T12:00:00Z")
	x.does(queuecmd.OK, []string{"correct", "-flag", "shorter", "-check", "--", "-7-a"}, "checked", "shorter")
	if x.entry("-7-a").Seq != before.Seq {
		t.Error("-check has changed something")
	}
	x.does(queuecmd.OK, []string{"correct", "-flag", "shorter", "-action", "created", "-json", "--", "-7-a"}, `"did":"corrected"`, `"flag":"shorter"`, `"action":"created"`, `"author":"ada"`)
	e := x.entry("-7-a")
	if change, err := webhook.DecodeItem(e.Item); err != nil || e.State != queue.Waiting || change.Flag != "shorter" || change.ChangeID != 7 {
		t.Errorf("%+v, %v", e, err)
	}
	x.does(queuecmd.Failed, []string{"correct", "-flag", "again", "--", "-7-a"}, "is not dead", "waiting")
}

func TestReplayAndDiscard(t *testing.T) {
	x := newTerminal(t)
	for i := range 2500 {
		x.add(fmt.Sprint("a", i), "flag", fmt.Sprint("reason ", i%2))
	}
	x.does(queuecmd.OK, []string{"replay", "a1"}, "replayed   a1")
	x.does(queuecmd.Failed, []string{"replay", "a1", "a3", "none"}, "replayed   a3", "a1: webhook: replay: queue: the entry is not dead", `no change "none"`)
	x.does(queuecmd.OK, []string{"replay", "-all", "-reason", "reason 0"}, "replayed   1250")
	x.does(queuecmd.OK, []string{"discard", "a1"}, "discarded  a1") // it waits
	x.does(queuecmd.Failed, []string{"discard", "a1"}, "it is discarded")
	x.does(queuecmd.OK, []string{"discard", "-all", "-json"}, `{"changes":1248,"did":"discarded"}`)
	if stats, err := x.store.Stats(t.Context(), "q", 0); err != nil || stats.Dead != 0 || stats.Waiting != 1251 {
		t.Errorf("%+v, %v", stats, err)
	}
}

func TestUsage(t *testing.T) {
	x := newTerminal(t)
	for _, args := range [][]string{
		{},
		{"nothing"},
		{"list", "-state", "lost"},
		{"list", "id"},
		{"list", "-limit", "-1"},
		{"list", "-unknown"},
		{"show"},
		{"correct", "a"},
		{"correct", "-flag", "x"},
		{"correct", "-flag", "x", "a", "b"},
		{"replay"},
		{"replay", "-all", "a"},
		{"discard", "-reason", "x", "a"},
	} {
		x.does(queuecmd.Usage, args, "flagwatch queue")
	}
	x.does(queuecmd.OK, []string{"-h"}, "usage:")
	x.does(queuecmd.OK, []string{"list", "-help"}, "usage:")
}

func TestFailures(t *testing.T) {
	closed := errors.New("the store cannot be opened")
	var out bytes.Buffer
	command := queuecmd.Command{Name: "q", Stdout: &out, Stderr: &out, Open: func(context.Context) (*webhook.Inspector, func() error, error) { return nil, nil, closed }}
	if status := command.Run(t.Context(), []string{"list"}); status != queuecmd.Failed || !strings.Contains(out.String(), closed.Error()) {
		t.Errorf("status %d, %s", status, out.String())
	}
	x := newTerminal(t)
	x.store.Close()
	for _, args := range [][]string{{"list"}, {"list", "-reasons"}, {"show", "a"}, {"correct", "-flag", "x", "a"}, {"replay", "-all"}, {"discard", "a"}} {
		x.does(queuecmd.Failed, args, "closed")
	}
}

func TestStatusAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTerminal(t)
		x.does(queuecmd.OK, []string{"status"}, "queue      q\n", "waiting    0\n", "dead       0\n")
		x.add("1", "a", "flag: too long")
		for _, name := range []string{"q", "former\x1b[31m"} {
			if _, err := x.store.Add(t.Context(), name, queue.Addition{Items: []queue.Item{{ID: "2"}, {ID: "3"}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.store.Release(t.Context(), "q", "test", time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		out := x.does(queuecmd.OK, []string{"status"},
			"waiting    2\n", "oldest     10m0s\n", "dead       1\n", "paused     tried again in 3000 s", `elsewhere  former\u001b[31m`)
		if strings.Contains(out, "\x1b") {
			t.Errorf("%q", out)
		}
		x.does(queuecmd.OK, []string{"status", "-json"}, `{"queue":"q","waiting":2,"oldest_seconds":600,"dead":1,"paused":true,"rest_seconds":3000}`,
			`"waiting":2,"oldest_seconds":600,"dead":0,"elsewhere":true}`)
		x.does(queuecmd.OK, []string{"resume"}, "resumed    q")
		if out := x.does(queuecmd.OK, []string{"status"}); strings.Contains(out, "paused") {
			t.Errorf("after the end of the pause:\n%s", out)
		}
		x.does(queuecmd.Usage, []string{"status", "1"}, "takes no ids")
		x.does(queuecmd.Usage, []string{"resume", "1"}, "takes no ids")
		x.store.Close()
		x.does(queuecmd.Failed, []string{"status"}, "closed")
		x.does(queuecmd.Failed, []string{"resume"}, "closed")
	})
}
