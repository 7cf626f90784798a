package queuetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// histories runs random calls against the store and against a model of it that
// is too simple to be wrong. A failure names the seed.
func (s *suite) histories() {
	seed := uint64(time.Now().UnixNano())
	s.Logf("seed %d", seed)
	h := &history{suite: s, store: s.open(), random: rand.New(rand.NewPCG(seed, 0)), entries: make(map[string]*modelEntry)}
	steps := []func(){h.add, h.add, h.settle, h.settle, h.settle, h.lease, h.release, h.revise, h.discard}
	if s.canPass() {
		steps = append(steps, h.wait, h.sweep)
	}
	for h.step = range 500 {
		steps[h.random.IntN(len(steps))]()
		h.compare()
	}
}

// history is a store and its model.
type history struct {
	*suite
	store   queue.Store
	random  *rand.Rand
	step    int
	now     int // in units
	entries map[string]*modelEntry
	seq     int
	owner   string // of the lease
	until   int
	rest    int
}

type modelEntry struct {
	id, owner      string
	seq, due       int // seq by the model
	real           int64
	since, tries   int
	state          queue.State
	key, body, why string
}

func (h *history) ownerOf() string { return []string{"x", "y", "z"}[h.random.IntN(3)] }

// some returns up to n of the entries, now and then with a Seq that is old.
func (h *history) some(n int) []*modelEntry {
	all := h.sorted()
	h.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

func (h *history) sorted() []*modelEntry {
	var all []*modelEntry
	for _, e := range h.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *modelEntry) int { return a.seq - b.seq })
	return all
}

func (h *history) add() {
	var a queue.Addition
	due := h.now
	if h.random.IntN(3) == 0 {
		hold := 1 + h.random.IntN(3)
		a.Owner, a.Hold = h.ownerOf(), time.Duration(hold)*h.unit()
		due += hold
	}
	want := 0
	for range h.random.IntN(4) {
		id := fmt.Sprint(h.random.IntN(h.step + 3)) // some are known
		i := queue.Item{ID: id, Key: fmt.Sprint("key ", h.random.IntN(3)), Body: fmt.Appendf(nil, "body %d", h.step)}
		a.Items = append(a.Items, i)
		if h.entries[id].known(h.now) {
			continue
		}
		want++
		h.seq++
		h.entries[id] = &modelEntry{id: id, owner: a.Owner, seq: h.seq, due: due, since: h.now, key: i.Key, body: string(i.Body)}
	}
	if added, err := h.store.Add(h.Context(), name, a); added != want || err != nil {
		h.Fatalf("step %d: Add: %d, %v; want %d", h.step, added, err, want)
	}
}

func (e *modelEntry) known(now int) bool {
	return e != nil && (e.state == queue.Waiting || e.state == queue.Dead || e.since+window > now)
}

func (e *modelEntry) become(state queue.State, now int) {
	e.state, e.since, e.owner = state, now, ""
}

func (h *history) settle() {
	owner := h.ownerOf()
	var outcomes []queue.Outcome
	for _, e := range h.some(h.random.IntN(5)) {
		outcome := queue.Outcome{ID: e.id, Seq: e.real, Reason: fmt.Sprint("reason ", h.step)}
		after := h.random.IntN(4)
		switch h.random.IntN(8) {
		case 0:
			outcome.Seq-- // an old one
			outcome.State = []queue.State{queue.Waiting, queue.Done, queue.Dead}[h.random.IntN(3)]
			outcomes = append(outcomes, outcome)
			continue
		case 1, 2:
			outcome.State = queue.Done
		case 3:
			outcome.State = queue.Dead
		case 4:
			outcome.Hold, outcome.After = true, time.Duration(1+after)*h.unit()
		default:
			outcome.After = time.Duration(after) * h.unit()
		}
		outcomes = append(outcomes, outcome)
		h.count(e, owner, outcome)
	}
	h.suite.settle(h.store, owner, outcomes...)
}

// count has the model settle an outcome.
func (h *history) count(e *modelEntry, owner string, o queue.Outcome) {
	after := int(o.After / h.unit())
	switch {
	case o.State == queue.Done:
		if e.state != queue.Done {
			e.become(queue.Done, h.now)
		}
	case e.state != queue.Waiting || owner != h.owner && owner != e.owner:
	case o.State == queue.Dead:
		e.become(queue.Dead, h.now)
		e.why = o.Reason
	case o.Hold:
		e.owner, e.due = owner, h.now+after
	default:
		e.owner, e.due, e.why = "", h.now+after, o.Reason
		if after > 0 {
			e.tries++
		}
	}
}

func (h *history) lease() {
	owner, units := h.ownerOf(), 1+h.random.IntN(3)
	var want time.Duration
	switch {
	case h.owner != "" && h.owner != owner && h.until > h.now:
		want = time.Duration(h.until-h.now) * h.unit()
	case h.rest > h.now:
		want = time.Duration(h.rest-h.now) * h.unit()
	default:
		h.owner, h.until, h.rest = owner, h.now+units, 0
	}
	wait, err := h.store.Lease(h.Context(), name, owner, time.Duration(units)*h.unit())
	if (wait == 0) != (want == 0) || wait > want || err != nil {
		h.Fatalf("step %d: Lease by %s: %v, %v; want %v", h.step, owner, wait, err, want)
	}
}

func (h *history) release() {
	owner, rest := h.ownerOf(), h.random.IntN(3)
	if owner == h.owner {
		h.owner, h.until, h.rest = "", 0, h.now+rest
	}
	h.suite.release(h.store, owner, time.Duration(rest)*h.unit())
}

func (h *history) revise() {
	for _, e := range h.some(3) {
		var with *queue.Item
		if h.random.IntN(2) == 0 {
			with = &queue.Item{ID: e.id, Key: "revised", Body: fmt.Appendf(nil, "revised %d", h.step)}
		}
		err := h.store.Revise(h.Context(), name, queue.Entry{Item: queue.Item{ID: e.id}, Seq: e.real}, with)
		if e.state != queue.Dead {
			if !errors.Is(err, queue.ErrNotDead) {
				h.Fatalf("step %d: Revise of %v: %v", h.step, e.state, err)
			}
			continue
		}
		if err != nil {
			h.Fatalf("step %d: Revise: %v", h.step, err)
		}
		h.seq++
		e.become(queue.Waiting, h.now)
		e.seq, e.due, e.tries, e.why = h.seq, h.now, 0, ""
		if with != nil {
			e.key, e.body = with.Key, string(with.Body)
		}
	}
}

func (h *history) discard() {
	var entries []queue.Entry
	want := 0
	for _, e := range h.some(h.random.IntN(2)) {
		entries = append(entries, queue.Entry{Item: queue.Item{ID: e.id}, Seq: e.real})
		if e.state == queue.Waiting || e.state == queue.Dead {
			want++
			e.become(queue.Discarded, h.now)
		}
	}
	if n, err := h.store.Discard(h.Context(), name, entries...); n != want || err != nil {
		h.Fatalf("step %d: Discard: %d, %v; want %d", h.step, n, err, want)
	}
}

func (h *history) wait() {
	n := 1 + h.random.IntN(3)
	if h.random.IntN(10) == 0 {
		n = window
	}
	h.now += n
	h.pass(n)
}

func (h *history) sweep() {
	want := 0
	for id, e := range h.entries {
		if !e.known(h.now) {
			delete(h.entries, id)
			want++
		}
	}
	if n, err := h.store.Sweep(h.Context(), 1000); n != want || err != nil {
		h.Fatalf("step %d: Sweep: %d, %v; want %d", h.step, n, err, want)
	}
}

// compare compares all that can be seen with the model.
func (h *history) compare() {
	h.Helper()
	want, waiting, dead := h.sorted(), 0, 0
	got := h.lists(h.store, queue.Filter{Limit: queue.MaxList})
	if len(got) != len(want) {
		h.Fatalf("step %d: %d entries, want %d", h.step, len(got), len(want))
	}
	var due []string
	for i, e := range want {
		e.real = got[i].Seq
		g := got[i]
		if g.ID != e.id || g.State != e.state || g.Tries != e.tries || g.Owner != e.owner && e.state == queue.Waiting ||
			g.Key != e.key || string(g.Body) != e.body || g.Reason != e.why {
			h.Fatalf("step %d: entry %d is\n%+v, want\n%+v", h.step, i, g, *e)
		}
		switch e.state {
		case queue.Dead:
			dead++
		case queue.Waiting:
			waiting++
			if e.due <= h.now {
				due = append(due, e.id)
			}
		}
	}
	h.isDue(h.store, due...)
	stats := h.counts(h.store, waiting, dead)
	if stats.Held != (h.owner != "" && h.until > h.now) || (stats.Rest > 0) != (h.rest > h.now) {
		h.Fatalf("step %d: Stats: %+v", h.step, stats)
	}
}
