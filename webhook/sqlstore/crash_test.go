package sqlstore_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// The size of the crash tests. SENTRYFLAGS_TEST_CRASH=full has 10,000 changes,
// three seeds, and two processes on one SQLite file as well.
const (
	crashChanges = 3_000
	crashKills   = 5
	crashBatch   = 100
	fullEnv      = "SENTRYFLAGS_TEST_CRASH"
)

type crashRun struct {
	dialect   sqlstore.Dialect
	processes int
	seed      uint64
	signal    syscall.Signal
	role      string
	changes   int
}

func (c crashRun) String() string {
	signal := "kill"
	if c.signal == syscall.SIGTERM {
		signal = "term"
	}
	return fmt.Sprintf("%s/%s/%s/%d-processes/seed-%d", c.role, engineName(c.dialect), signal, c.processes, c.seed)
}

func engineName(dialect sqlstore.Dialect) string {
	if dialect == sqlstore.PostgreSQL {
		return "postgres"
	}
	return "sqlite"
}

// crashRuns are the variants to run.
func crashRuns(full bool, changes int) []crashRun {
	engines := []struct {
		dialect   sqlstore.Dialect
		processes int
	}{{sqlstore.SQLite, 1}}
	if os.Getenv(postgresEnv) != "" {
		engines = append(engines, engines[0], engines[0])
		engines[1].dialect, engines[2].dialect = sqlstore.PostgreSQL, sqlstore.PostgreSQL
		engines[2].processes = 2
	}
	if full {
		engines = append(engines, engines[0])
		engines[len(engines)-1].processes = 2
	}
	var runs []crashRun
	for _, engine := range engines {
		seeds := 1
		if full {
			seeds = 3
		}
		for seed := range uint64(seeds) {
			runs = append(runs, crashRun{engine.dialect, engine.processes, seed + 1, syscall.SIGKILL, "emit", changes})
		}
		if engine.processes > 1 && !full {
			continue
		}
		runs = append(runs,
			crashRun{engine.dialect, engine.processes, 1, syscall.SIGTERM, "emit", changes},
			crashRun{engine.dialect, engine.processes, 1, syscall.SIGKILL, "transactions", changes})
	}
	return runs
}

type crashResult struct{ kills, acked, lost, repeats int }

// TestCrash kills processes in the middle of their work and proves that nothing
// which was acknowledged is lost. The parent plays Sentry, so it sees what
// arrives whatever becomes of the others.
func TestCrash(t *testing.T) {
	t.Parallel()
	full := os.Getenv(fullEnv) == "full"
	changes := crashChanges
	switch {
	case full:
		changes = 10_000
	case raceEnabled || testing.Short():
		changes = 1_000 // the race detector makes the children slow
	}
	var total crashResult
	var engines []string
	for _, run := range crashRuns(full, changes) {
		t.Run(run.String(), func(t *testing.T) {
			result := run.do(t)
			total.kills += result.kills
			total.acked += result.acked
			total.lost += result.lost
			total.repeats += result.repeats
			if !slices.Contains(engines, engineName(run.dialect)) {
				engines = append(engines, engineName(run.dialect))
			}
		})
	}
	fmt.Printf("crash: engines=%s kills=%d acked=%d lost=%d repeats=%d\n",
		strings.Join(engines, ","), total.kills, total.acked, total.lost, total.repeats)
}

func (c crashRun) do(t *testing.T) crashResult {
	sink := newSink(20 * time.Millisecond)
	defer sink.Close()
	children := c.children(t, sink)
	for _, child := range children {
		child.start()
	}
	random := rand.New(rand.NewPCG(c.seed, 0))
	expected := c.changes
	if c.role == "transactions" {
		expected = c.changes - c.changes/3 // every third is rolled back
	}
	deadline := time.After(3 * time.Minute)
	for k := 1; k <= crashKills; k++ {
		awaitUnique(t, sink, expected*k/(crashKills+1)+random.IntN(expected/20+1), deadline)
		children[random.IntN(len(children))].restart(c.signal)
	}
	awaitUnique(t, sink, expected, deadline)
	for _, child := range children {
		child.stop(syscall.SIGTERM)
	}
	return c.judge(t, sink, children)
}

func (c crashRun) children(t *testing.T, sink *sink) []*child {
	dir := t.TempDir()
	var lease time.Duration
	if c.signal == syscall.SIGTERM {
		lease = 10 * time.Second // given back at the end, so that nobody waits for its own
	}
	children := make([]*child, c.processes)
	for i := range children {
		children[i] = &child{T: t, config: childConfig{
			Role: c.role, Dialect: c.dialect, DSN: os.Getenv(postgresEnv), Dir: dir, URL: sink.url(),
			Changes: c.changes, Processes: c.processes, Number: i, Pace: 4 * time.Millisecond, Lease: lease, Watched: true,
		}}
	}
	if c.dialect == sqlstore.PostgreSQL {
		dropAfter(t, prefixOf(dir))
		t.Cleanup(func() {
			db := database(t, c.dialect, dir)
			defer db.Close()
			if _, err := db.Exec("DROP TABLE IF EXISTS " + prefixOf(dir) + "own"); err != nil {
				t.Error(err)
			}
		})
	}
	return children
}

// judge compares what was acknowledged with what has arrived.
func (c crashRun) judge(t *testing.T, sink *sink, children []*child) crashResult {
	var acked []int64
	for _, child := range children {
		acked = append(acked, readJournal(child.config.journal())...)
	}
	if c.role == "transactions" {
		db := database(t, c.dialect, children[0].config.Dir)
		defer db.Close()
		committed, err := children[0].config.committed(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		acked = slices.Collect(maps.Keys(committed))
		if phantom := sink.unique() - len(acked) + len(sink.missing(acked)); phantom != 0 {
			t.Errorf("%d changes were delivered and not committed", phantom)
		}
	}
	result := crashResult{acked: len(acked), lost: len(sink.missing(acked)), repeats: sink.repeats()}
	atMost := 0
	if c.signal == syscall.SIGKILL {
		result.kills = crashKills
		atMost = crashKills * crashBatch
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	fmt.Printf("crash: %s changes=%d kills=%d acked=%d lost=%d repeats=%d inversions=%d bad_signatures=%d requests=%d longest_gap=%v\n",
		c, c.changes, result.kills, result.acked, result.lost, result.repeats, sink.inversions, sink.badSignatures,
		sink.requests, sink.longestGap.Round(time.Millisecond))
	if result.lost > 0 || result.repeats > atMost || sink.inversions > 0 || sink.badSignatures > 0 || sink.sharedIDs > 0 {
		t.Errorf("see the figures; %d repeats are allowed, and %d ChangeIDs were twice in one request", atMost, sink.sharedIDs)
	}
	return result
}

func awaitUnique(t *testing.T, sink *sink, n int, deadline <-chan time.Time) {
	t.Helper()
	for sink.unique() < n {
		select {
		case <-sink.arrived:
		case <-deadline:
			t.Fatalf("only %d of %d changes have arrived in time", sink.unique(), n)
		}
	}
}

// child is a process that is killed and started again.
type child struct {
	*testing.T
	config childConfig
	cmd    *exec.Cmd
	output bytes.Buffer
}

func (c *child) command(wrapper ...string) *exec.Cmd {
	config, err := json.Marshal(c.config)
	if err != nil {
		c.Fatal(err)
	}
	args := append(slices.Clone(wrapper), os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	return cmd
}

func (c *child) start() {
	c.Helper()
	c.cmd = c.command()
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	if _, err := c.cmd.StdinPipe(); err != nil {
		c.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	running := c.cmd
	c.Cleanup(func() { running.Process.Kill() })
}

// stop signals the process and waits for its end.
func (c *child) stop(signal syscall.Signal) {
	c.Helper()
	if err := c.cmd.Process.Signal(signal); err != nil {
		c.Fatalf("the child has ended: %v\n%s", err, c.output.String())
	}
	err := c.cmd.Wait()
	if err != nil && err.Error() == "signal: terminated" {
		err = nil // it had only just started
	}
	if err != nil && signal == syscall.SIGTERM {
		c.Errorf("the child ended with %v:\n%s", err, c.output.String())
	}
}

func (c *child) restart(signal syscall.Signal) {
	c.Helper()
	c.stop(signal)
	c.start()
}

// TestFsyncs counts the times that SQLite makes the disk write for each
// acknowledged change. A kill does not show their lack; only strace does.
func TestFsyncs(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not here")
	}
	const enqueued = 50
	counted := func(n int) int {
		dir := t.TempDir()
		report := filepath.Join(dir, "report")
		c := &child{T: t, config: childConfig{Role: "enqueue", Dialect: sqlstore.SQLite, Dir: dir, Changes: n}}
		out, err := c.command(strace, "-f", "-o", report, "-e", "trace=fsync,fdatasync").CombinedOutput()
		if err != nil {
			t.Skipf("strace does not work here: %v\n%s", err, out)
		}
		text, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "fsync(") + strings.Count(string(text), "fdatasync(")
	}
	perEnqueue := float64(counted(enqueued)-counted(0)) / enqueued
	fmt.Printf("fsync: engine=sqlite enqueued=%d fsyncs_per_enqueue=%.2f\n", enqueued, perEnqueue)
	if perEnqueue < 1 {
		t.Errorf("%.2f fsyncs per acknowledged change, want at least 1", perEnqueue)
	}
}

// TestMemory has a process deliver a long queue and measures the most memory
// that it took.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("the memory of a process is read from /proc")
	}
	// A process that had all of them in memory would be above the bound either way.
	waiting, most := 50_000, 48<<10
	if os.Getenv(fullEnv) == "full" {
		waiting, most = 200_000, 64<<10
	}
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		store := open(t, dialect, dir)
		defer store.Close()
		fill(t, store, waiting)
		sink := newSink(0)
		defer sink.Close()
		c := &child{T: t, config: childConfig{Role: "drain", Dialect: dialect, DSN: os.Getenv(postgresEnv), Dir: dir, URL: sink.url()}}
		cmd := c.command()
		cmd.Stderr = &c.output
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, c.output.String())
		}
		kilobytes, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("memory: engine=%s waiting=%d delivered=%d resident_mib=%.1f\n", engineName(dialect), waiting, sink.unique(), float64(kilobytes)/1024)
		if sink.unique() != waiting {
			t.Errorf("%d of %d delivered", sink.unique(), waiting)
		}
		if kilobytes > most {
			t.Errorf("%d KiB resident, want at most %d", kilobytes, most)
		}
	})
}
