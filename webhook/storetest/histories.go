package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// histories runs random calls against the store and against a model of it that
// is too simple to be wrong. A failure names the seed.
func (s *suite) histories() {
	store := s.open()
	turn := s.turn(store)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	s.Logf("seed %d", seed)
	model := &model{known: make(map[string]bool)}
	for step := range 400 {
		switch random.IntN(5) {
		case 0, 1:
			s.historyEnqueue(store, model, random, step)
		case 2, 3:
			s.historySettle(turn, model, random)
		case 4:
			s.historyReplay(store, model, random)
		}
		limit := random.IntN(12)
		if got, want := idsOf(s.take(turn, limit)), model.waiting[:min(limit, len(model.waiting))]; !slices.Equal(got, want) {
			s.Fatalf("step %d: Take(%d) gave %q, want %q", step, limit, got, want)
		}
	}
	s.holds(turn, model.waiting...)
	var dead []string
	for _, d := range s.dead(store) {
		dead = append(dead, d.ID)
	}
	if !slices.Equal(dead, model.dead) {
		s.Fatalf("dead: %q, want %q", dead, model.dead)
	}
	s.counts(store, len(model.waiting), len(model.dead))
}

type model struct {
	known         map[string]bool
	waiting, dead []string
}

func (s *suite) historyEnqueue(store webhook.Store, m *model, random *rand.Rand, step int) {
	var items []webhook.Item
	want := 0
	for range random.IntN(5) {
		id := fmt.Sprint(random.IntN(step + 5)) // some are known
		items = append(items, item(id))
		if !m.known[id] {
			m.known[id] = true
			m.waiting = append(m.waiting, id)
			want++
		}
	}
	if added, err := store.Enqueue(s.Context(), queue, items...); added != want || err != nil {
		s.Fatalf("step %d: Enqueue: %d, %v; want %d", step, added, err, want)
	}
}

func (s *suite) historySettle(turn webhook.Turn, m *model, random *rand.Rand) {
	var outcomes []webhook.Outcome
	for _, id := range slices.Clone(m.waiting[:min(len(m.waiting), random.IntN(6))]) {
		outcome := webhook.Outcome{ID: id, State: webhook.ItemState(random.IntN(3)), Reason: "why"}
		outcomes = append(outcomes, outcome)
		if outcome.State != webhook.StateWaiting {
			m.waiting = slices.DeleteFunc(m.waiting, func(other string) bool { return other == id })
		}
		if outcome.State == webhook.StateDead {
			m.dead = append(m.dead, id)
		}
	}
	s.settle(turn, outcomes...)
}

func (s *suite) historyReplay(store webhook.Store, m *model, random *rand.Rand) {
	var ids []string
	for _, id := range m.dead {
		if random.IntN(2) == 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return // none would mean all
	}
	if n, err := store.Replay(s.Context(), queue, ids...); n != len(ids) || err != nil {
		s.Fatalf("Replay: %d, %v; want %d", n, err, len(ids))
	}
	m.dead = slices.DeleteFunc(m.dead, func(id string) bool { return slices.Contains(ids, id) })
	m.waiting = append(m.waiting, ids...)
}
