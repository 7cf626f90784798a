package queuetest

import (
	"errors"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func (s *suite) revise() {
	store, ctx := s.open(), s.Context()
	s.add(store, item("a"), item("b"), item("c"), item("d"), item("e"))
	entries := s.isDue(store, "a", "b", "c", "d", "e")
	a, b, c := entries[0], entries[1], entries[2]
	s.lease(store, "me")
	s.settle(store, "me", later(a, s.unit()))
	s.settle(store, "me", dead(a, "why"), dead(b, "why"), done(c))
	refused := func(e queue.Entry, with *queue.Item) {
		s.Helper()
		if err := store.Revise(ctx, name, e, with); !errors.Is(err, queue.ErrNotDead) {
			s.Errorf("Revise of %q with Seq %d: %v, want ErrNotDead", e.ID, e.Seq, err)
		}
	}
	for _, e := range []queue.Entry{
		entries[3], c,
		{Item: item("unknown"), Seq: a.Seq},
		{Item: item("a"), Seq: b.Seq},
		{Item: item("a")},
	} {
		refused(e, nil)
		refused(e, &queue.Item{ID: e.ID})
	}
	corrected := queue.Item{ID: "a", Key: "other key", Body: []byte("corrected")}
	s.pass(1)
	if err := store.Revise(ctx, name, a, &corrected); err != nil {
		s.Fatal(err)
	}
	clear(corrected.Body)
	if err := store.Revise(ctx, name, b, nil); err != nil {
		s.Fatal(err)
	}
	refused(a, nil)
	refused(b, &queue.Item{ID: "b"})
	s.add(store, item("f"))
	got := s.isDue(store, "d", "e", "a", "b", "f")
	for _, e := range got[2:4] {
		if e.Tries != 0 || e.Reason != "" || e.Owner != "" || e.State != queue.Waiting || time.Since(e.Added) > s.unit()/2 {
			s.Errorf("revised: %+v", e)
		}
	}
	if got[2].Key != "other key" || string(got[2].Body) != "corrected" || got[3].Key != "key" || string(got[3].Body) != "body of b" {
		s.Errorf("revised: %q %q, %q %q", got[2].Key, got[2].Body, got[3].Key, got[3].Body)
	}
	s.adds(store, 0, queue.Addition{Items: []queue.Item{item("a")}}) // it stays known
	s.lease(store, "me")
	s.settle(store, "me", dead(got[2], "again"))
	if err := store.Revise(ctx, name, got[2], &queue.Item{ID: "a"}); err != nil {
		s.Error(err)
	}
	if e := s.entry(store, "a"); e.Key != "" || len(e.Body) != 0 {
		s.Errorf("revised to be empty: %+v", e)
	}
}

// reviseLeavesTheOldBehind: what a process that was frozen meanwhile says of an
// entry, after it was corrected, is about another one.
func (s *suite) reviseLeavesTheOldBehind() {
	store := s.open()
	s.add(store, item("a"))
	old := s.isDue(store, "a")[0]
	s.lease(store, "frozen")
	s.settle(store, "frozen", dead(old, "why"))
	if err := store.Revise(s.Context(), name, old, nil); err != nil {
		s.Fatal(err)
	}
	s.settle(store, "frozen", done(old), dead(old, "why"), later(old, s.unit()), hold(old, s.unit()))
	for _, outcome := range []queue.Outcome{done(old), dead(old, "why"), later(old, s.unit()), hold(old, s.unit())} {
		s.settle(store, "frozen", outcome)
	}
	if n, err := store.Discard(s.Context(), name, old); n != 0 || err != nil {
		s.Errorf("Discard of what was revised: %d, %v", n, err)
	}
	e := s.isDue(store, "a")[0]
	if e.Tries != 0 || e.Reason != "" || e.Seq <= old.Seq {
		s.Errorf("what was said of the old one counts: %+v", e)
	}
	s.settle(store, "frozen", done(e))
	s.isDue(store)
}

func (s *suite) discard() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"), item("d"))
	s.adds(store, 1, queue.Addition{Items: []queue.Item{item("held")}, Owner: "holder", Hold: s.unit()})
	entries := s.isDue(store, "a", "b", "c", "d")
	s.lease(store, "me")
	s.settle(store, "me", dead(entries[1], "why"), done(entries[2]))
	wrong := entries[3]
	wrong.Seq += 1000
	discards := func(want int, entries ...queue.Entry) {
		s.Helper()
		if n, err := store.Discard(s.Context(), name, entries...); n != want || err != nil {
			s.Fatalf("Discard: %d, %v; want %d", n, err, want)
		}
	}
	discards(0)
	discards(0, entries[2], wrong, queue.Entry{Item: item("unknown"), Seq: 1}, queue.Entry{Item: item("a"), Seq: entries[1].Seq})
	discards(3, entries[0], entries[1], entries[2], entries[0], s.entry(store, "held"))
	discards(0, entries[0], entries[1])
	s.isDue(store, "d")
	s.counts(store, 1, 0)
	for _, id := range []string{"a", "b", "held"} {
		if e := s.is(store, id, queue.Discarded); string(e.Body) != "body of "+id || e.Key != "key" {
			s.Errorf("discarded: %+v", e)
		}
	}
	if err := store.Revise(s.Context(), name, entries[1], nil); !errors.Is(err, queue.ErrNotDead) {
		s.Errorf("Revise of what was discarded: %v", err)
	}
}

// seqIsNew: no Seq is given twice, whatever was removed.
func (s *suite) seqIsNew() {
	if !s.canPass() {
		s.Skip("the store's clock cannot be set")
	}
	store := s.open()
	s.lease(store, "me")
	highest := int64(0)
	isNew := func(ids ...string) []queue.Entry {
		s.Helper()
		entries := s.isDue(store, ids...)
		for _, e := range entries {
			if e.Seq <= highest {
				s.Fatalf("%q has the Seq %d, and %d was there before", e.ID, e.Seq, highest)
			}
			highest = e.Seq
		}
		return entries
	}
	empty := func(round int) {
		s.Helper()
		s.pass(window)
		if n, err := store.Sweep(s.Context(), 1000); n == 0 || err != nil {
			s.Fatalf("round %d: Sweep: %d, %v", round, n, err)
		}
		if left := s.lists(store, queue.Filter{}); len(left) > 0 {
			s.Fatalf("round %d: %d entries are left", round, len(left))
		}
	}
	for round := range 3 {
		s.add(store, item("a"), item("b"))
		entries := isNew("a", "b")
		s.lease(store, "me")
		s.settle(store, "me", done(entries[0]), dead(entries[1], "why"))
		if err := store.Revise(s.Context(), name, entries[1], nil); err != nil {
			s.Fatal(err)
		}
		revised := isNew("b")
		s.settle(store, "me", done(revised[0]))
		if round == 1 { // known no more, and not swept
			s.pass(window)
			s.add(store, item("b"), item("a"))
			s.settle(store, "me", each(isNew("b", "a"), done)...)
		}
		empty(round)
		if s.config.Durable {
			s.close(store)
			store = s.open()
		}
	}
}

func (s *suite) list() {
	store := s.open()
	items := []queue.Item{item("a"), item("b"), item("c"), item("d"), item("e"), item("f")}
	items[1].Key, items[3].Key, items[4].Key = "other", "other", "other"
	s.add(store, items...)
	e := s.isDue(store, "a", "b", "c", "d", "e", "f")
	s.lease(store, "me")
	s.settle(store, "me", done(e[0]), dead(e[1], "why"), dead(e[2], "why"), done(e[3]))
	if n, err := store.Discard(s.Context(), name, e[5]); n != 1 || err != nil {
		s.Fatalf("Discard: %d, %v", n, err)
	}
	states := func(states ...queue.State) []queue.State { return states }
	for _, tc := range []struct {
		filter queue.Filter
		want   string
	}{
		{queue.Filter{}, "abcdef"},
		{queue.Filter{Newest: true}, "fedcba"},
		{queue.Filter{Limit: 2}, "ab"},
		{queue.Filter{Limit: 2, Newest: true}, "fe"},
		{queue.Filter{Limit: queue.MaxList}, "abcdef"},
		{queue.Filter{States: states(queue.Dead)}, "bc"},
		{queue.Filter{States: states(queue.Waiting)}, "e"},
		{queue.Filter{States: states(queue.Discarded)}, "f"},
		{queue.Filter{States: states(queue.Done, queue.Dead)}, "abcd"},
		{queue.Filter{States: states(queue.Done, queue.Dead), Newest: true, Limit: 3}, "dcb"},
		{queue.Filter{After: e[1].Seq}, "cdef"},
		{queue.Filter{Before: e[3].Seq}, "abc"},
		{queue.Filter{After: e[1].Seq, Before: e[4].Seq, Newest: true}, "dc"},
		{queue.Filter{After: e[0].Seq, States: states(queue.Done)}, "d"},
		{queue.Filter{ID: "c"}, "c"},
		{queue.Filter{ID: "c", States: states(queue.Done)}, ""},
		{queue.Filter{ID: "c", Key: "other"}, ""},
		{queue.Filter{ID: "c", After: e[2].Seq}, ""},
		{queue.Filter{ID: "unknown"}, ""},
		{queue.Filter{Key: "other"}, "bde"},
		{queue.Filter{Key: "other", Newest: true, Limit: 2}, "ed"},
		{queue.Filter{Key: "other", States: states(queue.Dead, queue.Waiting)}, "be"},
		{queue.Filter{Key: "other", After: e[1].Seq, Before: e[4].Seq}, "d"},
		{queue.Filter{Key: "no such key"}, ""},
		{queue.Filter{Before: 1}, ""},
	} {
		got := ""
		for _, entry := range s.lists(store, tc.filter) {
			got += entry.ID
		}
		if got != tc.want {
			s.Errorf("List(%+v) gave %q, want %q", tc.filter, got, tc.want)
		}
	}
}

func (s *suite) listPages() {
	store := s.open()
	s.add(store, itemsOf("p", 250)...)
	if got := s.lists(store, queue.Filter{}); len(got) != 100 || got[0].ID != "p-00000" {
		s.Errorf("List without a limit: %d entries, from %q", len(got), got[0].ID)
	}
	var want []string
	for i := range 250 {
		want = append(want, numbered("p", i))
	}
	var up, down []string
	for after := int64(0); ; {
		page := s.lists(store, queue.Filter{After: after, Limit: 30})
		if len(page) == 0 {
			break
		}
		up = append(up, idsOf(page)...)
		after = page[len(page)-1].Seq
	}
	for before := int64(0); ; {
		page := s.lists(store, queue.Filter{Before: before, Limit: 30, Newest: true, Key: "key"})
		if len(page) == 0 {
			break
		}
		down = append(down, idsOf(page)...)
		before = page[len(page)-1].Seq
	}
	slices.Reverse(down)
	if !slices.Equal(up, want) || !slices.Equal(down, want) {
		s.Errorf("the pages hold %d entries going up and %d going down, want the same 250", len(up), len(down))
	}
}

func (s *suite) settledAreKept() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"))
	e := s.isDue(store, "a", "b", "c")
	s.lease(store, "me")
	s.settle(store, "me", done(e[0]), dead(e[2], "why"))
	if n, err := store.Discard(s.Context(), name, e[1]); n != 1 || err != nil {
		s.Fatalf("Discard: %d, %v", n, err)
	}
	if n, err := store.Sweep(s.Context(), 100); n != 0 || err != nil {
		s.Fatalf("Sweep within the window: %d, %v", n, err)
	}
	for i, got := range s.lists(store, queue.Filter{}) {
		if got.ID != e[i].ID || got.Seq != e[i].Seq || got.Key != "key" || string(got.Body) != "body of "+got.ID {
			s.Errorf("entry %d: %+v, want it as it was", i, got)
		}
	}
}

func (s *suite) sweep() {
	if !s.canPass() {
		s.Skip("the store's clock cannot be set")
	}
	store, ctx := s.open(), s.Context()
	sweeps := func(limit, want int) {
		s.Helper()
		if n, err := store.Sweep(ctx, limit); n != want || err != nil {
			s.Fatalf("Sweep(%d): %d, %v; want %d", limit, n, err, want)
		}
	}
	sweeps(10, 0)
	s.add(store, item("waits"), item("dead"), item("done"), item("discarded"), item("old"))
	e := s.isDue(store, "waits", "dead", "done", "discarded", "old")
	if added, err := store.Add(ctx, "other", queue.Addition{Items: []queue.Item{item("done too")}}); added != 1 || err != nil {
		s.Fatal(added, err)
	}
	others, err := store.Due(ctx, "other", 0, 1)
	if err != nil || len(others) != 1 {
		s.Fatal(others, err)
	}
	s.lease(store, "me")
	s.settle(store, "me", done(e[4]))
	s.pass(1)
	s.lease(store, "me")
	s.settle(store, "me", dead(e[1], "why"), done(e[2]))
	if n, err := store.Discard(ctx, name, e[3]); n != 1 || err != nil {
		s.Fatalf("Discard: %d, %v", n, err)
	}
	if err := store.Settle(ctx, "other", "anybody", done(others[0])); err != nil {
		s.Fatal(err)
	}
	s.pass(window - 2)
	sweeps(10, 0)
	s.pass(1)
	sweeps(10, 1) // the old one
	if left := s.lists(store, queue.Filter{ID: "old"}); len(left) != 0 {
		s.Error("what was settled longest ago is still there")
	}
	s.pass(1)
	sweeps(0, 0)
	sweeps(-1, 0)
	sweeps(2, 2)
	sweeps(2, 1)
	sweeps(2, 0)
	if got := idsOf(s.lists(store, queue.Filter{})); !slices.Equal(got, []string{"waits", "dead"}) {
		s.Errorf("left: %q", got)
	}
	s.is(store, "dead", queue.Dead)
	s.adds(store, 3, queue.Addition{Items: []queue.Item{item("done"), item("discarded"), item("old"), item("dead"), item("waits")}})
}

func (s *suite) stats() {
	store := s.open()
	if stats := s.counts(store, 0, 0); !stats.Oldest.IsZero() || stats.Held || stats.Rest != 0 || stats.Dropped != 0 {
		s.Errorf("Stats of an empty queue: %+v", stats)
	}
	s.add(store, item("a"))
	s.pass(1)
	s.add(store, item("b"), item("c"), item("d"))
	e := s.isDue(store, "a", "b", "c", "d")
	if age := time.Since(s.counts(store, 4, 0).Oldest); age < s.unit()/2 || age > s.unit()+time.Minute {
		s.Errorf("the oldest has waited for %v, want %v", age, s.unit())
	}
	s.lease(store, "me")
	s.settle(store, "me", later(e[1], s.unit()), dead(e[3], "why"))
	s.counts(store, 3, 1)
	s.settle(store, "me", dead(e[0], "why"))
	if age := time.Since(s.counts(store, 2, 2).Oldest); age < -time.Minute || age > s.unit()/2+time.Minute {
		s.Errorf("the oldest has waited for %v, want a moment", age)
	}
	if !s.counts(store, 2, 2).Held {
		s.Error("the lease is not seen")
	}
	for most, want := range []int{2, 1, 2, 2} {
		if stats, err := store.Stats(s.Context(), name, most); stats.Waiting != want || stats.Dead != want || stats.Oldest.IsZero() || !stats.Held || err != nil {
			s.Errorf("Stats up to %d: %+v, %v", most, stats, err)
		}
	}
}
