package queuetest

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func (s *suite) doneByAnybody() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"))
	s.adds(store, 1, queue.Addition{Items: []queue.Item{item("held")}, Owner: "holder", Hold: s.unit()})
	entries := s.isDue(store, "a", "b", "c")
	s.lease(store, "me")
	s.settle(store, "anybody", done(entries[1]), done(s.entry(store, "held")))
	s.is(store, "held", queue.Done)
	s.isDue(store, "a", "c")
	s.settle(store, "me", done(entries[0]))
	s.settle(store, "me")
	s.isDue(store, "c")
}

func (s *suite) doneBySeq() {
	store := s.open()
	s.add(store, item("a"), item("b"))
	entries := s.isDue(store, "a", "b")
	a, b := entries[0], entries[1]
	s.lease(store, "me")
	outcomes := []queue.Outcome{
		{ID: "a", Seq: b.Seq}, {ID: "b", Seq: a.Seq}, {ID: "a"}, {ID: "a", Seq: a.Seq + 1000}, {ID: "unknown", Seq: a.Seq}, {Seq: a.Seq},
	}
	for _, state := range []queue.State{queue.Done, queue.Dead} {
		for i := range outcomes {
			outcomes[i].State = state
		}
		s.settle(store, "me", outcomes...)
	}
	for i := range outcomes {
		outcomes[i].State, outcomes[i].After = queue.Waiting, s.unit()
	}
	s.settle(store, "me", outcomes...)
	s.isDue(store, "a", "b")
	s.settle(store, "me", append(outcomes, done(b))...)
	s.isDue(store, "a")
}

func (s *suite) ownersSettle() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"))
	entries := s.isDue(store, "a", "b", "c")
	all := func(e queue.Entry) []queue.Outcome {
		return []queue.Outcome{dead(e, "why"), later(e, s.unit()), hold(e, s.unit())}
	}
	try := func(owner string) {
		s.Helper()
		for _, outcome := range all(entries[0]) {
			s.settle(store, owner, outcome)
		}
		s.isDue(store, "a", "b", "c")
		if e := s.entry(store, "a"); e.Tries != 0 || e.Reason != "" || e.Owner != "" {
			s.Errorf("settled by who may not: %+v", e)
		}
	}
	try("nobody has the lease")
	s.lease(store, "me")
	try("you")
	if wait, err := store.Lease(s.Context(), "another lease", "you", s.unit()); wait != 0 || err != nil {
		s.Fatal(wait, err)
	}
	try("you")
	s.settle(store, "me", dead(entries[2], "why"))
	s.isDue(store, "a", "b")
	s.settle(store, "me", later(entries[1], s.unit()))
	s.isDue(store, "a")
	s.settle(store, "me", free(entries[1]))
	s.isDue(store, "a", "b")
	s.settle(store, "you", free(entries[2]))
	s.add(store, item("d"), item("e"))
	entries = s.isDue(store, "a", "b", "d", "e")
	s.release(store, "me", 0)
	s.settle(store, "me", dead(entries[0], "too late"))
	s.lease(store, "you")
	s.settle(store, "me", dead(entries[0], "too late"), later(entries[1], s.unit()), done(entries[2]))
	s.isDue(store, "a", "b", "e") // what is done is done
	s.pass(1)
	s.lease(store, "me")
	s.settle(store, "you", dead(entries[0], "too late"))
	s.isDue(store, "a", "b", "e")
}

func (s *suite) settledOnce() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"), item("d"))
	entries := s.isDue(store, "a", "b", "c", "d")
	a, b, c, d := entries[0], entries[1], entries[2], entries[3]
	s.lease(store, "me")
	s.settle(store, "me", done(a))
	s.settle(store, "me", dead(a, "too late"), later(a, s.unit()), free(a))
	s.is(store, "a", queue.Done)
	s.settle(store, "me", dead(b, "first"))
	s.settle(store, "me", dead(b, "second"), free(b), later(b, s.unit()))
	if e := s.is(store, "b", queue.Dead); e.Reason != "first" || e.Tries != 0 {
		s.Errorf("dead: %+v", e)
	}
	s.settle(store, "anybody", done(b)) // it was done
	s.is(store, "b", queue.Done)
	if n, err := store.Discard(s.Context(), name, c); n != 1 || err != nil {
		s.Fatalf("Discard: %d, %v", n, err)
	}
	s.settle(store, "me", dead(c, "why"), free(c))
	s.is(store, "c", queue.Discarded)
	s.settle(store, "anybody", done(c))
	s.is(store, "c", queue.Done)
	s.settle(store, "me", later(d, s.unit()), dead(d, "one"), done(d))
	s.is(store, "d", queue.Done)
	s.counts(store, 0, 0)
}

func (s *suite) putOff() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"))
	entries := s.isDue(store, "a", "b", "c")
	s.lease(store, "me")
	s.settle(store, "me", later(entries[0], s.unit()), later(entries[1], 2*s.unit()))
	s.isDue(store, "c")
	e := s.is(store, "a", queue.Waiting)
	if left := time.Until(e.Due); e.Tries != 1 || e.Reason != "later" || e.Owner != "" || left > s.unit()+time.Minute || left < s.unit()/2 {
		s.Errorf("put off for %v: %+v", s.unit(), e)
	}
	s.counts(store, 3, 0)
	s.pass(1)
	s.isDue(store, "a", "c")
	s.lease(store, "me")
	s.settle(store, "me", later(entries[0], s.unit()))
	s.isDue(store, "c")
	s.pass(1)
	entries = s.isDue(store, "a", "b", "c") // in their old places
	if entries[0].Tries != 2 || entries[1].Tries != 1 || entries[2].Tries != 0 {
		s.Errorf("tries: %d, %d, %d; want 2, 1, 0", entries[0].Tries, entries[1].Tries, entries[2].Tries)
	}
}

func (s *suite) reasons() {
	store := s.open()
	s.add(store, item("a"), item("b"), item("c"))
	entries := s.isDue(store, "a", "b", "c")
	s.lease(store, "me")
	s.settle(store, "me",
		dead(entries[0], "long: "+strings.Repeat("ü", queue.MaxReason)),
		dead(entries[1], "bytes \xff and \x00"),
		dead(entries[2], "flag: too long"))
	got := s.lists(store, queue.Filter{States: []queue.State{queue.Dead}})
	if !slices.Equal(idsOf(got), []string{"a", "b", "c"}) {
		s.Fatalf("dead: %q", idsOf(got))
	}
	for i, want := range []string{"long: üü", "bytes ", "flag: too long"} {
		e := got[i]
		if !strings.HasPrefix(e.Reason, want) || len(e.Reason) > queue.MaxReason || !utf8.ValidString(e.Reason) {
			s.Errorf("%q has the reason %.20q, %d bytes", e.ID, e.Reason, len(e.Reason))
		}
		if e.Key != "key" || string(e.Body) != "body of "+e.ID {
			s.Errorf("%q is not kept whole: %+v", e.ID, e)
		}
		if age := time.Since(e.Since); age < -time.Minute || age > time.Minute {
			s.Errorf("%q is dead since %v", e.ID, e.Since)
		}
	}
}

func (s *suite) holds() {
	store := s.open()
	held := func(ids ...string) {
		s.Helper()
		var items []queue.Item
		for _, id := range ids {
			items = append(items, item(id))
		}
		s.adds(store, len(ids), queue.Addition{Items: items, Owner: "holder", Hold: s.unit()})
	}
	s.add(store, item("a"))
	held("b", "c", "d", "e")
	s.add(store, item("f"))
	s.isDue(store, "a", "f")
	b, c, d, e := s.entry(store, "b"), s.entry(store, "c"), s.entry(store, "d"), s.entry(store, "e")
	if b.Owner != "holder" || b.State != queue.Waiting || time.Until(b.Due) < s.unit()/2 {
		s.Errorf("held: %+v", b)
	}
	s.counts(store, 6, 0)
	s.settle(store, "another holder", dead(b, "why"), free(c), hold(d, s.unit()))
	s.isDue(store, "a", "f")
	s.settle(store, "holder", dead(b, "why"), free(c), done(d), hold(e, s.unit()))
	s.isDue(store, "a", "c", "f")
	s.is(store, "b", queue.Dead)
	s.is(store, "d", queue.Done)
	if e := s.entry(store, "e"); e.Tries != 0 || e.Owner != "holder" {
		s.Errorf("a hold that was renewed: %+v", e)
	}
	if c := s.entry(store, "c"); c.Owner != "" || c.Tries != 0 {
		s.Errorf("a hold that was given up: %+v", c)
	}
	s.settle(store, "holder", dead(c, "too late"))
	s.is(store, "c", queue.Waiting)
	// Who has the lease may hold what it goes on with elsewhere.
	s.lease(store, "me")
	a := s.entry(store, "a")
	s.settle(store, "me", hold(a, s.unit()))
	s.release(store, "me", 0)
	s.isDue(store, "c", "f")
	s.settle(store, "me", later(a, 2*s.unit()))
	if a := s.entry(store, "a"); a.Tries != 1 || a.Owner != "" || a.Reason != "later" {
		s.Errorf("put off by its holder: %+v", a)
	}
}

func (s *suite) holdsEnd() {
	store := s.open()
	s.adds(store, 2, queue.Addition{Items: []queue.Item{item("a"), item("b")}, Owner: "holder", Hold: s.unit()})
	s.add(store, item("c"))
	s.isDue(store, "c")
	s.settle(store, "holder", hold(s.entry(store, "b"), 2*s.unit()))
	s.pass(1)
	s.isDue(store, "a", "c")
	s.pass(1)
	entries := s.isDue(store, "a", "b", "c") // what a dead process has left
	s.lease(store, "me")
	s.settle(store, "me", dead(entries[0], "why"), done(entries[1]))
	s.isDue(store, "c")
}
