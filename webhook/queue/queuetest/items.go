package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func (s *suite) order() {
	store := s.open()
	s.add(store, item("z"), item("b"), item("y"))
	s.add(store, item("a"))
	s.add(store, item("m"), item("c"))
	entries := s.isDue(store, "z", "b", "y", "a", "m", "c")
	for i := 1; i < len(entries); i++ {
		if entries[i].Seq <= entries[i-1].Seq {
			s.Errorf("the Seq of entry %d is %d, after %d", i, entries[i].Seq, entries[i-1].Seq)
		}
	}
}

func (s *suite) dueChangesNothing() {
	store := s.open()
	s.isDue(store)
	s.add(store, item("a"), item("b"), item("c"))
	for _, limit := range []int{-1, 0, 1, 2, 3, 4} {
		want := []string{"a", "b", "c"}[:min(max(limit, 0), 3)]
		if got := idsOf(s.due(store, 0, limit)); !slices.Equal(got, want) {
			s.Errorf("Due with limit %d gave %q, want %q", limit, got, want)
		}
	}
	entries := s.isDue(store, "a", "b", "c")
	for i, e := range entries {
		// What waits up to there may be among them, if another transaction on the
		// same database has kept the store from passing over it.
		got, want := idsOf(s.due(store, e.Seq, 9)), idsOf(entries)
		if n := len(entries) - i - 1; len(got) < n || len(got) > 3 || !slices.Equal(got, want[3-len(got):]) {
			s.Errorf("Due after %q gave %q, want the last %d of %q, or more of them", e.ID, got, n, want)
		}
	}
	for _, e := range entries {
		if e.State != queue.Waiting || e.Tries != 0 || e.Owner != "" || e.Reason != "" {
			s.Errorf("a new entry is %+v", e)
		}
		for _, at := range []time.Time{e.Added, e.Since, e.Due} {
			if age := time.Since(at); age < -time.Minute || age > time.Minute {
				s.Errorf("a new entry has the time %v", at)
			}
		}
	}
	s.counts(store, 3, 0)
}

func (s *suite) contents() {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := []queue.Item{
		{ID: "plain", Key: "flag", Body: []byte(`{"flag":"x"}`)},
		{ID: "empty"},
		{ID: "binary", Key: "flag", Body: every},
		{ID: "Grüße ☃ 😀 ' \" % _ \\ ; -- $1 ?1", Key: "ключ\n\t\x01'", Body: []byte("\x00\xff")},
		{ID: strings.Repeat("i", queue.MaxID), Key: strings.Repeat("k", queue.MaxKey), Body: []byte("x")},
		{ID: "large", Key: "flag", Body: bytes.Repeat([]byte("x"), queue.MaxBody)},
	}
	store := s.open()
	given := slices.Clone(want)
	for i := range given {
		given[i].Body = slices.Clone(given[i].Body)
	}
	s.add(store, given...)
	for i := range given {
		clear(given[i].Body) // the caller may use its memory again
	}
	for range 2 {
		for call, got := range map[string][]queue.Entry{"Due": s.due(store, 0, 10), "List": s.lists(store, queue.Filter{})} {
			if len(got) != len(want) {
				s.Fatalf("%s: %d entries, want %d", call, len(got), len(want))
			}
			for i := range want {
				if got[i].ID != want[i].ID || got[i].Key != want[i].Key || !bytes.Equal(got[i].Body, want[i].Body) {
					s.Errorf("%s: item %d came back changed", call, i)
				}
				clear(got[i].Body) // and so may who reads
			}
		}
	}
}

func (s *suite) large() {
	store := s.open()
	items := itemsOf("large", 2500)
	s.add(store, items...)
	s.lease(store, "me")
	for after := int64(0); len(items) > 0; {
		entries := s.due(store, after, 700)
		if len(entries) == 0 {
			s.Fatalf("%d items are missing", len(items))
		}
		for i, e := range entries {
			if e.ID != items[i].ID {
				s.Fatalf("%q where %q should be", e.ID, items[i].ID)
			}
			after = e.Seq
		}
		s.settle(store, "me", each(entries, done)...)
		items = items[len(entries):]
	}
	s.counts(store, 0, 0)
	s.isDue(store)
}

func (s *suite) known() {
	store := s.open()
	s.adds(store, 0, queue.Addition{})
	s.adds(store, 2, queue.Addition{Items: []queue.Item{item("a"), item("b"), item("a")}})
	s.adds(store, 3, queue.Addition{Items: []queue.Item{item("b"), item("c"), item("a"), item("d"), item("e")}})
	entries := s.isDue(store, "a", "b", "c", "d", "e")
	s.lease(store, "me")
	s.settle(store, "me", done(entries[0]), dead(entries[1], "why"), later(entries[3], s.unit()))
	if n, err := store.Discard(s.Context(), name, entries[4]); n != 1 || err != nil {
		s.Fatalf("Discard: %d, %v", n, err)
	}
	again := queue.Item{Key: "other", Body: []byte("other")}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		again.ID = id
		s.adds(store, 0, queue.Addition{Items: []queue.Item{again}})
		if e := s.entry(store, id); string(e.Body) != "body of "+id || e.Seq != entries[i].Seq {
			s.Errorf("a repeat has changed %q: %q, Seq %d", id, e.Body, e.Seq)
		}
	}
	s.isDue(store, "c")
	s.counts(store, 2, 1)
}

func (s *suite) windowEnds() {
	if !s.canPass() {
		s.Skip("the store's clock cannot be set")
	}
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"), item("d"))
	entries := s.isDue(store, "a", "b", "c", "d")
	s.lease(store, "me")
	s.settle(store, "me", later(entries[0], s.unit()))
	s.settle(store, "me", done(entries[0]), dead(entries[2], "why"))
	if n, err := store.Discard(s.Context(), name, entries[1]); n != 1 || err != nil {
		s.Fatalf("Discard: %d, %v", n, err)
	}
	s.pass(window - 1)
	all := []queue.Item{item("b"), {ID: "a", Key: "new key", Body: []byte("new")}, item("c"), item("d"), item("e")}
	s.adds(store, 1, queue.Addition{Items: all})
	s.pass(1)
	s.adds(store, 2, queue.Addition{Items: all, Owner: "me", Hold: s.unit()})
	s.isDue(store, "d", "e") // what waits or is dead stays known for ever
	s.is(store, "c", queue.Dead)
	s.pass(1)
	last := s.isDue(store, "d", "e", "b", "a")[3]
	if last.Key != "new key" || string(last.Body) != "new" || last.Tries != 0 || last.Reason != "" || last.Seq <= entries[3].Seq {
		s.Errorf("a settled item that is new again is %+v", last)
	}
	s.settle(store, "anybody", done(entries[0]))
	s.is(store, "a", queue.Waiting) // done was the one before
}

func (s *suite) queuesAreApart() {
	store, ctx := s.open(), s.Context()
	if names, err := store.Queues(ctx); len(names) != 0 || err != nil {
		s.Fatalf("Queues of an empty store: %q, %v", names, err)
	}
	s.add(store, item("a"), item("b"))
	for _, other := range []string{"other", "another", "ANOTHER"} {
		if added, err := store.Add(ctx, other, queue.Addition{Items: []queue.Item{item("a"), item("c")}}); added != 2 || err != nil {
			s.Fatalf("Add to the queue %q: %d, %v", other, added, err)
		}
	}
	if names, err := store.Queues(ctx); !slices.Equal(names, []string{"ANOTHER", "another", "other", name}) || err != nil {
		s.Errorf("Queues: %q, %v", names, err)
	}
	entries := s.isDue(store, "a", "b")
	s.lease(store, "me")
	if wait, err := store.Lease(ctx, "other", "you", s.unit()); wait != 0 || err != nil {
		s.Errorf("the lease of another queue: %v, %v", wait, err)
	}
	// What is said of another queue does not count, whoever has its lease.
	if err := store.Settle(ctx, "other", "you", done(entries[0]), dead(entries[1], "why")); err != nil {
		s.Error(err)
	}
	s.isDue(store, "a", "b")
	s.settle(store, "me", dead(entries[0], "why"), done(entries[1]))
	if err := store.Revise(ctx, "other", entries[0], nil); !errors.Is(err, queue.ErrNotDead) {
		s.Errorf("Revise in another queue: %v", err)
	}
	if n, err := store.Discard(ctx, "other", entries[0]); n != 0 || err != nil {
		s.Errorf("Discard in another queue: %d, %v", n, err)
	}
	if got, err := store.Due(ctx, "other", 0, 9); !slices.Equal(idsOf(got), []string{"a", "c"}) || err != nil {
		s.Errorf("the other queue has %q, %v", idsOf(got), err)
	}
	if got, err := store.List(ctx, "other", queue.Filter{}); !slices.Equal(idsOf(got), []string{"a", "c"}) || err != nil {
		s.Errorf("the other queue lists %q, %v", idsOf(got), err)
	}
	if names, err := store.Queues(ctx); !slices.Equal(names, []string{"ANOTHER", "another", "other", name}) || err != nil {
		s.Errorf("Queues when nothing waits in one, but something is dead: %q, %v", names, err)
	}
	s.counts(store, 0, 1)
	if n, err := store.Discard(ctx, name, entries[0]); n != 1 || err != nil {
		s.Errorf("Discard: %d, %v", n, err)
	}
	if names, err := store.Queues(ctx); !slices.Equal(names, []string{"ANOTHER", "another", "other"}) || err != nil {
		s.Errorf("Queues when all is settled in one: %q, %v", names, err)
	}
}

func (s *suite) limits() {
	store, ctx := s.open(), s.Context()
	for name, bad := range map[string]queue.Item{
		"no ID":           {},
		"long ID":         {ID: strings.Repeat("x", queue.MaxID+1)},
		"ID not UTF-8":    {ID: "\xff"},
		"U+0000 in ID":    {ID: "a\x00"},
		"long key":        {ID: "a", Key: strings.Repeat("x", queue.MaxKey+1)},
		"key not UTF-8":   {ID: "a", Key: "\xc3"},
		"U+0000 in key":   {ID: "a", Key: "\x00"},
		"long body":       {ID: "a", Body: make([]byte, queue.MaxBody+1)},
		"ID far too long": {ID: strings.Repeat("x", 1<<20)},
	} {
		s.refuses(store, name, queue.Addition{Items: []queue.Item{item("good"), bad, item("also good")}})
	}
	good := []queue.Item{item("good")}
	s.refuses(store, "owner without hold", queue.Addition{Items: good, Owner: "me"})
	s.refuses(store, "hold without owner", queue.Addition{Items: good, Hold: 1})
	s.refuses(store, "negative hold", queue.Addition{Items: good, Owner: "me", Hold: -1})
	s.refuses(store, "long owner", queue.Addition{Items: good, Owner: strings.Repeat("x", queue.MaxName+1), Hold: 1})
	s.refuses(store, "note without name", queue.Addition{Items: good, Notes: []queue.Note{{}}})
	s.refuses(store, "long note", queue.Addition{Items: good, Notes: []queue.Note{{Name: "n", Body: make([]byte, queue.MaxNote+1)}}})
	e := queue.Entry{Item: item("a"), Seq: 1}
	for _, bad := range []string{"", strings.Repeat("q", queue.MaxName+1), "\xff", "\x00"} {
		for call, err := range s.calls(ctx, store, bad, bad, "me") {
			if !errors.Is(err, queue.ErrInvalid) {
				s.Errorf("%s with a queue, lease or note named %.10q: %v, want ErrInvalid", call, bad, err)
			}
		}
	}
	_, ttl := store.Lease(ctx, name, "me", 0)
	_, owner := store.Lease(ctx, name, "", s.unit())
	_, many := store.List(ctx, name, queue.Filter{Limit: queue.MaxList + 1})
	_, negative := store.List(ctx, name, queue.Filter{Limit: -1})
	_, less := store.Stats(ctx, name, -1)
	other := item("other")
	for what, err := range map[string]error{
		"Lease for nothing":         ttl,
		"Lease for nobody":          owner,
		"List of too many":          many,
		"List of a negative number": negative,
		"Stats up to less than 0":   less,
		"Release by nobody":         store.Release(ctx, name, "", 0),
		"Settle by nobody":          store.Settle(ctx, name, "", done(e)),
		"Settle as discarded":       store.Settle(ctx, name, "me", queue.Outcome{ID: "a", Seq: 1, State: queue.Discarded}),
		"Settle before now":         store.Settle(ctx, name, "me", later(e, -1)),
		"Hold for nothing":          store.Settle(ctx, name, "me", hold(e, 0)),
		"Revise with another ID":    store.Revise(ctx, name, e, &other),
		"Revise with a bad body":    store.Revise(ctx, name, e, &queue.Item{ID: "a", Body: make([]byte, queue.MaxBody+1)}),
	} {
		if !errors.Is(err, queue.ErrInvalid) {
			s.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	s.counts(store, 0, 0)
}

func (s *suite) refuses(store queue.Store, what string, a queue.Addition) {
	s.Helper()
	added, err := store.Add(s.Context(), name, a)
	if !errors.Is(err, queue.ErrInvalid) || added != 0 {
		s.Errorf("%s: %d, %v; want ErrInvalid", what, added, err)
	}
	if err != nil && len(err.Error()) > 1000 {
		s.Errorf("%s: the error has %d bytes", what, len(err.Error()))
	}
}

// calls makes each call that takes a context, and returns their errors.
func (s *suite) calls(ctx context.Context, store queue.Store, name, note, owner string) map[string]error {
	e := queue.Entry{Item: item("never"), Seq: 1}
	errs := make(map[string]error)
	_, errs["Add"] = store.Add(ctx, name, queue.Addition{Items: []queue.Item{item("never")}})
	_, errs["Lease"] = store.Lease(ctx, name, owner, s.unit())
	errs["Release"] = store.Release(ctx, name, owner, 0)
	_, errs["Due"] = store.Due(ctx, name, 0, 1)
	errs["Settle"] = store.Settle(ctx, name, owner, done(e), dead(e, "why"))
	_, errs["List"] = store.List(ctx, name, queue.Filter{})
	errs["Revise"] = store.Revise(ctx, name, e, nil)
	_, errs["Discard"] = store.Discard(ctx, name, e)
	_, errs["Note"] = store.Note(ctx, name, note)
	_, errs["Notes"] = store.Notes(ctx, name, note)
	_, errs["Stats"] = store.Stats(ctx, name, 0)
	return errs
}

func (s *suite) contexts() {
	store := s.open()
	s.add(store, item("a"))
	ended, cancel := context.WithCancel(s.Context())
	cancel()
	var missing context.Context
	for what, ctx := range map[string]context.Context{"nil": missing, "ended": ended} {
		errs := s.calls(ctx, store, name, "n", "me")
		_, errs["Queues"] = store.Queues(ctx)
		_, errs["Sweep"] = store.Sweep(ctx, 1)
		for call, err := range errs {
			if err == nil || what == "ended" && !errors.Is(err, context.Canceled) {
				s.Errorf("%s with a context that is %s: %v", call, what, err)
			}
		}
	}
	s.isDue(store, "a")
	s.lease(store, "you") // nobody else has it
}

func (s *suite) closed() {
	store := s.open()
	s.add(store, item("a"))
	s.close(store)
	errs := s.calls(s.Context(), store, name, "n", "me")
	_, errs["Queues"] = store.Queues(s.Context())
	_, errs["Sweep"] = store.Sweep(s.Context(), 1)
	for call, err := range errs {
		if !errors.Is(err, queue.ErrClosed) {
			s.Errorf("%s of a closed store: %v, want ErrClosed", call, err)
		}
	}
}

// concurrency has many add and one work, as it is.
func (s *suite) concurrency() {
	store := s.open()
	s.work([]queue.Store{store, store}, 50)
}

// work adds from all stores at once, n items from each of several goroutines, and
// works on the queue with one loop for each store. Each item has to be handled in
// its order, by one at a time, and each once, for no lease ends. A store may fail
// now and then when so many write; what failed is done again.
func (s *suite) work(stores []queue.Store, n int) {
	s.Helper()
	const adders = 3
	want := len(stores) * adders * n
	var mu sync.Mutex
	var handled []string
	var all sync.WaitGroup
	for i, store := range stores {
		for adder := range adders {
			all.Go(func() {
				for j := range n {
					id := fmt.Sprintf("%d-%d-%05d", i, adder, j)
					err := s.patiently(func() error {
						_, err := store.Add(s.Context(), name, queue.Addition{Items: []queue.Item{{ID: id, Key: id[:3]}}})
						return err
					})
					if err != nil {
						s.Errorf("Add: %v", err)
						return
					}
				}
			})
		}
		all.Go(func() {
			owner := fmt.Sprint("worker ", i)
			for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
				mu.Lock()
				over := len(handled) >= want
				mu.Unlock()
				if over {
					return
				}
				if wait, err := store.Lease(s.Context(), name, owner, patience); wait > 0 || err != nil {
					continue
				}
				entries, err := store.Due(s.Context(), name, 0, 7)
				if err == nil {
					mu.Lock()
					handled = append(handled, idsOf(entries)...)
					mu.Unlock()
				}
				err = errors.Join(
					s.patiently(func() error { return store.Settle(s.Context(), name, owner, each(entries, done)...) }),
					s.patiently(func() error { return store.Release(s.Context(), name, owner, 0) }))
				if err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	last := make(map[string]string)
	for _, id := range handled {
		if id <= last[id[:3]] {
			s.Fatalf("%q was handled after %q", id, last[id[:3]])
		}
		last[id[:3]] = id
	}
	if len(handled) != want {
		s.Fatalf("%d of %d items were handled", len(handled), want)
	}
}

// patiently makes a call again while it fails.
func (s *suite) patiently(call func() error) error {
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		if err = call(); err == nil {
			return nil
		}
	}
	return err
}
