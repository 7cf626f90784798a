package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

func (s *suite) order() {
	store := s.open()
	s.enqueue(store, item("z"), item("b"), item("y"))
	s.enqueue(store, item("a"))
	s.enqueue(store, item("m"), item("c"))
	s.holds(s.turn(store), "z", "b", "y", "a", "m", "c")
}

func (s *suite) takeLeaves() {
	store := s.open()
	turn := s.turn(store)
	if got := s.take(turn, 10); len(got) != 0 {
		s.Fatalf("an empty queue gave %d items", len(got))
	}
	s.enqueue(store, item("a"), item("b"), item("c"))
	for _, limit := range []int{-1, 0, 1, 2, 3, 4} {
		want := []string{"a", "b", "c"}[:min(max(limit, 0), 3)]
		if got := idsOf(s.take(turn, limit)); !slices.Equal(got, want) {
			s.Errorf("Take(%d) gave %q, want %q", limit, got, want)
		}
	}
	s.settle(turn, webhook.Outcome{ID: "a", State: webhook.StateWaiting})
	s.holds(turn, "a", "b", "c")
	s.settle(turn, done("b"))
	s.holds(turn, "a", "c")
}

func (s *suite) contents() {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := []webhook.Item{
		{ID: "plain", Key: "flag", Body: []byte(`{"flag":"x"}`)},
		{ID: "empty"},
		{ID: "binary", Key: "flag", Body: every},
		{ID: "Grüße ☃ 😀 ' \" % _ \\ ; --", Key: "ключ\n\t\x01'", Body: []byte("\x00\xff")},
		{ID: strings.Repeat("i", webhook.MaxItemID), Key: strings.Repeat("k", webhook.MaxItemKey), Body: []byte("x")},
		{ID: "large", Key: "flag", Body: bytes.Repeat([]byte("x"), webhook.MaxItemBody)},
	}
	store := s.open()
	given := slices.Clone(want)
	for i := range given {
		given[i].Body = slices.Clone(given[i].Body)
	}
	s.enqueue(store, given...)
	for i := range given {
		clear(given[i].Body) // the caller may use its memory again
	}
	turn := s.turn(store)
	for range 2 {
		got := s.take(turn, 10)
		if len(got) != len(want) {
			s.Fatalf("took %d items, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i].ID != want[i].ID || got[i].Key != want[i].Key || !bytes.Equal(got[i].Body, want[i].Body) {
				s.Errorf("item %d came back changed", i)
			}
			clear(got[i].Body) // and so may the taker
		}
	}
}

func (s *suite) large() {
	store := s.open()
	items := itemsOf("large", 2500)
	s.enqueue(store, items...)
	turn := s.turn(store)
	for len(items) > 0 {
		taken := s.take(turn, 700)
		var outcomes []webhook.Outcome
		for i, item := range taken {
			if item.ID != items[i].ID {
				s.Fatalf("took %q, want %q", item.ID, items[i].ID)
			}
			outcomes = append(outcomes, done(item.ID))
		}
		s.settle(turn, outcomes...)
		items = items[len(taken):]
	}
	s.counts(store, 0, 0)
}

func (s *suite) repeats() {
	store := s.open()
	turn := s.turn(store)
	again := func(want int, items ...webhook.Item) {
		s.Helper()
		added, err := store.Enqueue(s.Context(), queue, items...)
		if err != nil || added != want {
			s.Errorf("Enqueue: %d, %v; want %d", added, err, want)
		}
	}
	again(0)
	again(2, item("a"), item("b"), item("a"))
	again(1, item("b"), item("c"), item("a"))
	s.holds(turn, "a", "b", "c")

	s.settle(turn, done("a"), died("b", "why"))
	again(0, item("a"), item("b"), item("c"))
	s.holds(turn, "c")
	s.counts(store, 1, 1)

	other := webhook.Item{ID: "c", Key: "other", Body: []byte("other")}
	again(0, other)
	if got := s.take(turn, 1); string(got[0].Body) != "body of c" {
		s.Errorf("a repeat replaced the body: %q", got[0].Body)
	}
}

func (s *suite) dedupeWindowEnds() {
	store := s.openWith(time.Nanosecond)
	turn := s.turn(store)
	s.enqueue(store, item("a"))
	s.settle(turn, done("a"))
	s.enqueue(store, item("b")) // some time has passed
	s.eventually("a settled item is forgotten after the dedupe window", func() bool {
		added, err := store.Enqueue(s.Context(), queue, item("c"), item("a"), item("d"))
		if err != nil {
			s.Fatal(err)
		}
		if added == 2 { // c and d alone
			s.settle(turn, done("c"), done("d"))
			return false
		}
		return added == 3
	})
	s.holds(turn, "b", "c", "a", "d")
	// What waits or is dead is never forgotten.
	s.settle(turn, died("c", "why"))
	added, err := store.Enqueue(s.Context(), queue, item("a"), item("b"), item("c"))
	if err != nil || added != 0 {
		s.Errorf("waiting and dead items were added again: %d, %v", added, err)
	}
}

func (s *suite) queuesAreApart() {
	store := s.open()
	s.enqueue(store, item("a"))
	if added, err := store.Enqueue(s.Context(), "other", item("a"), item("b")); added != 2 || err != nil {
		s.Fatalf("Enqueue into another queue: %d, %v", added, err)
	}
	turn := s.turn(store)
	other, err := store.Turn(s.Context(), "other")
	if err != nil {
		s.Fatalf("the turn of another queue: %v", err)
	}
	defer s.release(other)
	s.settle(turn, died("a", "why"))
	if got := idsOf(s.take(other, 10)); !slices.Equal(got, []string{"a", "b"}) {
		s.Errorf("the other queue holds %q", got)
	}
	if dead, err := store.Dead(s.Context(), "other", "", 10); len(dead) != 0 || err != nil {
		s.Errorf("the other queue's dead: %d, %v", len(dead), err)
	}
	if n, err := store.Replay(s.Context(), "other"); n != 0 || err != nil {
		s.Errorf("replay of the other queue: %d, %v", n, err)
	}
	s.counts(store, 0, 1)
}

func (s *suite) allOrNothing() {
	store := s.open()
	for name, bad := range map[string]webhook.Item{
		"no ID":           {},
		"long ID":         {ID: strings.Repeat("x", webhook.MaxItemID+1)},
		"ID not UTF-8":    {ID: "\xff"},
		"U+0000 in ID":    {ID: "a\x00"},
		"long key":        {ID: "a", Key: strings.Repeat("x", webhook.MaxItemKey+1)},
		"key not UTF-8":   {ID: "a", Key: "\xc3"},
		"U+0000 in key":   {ID: "a", Key: "\x00"},
		"long body":       {ID: "a", Body: make([]byte, webhook.MaxItemBody+1)},
		"ID far too long": {ID: strings.Repeat("x", 1<<20)},
	} {
		added, err := store.Enqueue(s.Context(), queue, item("good"), bad, item("also good"))
		if !errors.Is(err, webhook.ErrInvalidItem) || added != 0 {
			s.Errorf("%s: %d, %v; want ErrInvalidItem", name, added, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			s.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	for _, name := range []string{"", strings.Repeat("q", webhook.MaxQueue+1), "\xff", "\x00"} {
		_, enqueue := store.Enqueue(s.Context(), name, item("a"))
		_, turn := store.Turn(s.Context(), name)
		_, dead := store.Dead(s.Context(), name, "", 1)
		_, replay := store.Replay(s.Context(), name)
		_, stats := store.Stats(s.Context(), name)
		for _, err := range []error{enqueue, turn, dead, replay, stats} {
			if !errors.Is(err, webhook.ErrInvalidItem) {
				s.Errorf("a queue named %.10q: %v, want ErrInvalidItem", name, err)
			}
		}
	}
	s.counts(store, 0, 0)
}

func (s *suite) settledOnce() {
	store := s.open()
	turn := s.turn(store)
	s.enqueue(store, item("a"), item("b"), item("c"))
	s.settle(turn)
	s.settle(turn, done("unknown"), died("unknown too", "why"), done("a"))
	s.settle(turn, done("a"), died("a", "too late"))
	s.settle(turn, died("b", "first"))
	s.settle(turn, died("b", "second"), done("b"))
	s.holds(turn, "c")
	if dead := s.dead(store); len(dead) != 1 || dead[0].Reason != "first" {
		s.Errorf("dead: %v", dead)
	}
	s.settle(turn, died("c", "one"), done("c"))
	s.counts(store, 0, 2)
}

func (s *suite) stats() {
	store := s.open()
	if stats := s.counts(store, 0, 0); !stats.OldestWaiting.IsZero() {
		s.Errorf("OldestWaiting of an empty queue is %v", stats.OldestWaiting)
	}
	before := time.Now()
	s.enqueue(store, item("a"))
	first := s.counts(store, 1, 0).OldestWaiting
	// A database's clock may stand a little apart from ours.
	if first.Before(before.Add(-time.Minute)) || first.After(time.Now().Add(time.Minute)) {
		s.Errorf("OldestWaiting is %v, enqueued at %v", first, before)
	}
	s.enqueue(store, item("b"))
	turn := s.turn(store)
	s.settle(turn, died("a", "why"))
	s.counts(store, 1, 1)
	s.settle(turn, done("b"))
	if stats := s.counts(store, 0, 1); !stats.OldestWaiting.IsZero() {
		s.Errorf("OldestWaiting without waiting items is %v", stats.OldestWaiting)
	}
}

func (s *suite) eventually(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			s.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s-%05d", prefix, i) }
