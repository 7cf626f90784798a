package storetest

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook"
)

func (s *suite) deadLetters() {
	store := s.open()
	turn := s.turn(store)
	s.enqueue(store, item("a"), item("b"), item("c"), item("d"))
	before := time.Now()
	s.settle(turn, died("c", "long: "+strings.Repeat("ü", webhook.MaxReason)))
	s.settle(turn, died("d", "bytes \xff and \x00"), died("a", "flag: too long"))
	s.holds(turn, "b")

	dead := s.dead(store)
	if len(dead) != 3 || dead[0].ID != "c" || dead[1].ID != "d" || dead[2].ID != "a" {
		s.Fatalf("dead: %v, want c, d, a: the order in which they died", dead)
	}
	for _, d := range dead {
		if d.Key != "key" || !bytes.Equal(d.Body, []byte("body of "+d.ID)) {
			s.Errorf("%q is not kept whole: %q, %q", d.ID, d.Key, d.Body)
		}
		if d.DiedAt.Before(before.Add(-time.Minute)) || d.DiedAt.After(time.Now().Add(time.Minute)) {
			s.Errorf("%q died at %v, settled at %v", d.ID, d.DiedAt, before)
		}
		if len(d.Reason) > webhook.MaxReason || !utf8.ValidString(d.Reason) {
			s.Errorf("%q has a reason of %d bytes", d.ID, len(d.Reason))
		}
	}
	if dead[2].Reason != "flag: too long" {
		s.Errorf("the reason is %q", dead[2].Reason)
	}
	if !strings.HasPrefix(dead[0].Reason, "long: üü") || !strings.HasPrefix(dead[1].Reason, "bytes ") {
		s.Errorf("the reasons are %.20q and %q", dead[0].Reason, dead[1].Reason)
	}
}

func (s *suite) deadPages() {
	store := s.open()
	turn := s.turn(store)
	s.enqueue(store, itemsOf("p", 25)...)
	var want []string
	for i := 24; i >= 0; i-- {
		s.settle(turn, died(numbered("p", i), "why"))
		want = append(want, numbered("p", i))
	}
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := store.Dead(s.Context(), queue, after, 10)
		if err != nil || len(page) > 10 {
			s.Fatalf("Dead: %d items, %v", len(page), err)
		}
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			got = append(got, d.ID)
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("the pages hold %q, want %q", got, want)
	}
	for _, limit := range []int{-1, 0} {
		if page, err := store.Dead(s.Context(), queue, "", limit); len(page) != 0 || err != nil {
			s.Errorf("Dead with limit %d: %d items, %v", limit, len(page), err)
		}
	}
	if page, err := store.Dead(s.Context(), queue, "not dead", 1); err != nil || len(page) != 1 || page[0].ID != want[0] {
		s.Errorf("Dead after an unknown item: %v, %v; want the first", page, err)
	}
}

func (s *suite) replay() {
	store := s.open()
	turn := s.turn(store)
	s.enqueue(store, item("a"), item("b"), item("c"), item("d"), item("e"))
	s.settle(turn, died("d", "why"), died("a", "why"))
	s.settle(turn, died("c", "why"))
	replay := func(want int, ids ...string) {
		s.Helper()
		if n, err := store.Replay(s.Context(), queue, ids...); n != want || err != nil {
			s.Fatalf("Replay(%q): %d, %v; want %d", ids, n, err, want)
		}
	}
	replay(0, "b", "unknown")
	replay(2, "c", "d", "c", "unknown")
	s.holds(turn, "b", "e", "d", "c")
	s.enqueue(store, item("f"))
	replay(1)
	replay(0)
	s.holds(turn, "b", "e", "d", "c", "f", "a")
	s.counts(store, 6, 0)

	s.settle(turn, died("c", "again"), done("d"))
	if dead := s.dead(store); len(dead) != 1 || dead[0].ID != "c" || dead[0].Reason != "again" {
		s.Errorf("after dying again: %v", dead)
	}
	if got := s.take(turn, 9); string(got[len(got)-1].Body) != "body of a" || got[len(got)-1].Key != "key" {
		s.Errorf("a replayed item came back changed: %v", got)
	}

	var many []webhook.Outcome
	s.enqueue(store, itemsOf("many", 1200)...)
	for i := range 1200 {
		many = append(many, died(numbered("many", i), "why"))
	}
	s.settle(turn, many...)
	replay(1201)
	s.counts(store, 4+1201, 0)
	if got := s.take(turn, 5+1201); got[5].ID != "many-00000" || got[1204].ID != "many-01199" {
		s.Errorf("a large replay is out of order: %q … %q", got[5].ID, got[1204].ID)
	}
}
