//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

const (
	rounds = 30
	// postgresEnv names the environment variable with the DSN of a PostgreSQL to
	// test on.
	postgresEnv = "SENTRYFLAGS_TEST_POSTGRES"
	// childEnv makes the test's binary the program, see TestMain.
	childEnv = "FLAGWATCH_TEST_CHILD"
)

// TestCrashes edits a file that several processes watch, which are killed with
// SIGKILL, frozen, and cut off from the database meanwhile: each edit is
// reported once, whatever it was merged with.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		engine    string
		processes int
	}{{"SQLite", 2}, {"PostgreSQL", 3}} {
		t.Run(c.engine, func(t *testing.T) {
			t.Parallel()
			crash := newCrash(t, c.engine, c.processes)
			for i := range rounds {
				crash.edit(i)
				time.Sleep(time.Duration(20+crash.r.IntN(200)) * time.Millisecond) // real processes
				crash.strike()
			}
			crash.thaw()
			crash.expect()
			t.Logf("%d edits, %d kills, %d frozen, %d cut off; %d requests too many", len(crash.want), crash.kills, crash.frozen, crash.cuts, crash.repeated)
		})
	}
}

type crash struct {
	t        *testing.T
	r        *rand.Rand
	sentry   *webhooktest.Server
	folder   string
	env      []string
	children []*exec.Cmd
	stopped  map[int]bool
	admin    *sql.DB // of PostgreSQL
	database string

	flags map[string]int
	want  []string

	kills, frozen, cuts, repeated int
}

func newCrash(t *testing.T, engine string, processes int) *crash {
	c := &crash{
		t: t, r: rand.New(rand.NewPCG(11, uint64(processes))), sentry: standIn(t), folder: t.TempDir(),
		stopped: map[int]bool{}, flags: map[string]int{},
	}
	store := filepath.Join(c.folder, "x.db")
	c.env = append(os.Environ(), childEnv+"=1", "SENTRY_FLAGS_WEBHOOK_URL="+c.sentry.URL(), "SENTRY_FLAGS_WEBHOOK_SECRET="+sentrySecret)
	if engine == "PostgreSQL" {
		store = ""
		c.env = append(c.env, "FLAGWATCH_DATABASE_URL="+c.makeDatabase())
	}
	for i := range rounds {
		c.flags[fmt.Sprintf("edit-%d", i)], c.flags[fmt.Sprintf("drop-%d", i)] = 1, 1
	}
	c.put()
	write(t, filepath.Join(c.folder, "flagwatch.json"), fmt.Sprintf(`{"listen": "127.0.0.1:0", "store": %q, "interval": "50ms", "gather": "20ms", "lag": "500ms",
		"allow_http": true, "sources": [{"format": "flagd", "file": %q}]}`, store, filepath.Join(c.folder, "flags.json")))
	c.children = make([]*exec.Cmd, processes)
	t.Cleanup(func() {
		for _, child := range c.children {
			c.end(child)
		}
	})
	c.start(0)
	c.until("there is a baseline", func() bool { return bytes.Contains(c.log(0), []byte("first snapshot")) })
	for i := 1; i < processes; i++ {
		c.start(i)
	}
	return c
}

// makeDatabase makes a database for the test and returns its DSN.
func (c *crash) makeDatabase() string {
	dsn := os.Getenv(postgresEnv)
	if dsn == "" {
		c.t.Skip(postgresEnv + " is not set")
	}
	address, err := url.Parse(dsn)
	if err != nil {
		c.t.Fatalf("%s cannot be parsed", postgresEnv)
	}
	if c.admin, err = sql.Open("pgx", dsn); err != nil {
		c.t.Fatal(err)
	}
	c.database = fmt.Sprintf("flagwatch_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := c.admin.ExecContext(c.t.Context(), "CREATE DATABASE "+c.database); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if _, err := c.admin.ExecContext(context.Background(), "DROP DATABASE "+c.database+" WITH (FORCE)"); err != nil {
			c.t.Error(err)
		}
		_ = c.admin.Close()
	})
	address.Path = "/" + c.database
	return address.String()
}

func (c *crash) logFile(i int) string { return filepath.Join(c.folder, fmt.Sprintf("log-%d", i)) }

func (c *crash) log(i int) []byte {
	all, err := os.ReadFile(c.logFile(i))
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

func (c *crash) start(i int) {
	log, err := os.OpenFile(c.logFile(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	child := exec.CommandContext(c.t.Context(), os.Args[0], "-config", filepath.Join(c.folder, "flagwatch.json"))
	child.Env, child.Stdout, child.Stderr = c.env, log, log
	if err := child.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.children[i] = child
}

func (c *crash) end(child *exec.Cmd) {
	if child != nil && child.ProcessState == nil {
		_ = child.Process.Kill()
		_ = child.Wait()
	}
}

// put writes the document, by a rename.
func (c *crash) put() {
	type flag map[string]any
	document := map[string]map[string]flag{"flags": {}}
	for name, n := range c.flags {
		document["flags"][name] = flag{"state": "ENABLED", "variants": map[string]int{"v": n}, "defaultVariant": "v"}
	}
	content, err := json.Marshal(document)
	if err != nil {
		c.t.Fatal(err)
	}
	temporary := filepath.Join(c.folder, "flags.tmp")
	write(c.t, temporary, string(content))
	if err := os.Rename(temporary, filepath.Join(c.folder, "flags.json")); err != nil {
		c.t.Fatal(err)
	}
}

// edit changes a flag that is changed by no other edit, and one that comes and
// goes.
func (c *crash) edit(i int) {
	switch c.r.IntN(3) {
	case 0:
		c.flags[fmt.Sprintf("edit-%d", i)]++
		c.want = append(c.want, fmt.Sprintf("updated edit-%d", i))
	case 1:
		delete(c.flags, fmt.Sprintf("drop-%d", i))
		c.want = append(c.want, fmt.Sprintf("deleted drop-%d", i))
	case 2:
		c.flags[fmt.Sprintf("new-%d", i)] = 1
		c.want = append(c.want, fmt.Sprintf("created new-%d", i))
	}
	if _, there := c.flags["toggled"]; there {
		delete(c.flags, "toggled")
	} else {
		c.flags["toggled"] = 1
	}
	c.put()
}

func (c *crash) strike() {
	i := c.r.IntN(len(c.children))
	switch n := c.r.IntN(10); {
	case n < 4:
		c.end(c.children[i])
		delete(c.stopped, i)
		c.start(i)
		c.kills++
	case n < 5 && !c.stopped[i]:
		c.signal(i, syscall.SIGSTOP)
		c.stopped[i] = true
		c.frozen++
	case n < 7:
		c.thaw()
	case n < 8 && c.admin != nil:
		_, err := c.admin.ExecContext(c.t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", c.database)
		if err != nil {
			c.t.Error(err)
		}
		c.cuts++
	}
}

func (c *crash) thaw() {
	for i := range c.stopped {
		c.signal(i, syscall.SIGCONT)
	}
	clear(c.stopped)
}

func (c *crash) signal(i int, s os.Signal) {
	if err := c.children[i].Process.Signal(s); err != nil {
		c.t.Error(err)
	}
}

func (c *crash) until(what string, holds func() bool) {
	c.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Errorf("not within three minutes: %s", what)
			return
		}
	}
}

// expect waits for all edits, and for a while longer, and compares.
func (c *crash) expect() {
	slices.Sort(c.want)
	c.until("all edits are reported", func() bool { got, _ := c.got(); return len(got) >= len(c.want) })
	time.Sleep(2 * time.Second) // for what must not come
	got, there := c.got()
	if !slices.Equal(c.want, got) {
		c.t.Errorf("got %q, want %q", got, c.want)
	}
	if _, want := c.flags["toggled"]; want != there {
		c.t.Errorf("the last change leaves the toggled flag there: %t, want %t", there, want)
	}
	if c.t.Failed() {
		for i := range c.children {
			c.t.Logf("process %d:\n%s", i, c.log(i))
		}
	}
}

// got returns the changes that Sentry has, and whether the flag that comes and
// goes is there. What was sent again after a kill has the same id.
func (c *crash) got() (changes []string, there bool) {
	seen := map[int64]bool{}
	all := c.sentry.Changes()
	c.repeated = 0
	slices.SortStableFunc(all, func(a, b webhook.Change) int { return a.CreatedAt.Compare(b.CreatedAt) })
	count := map[string]int{}
	for _, one := range all {
		if seen[one.ChangeID] {
			c.repeated++
			continue
		}
		seen[one.ChangeID] = true
		if one.Flag != "toggled" {
			count[string(one.Action)+" "+one.Flag]++
			continue
		}
		if now := one.Action == "created"; now == there {
			c.t.Errorf("the toggled flag is %s twice in a row", one.Action)
		} else {
			there = now
		}
	}
	for _, one := range slices.Sorted(maps.Keys(count)) {
		for range count[one] {
			changes = append(changes, one)
		}
	}
	return changes, there
}
