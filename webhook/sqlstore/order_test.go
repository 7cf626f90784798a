package sqlstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// TestLateCommit has a transaction commit after others with a higher seq were
// done: what it has added comes before what was added after that, also for who
// goes on from the seq that was done.
func TestLateCommit(t *testing.T) {
	postgresDSN(t)
	store := open(t, sqlstore.PostgreSQL, t.TempDir())
	defer store.Close()
	add := func(id string) {
		t.Helper()
		if _, err := store.Add(t.Context(), "q", queue.Addition{Items: []queue.Item{{ID: id, Key: id[:1]}}}); err != nil {
			t.Fatal(err)
		}
	}
	after := int64(0)
	work := func(want ...string) {
		t.Helper()
		entries, err := store.Due(t.Context(), "q", after, 10)
		var got []string
		for _, e := range entries {
			got = append(got, e.ID)
			after = e.Seq
			if err := store.Settle(t.Context(), "q", "me", queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done}); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("due: %q, %v; want %q", got, err, want)
		}
	}
	// Looks for long enough that one could come to believe that all have ended.
	idle := func() {
		for range 7 {
			work()
			time.Sleep(110 * time.Millisecond) // the database is a real one
		}
	}
	for round := range 2 {
		name := string(rune('0' + round))
		add("x" + name)
		work("x" + name)
		idle()
		tx, err := store.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := store.EnqueueTx(t.Context(), tx, "q", queue.Item{ID: "a1-" + name, Key: "a"}); err != nil {
			t.Fatal(err)
		}
		add("b" + name)
		work("b" + name)
		idle()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		// Somebody else looks from there, for long, and leaves it.
		for range 7 * round {
			if due, err := store.Due(t.Context(), "q", after, 1); len(due) != 1 || err != nil {
				t.Fatal(due, err)
			}
			time.Sleep(110 * time.Millisecond)
		}
		add("a2-" + name)
		work("a1-"+name, "a2-"+name)
	}
}
