package queuetest

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Config says how to open the store under test and what it promises.
type Config struct {
	// Open opens a store. It fails the test if it cannot. Required.
	Open func(t testing.TB, options Options) queue.Store

	// Close closes a store that Open has opened. Required.
	Close func(store queue.Store) error

	// Durable says that a store which is closed and opened again with the same
	// Dir has what it had.
	Durable bool

	// Shared says that several stores opened with the same Dir, in one process
	// or in several, share what they have. It needs Durable. The suite then
	// runs the test binary again as a second process, in which the test that
	// called [Run] runs up to that call.
	Shared bool

	// Bubble runs each test in a bubble of testing/synctest, so that time passes
	// at once. It is for stores that take their time from package time and use
	// neither files nor connections.
	Bubble bool

	// Shift sets the clock of a store forward by so long, or back if it is
	// negative, for all that share what it has; it may as well move all times
	// that the store has written the other way. Without it, and without Bubble,
	// the suite waits for leases and holds to end, which takes half a minute, and
	// cannot test that a clock which is set back holds nothing up.
	Shift func(t testing.TB, store queue.Store, by time.Duration)
}

// Options are what one test of the suite wants of the store that it opens.
type Options struct {
	// Dir is a directory of the test's own. A store that keeps no files may
	// take it as the name of what it keeps.
	Dir string

	// Window is how long the store is to keep settled entries.
	Window time.Duration
}

const (
	name = "queuetest"
	// patience bounds every wait of the suite, so that a store that hangs fails.
	patience = 30 * time.Second
	// window is for how long a test's store keeps what was settled, in units.
	window = 100
)

// Run runs the suite as subtests of t.
func Run(t *testing.T, config Config) {
	t.Helper()
	if config.Open == nil || config.Close == nil {
		t.Fatal("queuetest: Config.Open and Config.Close are required")
	}
	if runChild(t, config) {
		return
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.durable && !config.Durable || test.shared && !config.Shared || test.shifts && config.Shift == nil {
				t.Skip("the store does not promise it")
			}
			dir := t.TempDir()
			run := func(t *testing.T) { test.run(&suite{T: t, config: config, dir: dir}) }
			if config.Bubble {
				synctest.Test(t, run)
				return
			}
			run(t)
		})
	}
}

var tests = []struct {
	name                    string
	durable, shared, shifts bool
	run                     func(*suite)
}{
	{name: "Order", run: (*suite).order},
	{name: "DueChangesNothing", run: (*suite).dueChangesNothing},
	{name: "Contents", run: (*suite).contents},
	{name: "Large", run: (*suite).large},
	{name: "Known", run: (*suite).known},
	{name: "WindowEnds", run: (*suite).windowEnds},
	{name: "QueuesAreApart", run: (*suite).queuesAreApart},
	{name: "Limits", run: (*suite).limits},
	{name: "Contexts", run: (*suite).contexts},
	{name: "Closed", run: (*suite).closed},
	{name: "DoneByAnybody", run: (*suite).doneByAnybody},
	{name: "DoneBySeq", run: (*suite).doneBySeq},
	{name: "OwnersSettle", run: (*suite).ownersSettle},
	{name: "SettledOnce", run: (*suite).settledOnce},
	{name: "PutOff", run: (*suite).putOff},
	{name: "Reasons", run: (*suite).reasons},
	{name: "Holds", run: (*suite).holds},
	{name: "HoldsEnd", run: (*suite).holdsEnd},
	{name: "LeaseIsExclusive", run: (*suite).leaseIsExclusive},
	{name: "LeaseEnds", run: (*suite).leaseEnds},
	{name: "LeaseRenewed", run: (*suite).leaseRenewed},
	{name: "LeaseReleased", run: (*suite).leaseReleased},
	{name: "Rest", run: (*suite).rest},
	{name: "Resume", run: (*suite).resumes},
	{name: "LeaseRace", run: (*suite).leaseRace},
	{name: "ClockSetBack", shifts: true, run: (*suite).clockSetBack},
	{name: "Revise", run: (*suite).revise},
	{name: "ReviseLeavesTheOldBehind", run: (*suite).reviseLeavesTheOldBehind},
	{name: "Discard", run: (*suite).discard},
	{name: "SeqIsNew", run: (*suite).seqIsNew},
	{name: "List", run: (*suite).list},
	{name: "ListPages", run: (*suite).listPages},
	{name: "SettledAreKept", run: (*suite).settledAreKept},
	{name: "Sweep", run: (*suite).sweep},
	{name: "Stats", run: (*suite).stats},
	{name: "Notes", run: (*suite).notes},
	{name: "NoteAndItems", run: (*suite).noteAndItems},
	{name: "SeveralNotes", run: (*suite).severalNotes},
	{name: "NoteRace", run: (*suite).noteRace},
	{name: "Concurrency", run: (*suite).concurrency},
	{name: "Histories", run: (*suite).histories},
	{name: "Reopened", durable: true, run: (*suite).reopened},
	{name: "TwoStores", durable: true, shared: true, run: (*suite).twoStores},
	{name: "OpenedAtOnce", durable: true, shared: true, run: (*suite).openedAtOnce},
	{name: "TwoProcesses", durable: true, shared: true, run: (*suite).twoProcesses},
	{name: "KilledHolder", durable: true, shared: true, run: (*suite).killedHolder},
}

// suite is one test of the suite.
type suite struct {
	*testing.T
	config Config
	dir    string
	opened []queue.Store
}

// open opens a store, to be closed after the test.
func (s *suite) open() queue.Store {
	s.Helper()
	store := s.config.Open(s.T, Options{Dir: s.dir, Window: window * s.unit()})
	s.opened = append(s.opened, store)
	s.Cleanup(func() { s.close(store) })
	return store
}

func (s *suite) close(store queue.Store) {
	if err := s.config.Close(store); err != nil {
		s.Errorf("close the store: %v", err)
	}
}

// canPass says that time passes without waiting.
func (s *suite) canPass() bool { return s.config.Bubble || s.config.Shift != nil }

// unit is the length of leases and holds: long enough that none ends by itself
// while a test looks, if time need not be waited for.
func (s *suite) unit() time.Duration {
	if s.canPass() {
		return time.Hour
	}
	return 2 * time.Second
}

// pass lets n units pass, and a little more.
func (s *suite) pass(n int) {
	s.Helper()
	by := time.Duration(n)*s.unit() + s.unit()/100
	if s.config.Shift != nil {
		s.config.Shift(s.T, s.opened[len(s.opened)-1], by)
		return
	}
	time.Sleep(by)
}

// add adds items of which all have to be new.
func (s *suite) add(store queue.Store, items ...queue.Item) {
	s.Helper()
	s.adds(store, len(items), queue.Addition{Items: items})
}

// adds adds what has want new items.
func (s *suite) adds(store queue.Store, want int, a queue.Addition) {
	s.Helper()
	if added, err := store.Add(s.Context(), name, a); err != nil || added != want {
		s.Fatalf("Add of %d items: %d, %v; want %d", len(a.Items), added, err, want)
	}
}

// lease takes the lease of the queue.
func (s *suite) lease(store queue.Store, owner string) {
	s.Helper()
	if wait, err := store.Lease(s.Context(), name, owner, s.unit()); wait != 0 || err != nil {
		s.Fatalf("Lease by %q: wait %v, %v", owner, wait, err)
	}
}

// waits fails unless the lease has to be waited for, for no longer than most.
func (s *suite) waits(store queue.Store, owner string, most time.Duration) {
	s.Helper()
	wait, err := store.Lease(s.Context(), name, owner, s.unit())
	if wait <= 0 || wait > most || err != nil {
		s.Fatalf("Lease by %q: wait %v, %v; want a wait of up to %v", owner, wait, err, most)
	}
}

func (s *suite) release(store queue.Store, owner string, rest time.Duration) {
	s.Helper()
	if err := store.Release(s.Context(), name, owner, rest); err != nil {
		s.Fatalf("Release: %v", err)
	}
}

func (s *suite) due(store queue.Store, after int64, limit int) []queue.Entry {
	s.Helper()
	entries, err := store.Due(s.Context(), name, after, limit)
	if err != nil {
		s.Fatalf("Due: %v", err)
	}
	return entries
}

// isDue fails unless exactly these items are due, in this order.
func (s *suite) isDue(store queue.Store, ids ...string) []queue.Entry {
	s.Helper()
	entries := s.due(store, 0, 1000)
	if got := idsOf(entries); !slices.Equal(got, ids) {
		s.Fatalf("due: %q, want %q", got, ids)
	}
	return entries
}

func (s *suite) settle(store queue.Store, owner string, outcomes ...queue.Outcome) {
	s.Helper()
	if err := store.Settle(s.Context(), name, owner, outcomes...); err != nil {
		s.Fatalf("Settle: %v", err)
	}
}

func (s *suite) lists(store queue.Store, filter queue.Filter) []queue.Entry {
	s.Helper()
	entries, err := store.List(s.Context(), name, filter)
	if err != nil {
		s.Fatalf("List: %v", err)
	}
	return entries
}

// entry is the one with this ID.
func (s *suite) entry(store queue.Store, id string) queue.Entry {
	s.Helper()
	entries := s.lists(store, queue.Filter{ID: id})
	if len(entries) != 1 || entries[0].ID != id {
		s.Fatalf("%d entries are listed by the ID %q, want it alone", len(entries), id)
	}
	return entries[0]
}

// is fails unless the entry with this ID is in this state.
func (s *suite) is(store queue.Store, id string, state queue.State) queue.Entry {
	s.Helper()
	e := s.entry(store, id)
	if e.State != state {
		s.Fatalf("%q is %v, want %v", id, e.State, state)
	}
	return e
}

func (s *suite) counts(store queue.Store, waiting, dead int) queue.Stats {
	s.Helper()
	stats, err := store.Stats(s.Context(), name, 0)
	if err != nil {
		s.Fatalf("Stats: %v", err)
	}
	if stats.Waiting != waiting || stats.Dead != dead {
		s.Fatalf("Stats: %d waiting, %d dead, want %d and %d", stats.Waiting, stats.Dead, waiting, dead)
	}
	return stats
}

func item(id string) queue.Item {
	return queue.Item{ID: id, Key: "key", Body: []byte("body of " + id)}
}

func itemsOf(prefix string, n int) []queue.Item {
	items := make([]queue.Item, n)
	for i := range items {
		items[i] = item(numbered(prefix, i))
	}
	return items
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s-%05d", prefix, i) }

func idsOf(entries []queue.Entry) []string {
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func done(e queue.Entry) queue.Outcome {
	return queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done}
}

func dead(e queue.Entry, reason string) queue.Outcome {
	return queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Dead, Reason: reason}
}

func later(e queue.Entry, after time.Duration) queue.Outcome {
	return queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Waiting, After: after, Reason: "later"}
}

func hold(e queue.Entry, after time.Duration) queue.Outcome {
	return queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Waiting, After: after, Hold: true}
}

func free(e queue.Entry) queue.Outcome {
	return queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Waiting}
}

// each makes an outcome of each entry.
func each(entries []queue.Entry, of func(queue.Entry) queue.Outcome) []queue.Outcome {
	var outcomes []queue.Outcome
	for _, e := range entries {
		outcomes = append(outcomes, of(e))
	}
	return outcomes
}
