package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// noted fails unless the note is so.
func (s *suite) noted(store queue.Store, version int64, body string) {
	s.Helper()
	note, err := store.Note(s.Context(), name, "note")
	if err != nil || note.Name != "note" || note.Version != version || string(note.Body) != body {
		s.Fatalf("Note: %q, version %d, %.20q, %v; want version %d, %.20q", note.Name, note.Version, note.Body, err, version, body)
	}
	clear(note.Body) // who reads may
}

// swap swaps the note.
func (s *suite) swap(store queue.Store, version int64, body string, items ...queue.Item) error {
	_, err := store.Add(s.Context(), name, queue.Addition{Items: items, Notes: []queue.Note{{Name: "note", Version: version, Body: []byte(body)}}})
	return err
}

func (s *suite) notes() {
	store := s.open()
	s.noted(store, 0, "")
	refused := func(version int64) {
		s.Helper()
		if err := s.swap(store, version, "refused"); !errors.Is(err, queue.ErrNoteChanged) {
			s.Errorf("a swap of version %d: %v, want ErrNoteChanged", version, err)
		}
	}
	for _, version := range []int64{1, -1} {
		refused(version)
	}
	for i, body := range []string{"one", "", "\x00\xff", strings.Repeat("x", 100_000), "five"} {
		version := int64(i)
		if err := s.swap(store, version, body); err != nil {
			s.Fatalf("a swap of version %d: %v", version, err)
		}
		s.noted(store, version+1, body)
		for _, other := range []int64{version, version + 2, 0} {
			refused(other)
		}
		s.noted(store, version+1, body)
	}
	for _, other := range [][2]string{{name, "Note"}, {"other", "note"}} {
		if note, err := store.Note(s.Context(), other[0], other[1]); note.Version != 0 || len(note.Body) != 0 || err != nil {
			s.Errorf("note %q of queue %q: %+v, %v", other[1], other[0], note, err)
		}
	}
	if lister, ok := store.(interface {
		Noted(ctx context.Context, name string) ([]string, error)
	}); ok {
		if queues, err := lister.Noted(s.Context(), "note"); !slices.Equal(queues, []string{name}) || err != nil {
			s.Errorf("the queues that have the note: %q, %v", queues, err)
		}
		if queues, err := lister.Noted(s.Context(), "Note"); len(queues) != 0 || err != nil {
			s.Errorf("the queues that have no such note: %q, %v", queues, err)
		}
	}
	body := []byte("the caller's")
	if _, err := store.Add(s.Context(), name, queue.Addition{Notes: []queue.Note{{Name: "note", Version: 5, Body: body}}}); err != nil {
		s.Fatal(err)
	}
	clear(body)
	s.noted(store, 6, "the caller's")
	s.counts(store, 0, 0)
}

// noteAndItems: both or neither.
func (s *suite) noteAndItems() {
	store := s.open()
	if err := s.swap(store, 0, "one", item("a")); err != nil {
		s.Fatal(err)
	}
	if err := s.swap(store, 0, "stale", item("b")); !errors.Is(err, queue.ErrNoteChanged) {
		s.Errorf("a stale swap with an item: %v", err)
	}
	if err := s.swap(store, 1, "bad", item("c"), queue.Item{}); !errors.Is(err, queue.ErrInvalid) {
		s.Errorf("a swap with a bad item: %v", err)
	}
	s.noted(store, 1, "one")
	s.isDue(store, "a")
	large := append(itemsOf("large", 1200), queue.Item{ID: "huge", Body: bytes.Repeat([]byte("x"), queue.MaxBody)})
	if err := s.swap(store, 7, "stale", large...); !errors.Is(err, queue.ErrNoteChanged) {
		s.Errorf("a stale swap with many items: %v", err)
	}
	s.isDue(store, "a")
	s.adds(store, 1201, queue.Addition{Items: append(large, item("a")), Notes: []queue.Note{{Name: "note", Version: 1, Body: []byte("two")}}})
	s.noted(store, 2, "two")
	s.counts(store, 1202, 0)
	// That all items are known does not keep the note.
	if err := s.swap(store, 2, "three", item("a")); err != nil {
		s.Error(err)
	}
	s.noted(store, 3, "three")
	s.adds(store, 1, queue.Addition{Items: []queue.Item{item("held")}, Owner: "me", Hold: s.unit(), Notes: []queue.Note{{Name: "other"}}})
	if e := s.entry(store, "held"); e.Owner != "me" {
		s.Errorf("held: %+v", e)
	}
}

// severalNotes are swapped together or not at all, and read by name or all at once.
func (s *suite) severalNotes() {
	store := s.open()
	const many = 1200
	all := make([]queue.Note, many)
	for i := range all {
		all[i] = queue.Note{Name: fmt.Sprintf("note %d", many-i), Body: fmt.Append(nil, i)}
	}
	is := func(version int64, names ...string) {
		s.Helper()
		notes, err := store.Notes(s.Context(), name, names...)
		if err != nil || len(notes) != len(names) && len(names) > 0 || len(notes) != many && len(names) == 0 {
			s.Fatalf("%d notes of %d, %v", len(notes), len(names), err)
		}
		for _, note := range notes {
			if i := slices.IndexFunc(all, func(n queue.Note) bool { return n.Name == note.Name }); i < 0 || note.Version != version || string(note.Body) != fmt.Sprint(i) {
				s.Errorf("%+v, want version %d", note, version)
			}
		}
	}
	if _, err := store.Add(s.Context(), name, queue.Addition{Notes: all, Items: []queue.Item{item("a")}}); err != nil {
		s.Fatal(err)
	}
	is(1)
	is(1, all[7].Name, all[many-1].Name)
	for i := range all {
		all[i].Version = 1
	}
	for _, stale := range []int{0, many / 2, many - 1} {
		for _, version := range []int64{0, 2} {
			notes := slices.Clone(all)
			notes[stale].Version = version
			if _, err := store.Add(s.Context(), name, queue.Addition{Notes: notes, Items: []queue.Item{item("b")}}); !errors.Is(err, queue.ErrNoteChanged) {
				s.Errorf("a swap of %d notes of which one is stale: %v", many, err)
			}
		}
	}
	one := append(slices.Clone(all[:3]), queue.Note{Name: "never written", Version: 1})
	if _, err := store.Add(s.Context(), name, queue.Addition{Notes: one}); !errors.Is(err, queue.ErrNoteChanged) {
		s.Errorf("a swap of a note that was never written: %v", err)
	}
	is(1)
	s.isDue(store, "a")
	s.refuses(store, "a note twice", queue.Addition{Notes: []queue.Note{all[0], all[0]}})
	if _, err := store.Notes(s.Context(), name, "n", ""); !errors.Is(err, queue.ErrInvalid) {
		s.Errorf("notes without a name: %v", err)
	}
	for _, other := range [][]string{{"other"}, {name, "never written"}} {
		if notes, err := store.Notes(s.Context(), other[0], other[1:]...); len(notes) > 0 || err != nil {
			s.Errorf("notes %q: %d, %v", other, len(notes), err)
		}
	}
	if _, err := store.Add(s.Context(), name, queue.Addition{Notes: append(slices.Clone(all[:2]), queue.Note{Name: "new"})}); err != nil {
		s.Error(err)
	}
	is(2, all[0].Name, all[1].Name)
	is(1, all[2].Name)
}

func (s *suite) noteRace() {
	store := s.open()
	s.noteRaceOn(store, store)
}

// noteRaceOn counts up in a note from all sides. Each version has one swap, with
// the items of that one. A store may fail now and then when so many write.
func (s *suite) noteRaceOn(stores ...queue.Store) {
	s.Helper()
	const each, sides = 10, 3
	var all sync.WaitGroup
	for i, store := range stores {
		for side := range sides {
			all.Go(func() {
				for n := range each {
					if err := s.patiently(func() error { return s.countUp(store, fmt.Sprint(i, side, n)) }); err != nil {
						s.Errorf("swap: %v", err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	note, err := stores[0].Note(s.Context(), name, "note")
	if err != nil {
		s.Fatal(err)
	}
	swaps := each * sides * len(stores)
	if note.Version < int64(swaps) || string(note.Body) != fmt.Sprint(note.Version) {
		s.Errorf("after %d swaps the note is %+v", swaps, note)
	}
	// Two items of each swap; one that failed may have counted nonetheless.
	s.counts(stores[0], swaps+int(note.Version), 0)
}

// countUp reads the note and swaps it for the next number, with an item of its own
// and one of the version.
func (s *suite) countUp(store queue.Store, id string) error {
	note, err := store.Note(s.Context(), name, "note")
	if err != nil {
		return err
	}
	return s.swap(store, note.Version, fmt.Sprint(note.Version+1), item(id), item(fmt.Sprint("version ", note.Version)))
}
