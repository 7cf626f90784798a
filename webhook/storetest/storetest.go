package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Config says how to open the store under test and what it promises.
type Config struct {
	// Open opens a store. It fails the test if it cannot. Required.
	Open func(t testing.TB, options Options) webhook.Store

	// Close closes a store that Open has opened. Required.
	Close func(store webhook.Store) error

	// Durable says that a store which is closed and opened again with the same
	// Dir has what it had.
	Durable bool

	// Shared says that several stores opened with the same Dir, in one process
	// or in several, share what they have. It needs Durable. The suite then
	// runs the test binary again as a second process, in which the test that
	// called [Run] runs up to that call.
	Shared bool

	// TakeOver is how long it may take until the turn of a process that was
	// killed passes on. Defaults to 10 seconds.
	TakeOver time.Duration
}

// Options are what one test of the suite wants of the store that it opens.
type Options struct {
	// Dir is a directory of the test's own. A store that keeps no files may
	// take it as the name of what it keeps.
	Dir string

	// DedupeWindow is how long the store is to know settled items.
	DedupeWindow time.Duration
}

const (
	queue = "storetest"
	// patience bounds every wait of the suite, so that a store that hangs fails.
	patience = 30 * time.Second
)

// Run runs the suite as subtests of t.
func Run(t *testing.T, config Config) {
	t.Helper()
	if config.Open == nil || config.Close == nil {
		t.Fatal("storetest: Config.Open and Config.Close are required")
	}
	if config.TakeOver == 0 {
		config.TakeOver = 10 * time.Second
	}
	if runChild(t, config) {
		return
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.durable && !config.Durable || test.shared && !config.Shared {
				t.Skip("the store does not promise it")
			}
			test.run(&suite{T: t, config: config, dir: t.TempDir()})
		})
	}
}

var tests = []struct {
	name            string
	durable, shared bool
	run             func(*suite)
}{
	{name: "Order", run: (*suite).order},
	{name: "TakeLeaves", run: (*suite).takeLeaves},
	{name: "Contents", run: (*suite).contents},
	{name: "Large", run: (*suite).large},
	{name: "Repeats", run: (*suite).repeats},
	{name: "DedupeWindowEnds", run: (*suite).dedupeWindowEnds},
	{name: "QueuesAreApart", run: (*suite).queuesAreApart},
	{name: "AllOrNothing", run: (*suite).allOrNothing},
	{name: "SettledOnce", run: (*suite).settledOnce},
	{name: "DeadLetters", run: (*suite).deadLetters},
	{name: "DeadPages", run: (*suite).deadPages},
	{name: "Replay", run: (*suite).replay},
	{name: "Stats", run: (*suite).stats},
	{name: "TurnIsExclusive", run: (*suite).turnIsExclusive},
	{name: "TurnReleased", run: (*suite).turnReleased},
	{name: "Contexts", run: (*suite).contexts},
	{name: "Closed", run: (*suite).closed},
	{name: "ManyTakers", run: (*suite).manyTakers},
	{name: "Histories", run: (*suite).histories},
	{name: "Reopened", durable: true, run: (*suite).reopened},
	{name: "TwoStores", durable: true, shared: true, run: (*suite).twoStores},
	{name: "OpenedAtOnce", durable: true, shared: true, run: (*suite).openedAtOnce},
	{name: "TwoProcesses", durable: true, shared: true, run: (*suite).twoProcesses},
	{name: "KilledTaker", durable: true, shared: true, run: (*suite).killedTaker},
}

// suite is one test of the suite.
type suite struct {
	*testing.T
	config Config
	dir    string
}

// open opens a store with a long dedupe window, to be closed after the test.
func (s *suite) open() webhook.Store {
	s.Helper()
	return s.openWith(time.Hour)
}

func (s *suite) openWith(window time.Duration) webhook.Store {
	s.Helper()
	store := s.config.Open(s.T, Options{Dir: s.dir, DedupeWindow: window})
	s.Cleanup(func() { s.close(store) })
	return store
}

func (s *suite) close(store webhook.Store) {
	if err := s.config.Close(store); err != nil {
		s.Errorf("close the store: %v", err)
	}
}

// enqueue adds items of which all have to be new.
func (s *suite) enqueue(store webhook.Store, items ...webhook.Item) {
	s.Helper()
	added, err := store.Enqueue(s.Context(), queue, items...)
	if err != nil || added != len(items) {
		s.Fatalf("Enqueue of %d new items: %d, %v", len(items), added, err)
	}
}

// turn takes the turn, to be released after the test.
func (s *suite) turn(store webhook.Store) webhook.Turn {
	s.Helper()
	turn, err := store.Turn(s.Context(), queue)
	if err != nil {
		s.Fatalf("Turn: %v", err)
	}
	s.Cleanup(func() { s.release(turn) })
	return turn
}

func (s *suite) release(turn webhook.Turn) {
	s.Helper()
	if err := turn.Release(); err != nil {
		s.Errorf("Release: %v", err)
	}
}

func (s *suite) take(turn webhook.Turn, limit int) []webhook.Item {
	s.Helper()
	items, err := turn.Take(s.Context(), limit)
	if err != nil {
		s.Fatalf("Take: %v", err)
	}
	return items
}

func (s *suite) settle(turn webhook.Turn, outcomes ...webhook.Outcome) {
	s.Helper()
	if err := turn.Settle(s.Context(), outcomes...); err != nil {
		s.Fatalf("Settle: %v", err)
	}
}

func (s *suite) dead(store webhook.Store) []webhook.DeadItem {
	s.Helper()
	dead, err := store.Dead(s.Context(), queue, "", 1000)
	if err != nil {
		s.Fatalf("Dead: %v", err)
	}
	return dead
}

// holds fails unless exactly these items wait, in this order.
func (s *suite) holds(turn webhook.Turn, ids ...string) {
	s.Helper()
	if got := idsOf(s.take(turn, 1000)); !slices.Equal(got, ids) {
		s.Fatalf("waiting: %q, want %q", got, ids)
	}
}

func (s *suite) counts(store webhook.Store, waiting, dead int) webhook.StoreStats {
	s.Helper()
	stats, err := store.Stats(s.Context(), queue)
	if err != nil {
		s.Fatalf("Stats: %v", err)
	}
	if stats.Waiting != waiting || stats.Dead != dead {
		s.Fatalf("Stats: %d waiting, %d dead, want %d and %d", stats.Waiting, stats.Dead, waiting, dead)
	}
	return stats
}

func item(id string) webhook.Item {
	return webhook.Item{ID: id, Key: "key", Body: []byte("body of " + id)}
}

func itemsOf(prefix string, n int) []webhook.Item {
	items := make([]webhook.Item, n)
	for i := range items {
		items[i] = item(fmt.Sprintf("%s-%05d", prefix, i))
	}
	return items
}

func idsOf(items []webhook.Item) []string {
	var ids []string
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids
}

func done(id string) webhook.Outcome { return webhook.Outcome{ID: id, State: webhook.StateDone} }

func died(id, reason string) webhook.Outcome {
	return webhook.Outcome{ID: id, State: webhook.StateDead, Reason: reason}
}
