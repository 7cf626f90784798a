package sqlstore_test

import (
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// everyCall makes each call once with effect.
func everyCall(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	ctx := t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	const q = "every call"
	items := []queue.Item{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}}
	_, err := store.Add(ctx, q, queue.Addition{Items: items, Notes: []queue.Note{{Name: "note"}}})
	must("Add", err)
	_, err = store.Lease(ctx, q, "me", time.Minute)
	must("Lease", err)
	due, err := store.Due(ctx, q, 0, 9)
	must("Due", err)
	if len(due) != len(items) {
		t.Fatalf("%d entries are due", len(due))
	}
	must("Settle", store.Settle(ctx, q, "me",
		queue.Outcome{ID: "a", Seq: due[0].Seq, State: queue.Done}, queue.Outcome{ID: "b", Seq: due[1].Seq, State: queue.Dead},
		queue.Outcome{ID: "c", Seq: due[2].Seq, After: time.Minute}))
	must("Revise", store.Revise(ctx, q, due[1], &queue.Item{ID: "b", Body: []byte("new")}))
	_, err = store.Discard(ctx, q, due[3])
	must("Discard", err)
	_, err = store.List(ctx, q, queue.Filter{})
	must("List", err)
	_, err = store.Note(ctx, q, "note")
	must("Note", err)
	stats, err := store.Stats(ctx, q, 0)
	must("Stats", err)
	if stats.Waiting != 2 || !stats.Held {
		t.Errorf("Stats: %+v", stats)
	}
	_, err = store.Queues(ctx)
	must("Queues", err)
	_, err = store.Sweep(ctx, 10)
	must("Sweep", err)
	must("Release", store.Release(ctx, q, "me", 0))
}

// TestOneConnection works with a pool of one connection.
func TestOneConnection(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		first := open(t, dialect, dir) // makes the tables
		first.Close()
		store := open(t, dialect, dir)
		defer store.Close()
		store.db.SetMaxOpenConns(1)
		everyCall(t, store.Store)
		sink := newSink(0)
		defer sink.Close()
		emitter := emitterOn(t, store, sink, time.Second)
		for i := range 50 {
			if err := emitter.emit(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		emitter.end(t)
		sink.judged(t, 50, 0)
	})
}
