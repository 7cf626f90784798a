package changes_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const authorWait = 15 * time.Second

// borrower watches d and waits for authors.
func borrower(t testing.TB, d *document, s queue.Store) *changes.Watcher {
	return watch(t, changes.Config{Source: d, Format: changes.Flagd{}, Store: s, AuthorWait: authorWait, Lag: 20 * time.Second})
}

var ada, bob = webhook.Author{ID: "ada@example.com", Type: webhook.AuthorEmail}, webhook.Author{ID: "bob@example.com", Type: webhook.AuthorEmail}

func lend(t testing.TB, w *changes.Watcher, id, flag string, author webhook.Author, at time.Time) {
	t.Helper()
	if err := w.Lend(t.Context(), changes.Loan{ID: id, Flag: flag, Author: author, At: at}); err != nil {
		t.Fatal(err)
	}
}

// by lists changes as "action flag by author".
func by(list []webhook.Change) string {
	var said []string
	for _, change := range list {
		said = append(said, fmt.Sprintf("%s %s by %s", change.Action, change.Flag, change.CreatedBy.ID))
	}
	return strings.Join(said, "; ")
}

// TestLendInAnyOrder makes one edit, of a by Ada, with her webhook before the
// look, after it, and in other ways.
func TestLendInAnyOrder(t *testing.T) {
	const byNobody, byAda = "updated a by flagd:flags.json", "updated a by ada@example.com"
	for name, c := range map[string]struct {
		dated  bool
		before func(t *testing.T, w *changes.Watcher, at time.Time)
		after  func(t *testing.T, w *changes.Watcher, at time.Time)
		want   string
		next   string // who is said to have made another change later
		late   int64
	}{
		"before the look": {before: func(t *testing.T, w *changes.Watcher, at time.Time) { lend(t, w, "1", "a", ada, at) }, want: byAda},
		"after the look": {after: func(t *testing.T, w *changes.Watcher, at time.Time) {
			pause(5 * time.Second)
			lend(t, w, "1", "a", ada, at)
		}, want: byAda},
		"twice": {
			before: func(t *testing.T, w *changes.Watcher, at time.Time) { lend(t, w, "1", "a", ada, at) },
			after: func(t *testing.T, w *changes.Watcher, at time.Time) {
				pause(5 * time.Second)
				lend(t, w, "1", "a", ada, at)
			}, want: byAda,
		},
		"lost": {want: byNobody},
		"late": {after: func(t *testing.T, w *changes.Watcher, at time.Time) {
			pause(20 * time.Second)
			lend(t, w, "1", "a", ada, at)
		}, want: byNobody, late: 1},
		"without a flag": {before: func(t *testing.T, w *changes.Watcher, at time.Time) { lend(t, w, "1", "", ada, at) }, want: byAda},
		"without a flag, after": {after: func(t *testing.T, w *changes.Watcher, at time.Time) {
			pause(5 * time.Second)
			lend(t, w, "1", "", ada, at)
		}, want: byAda},
		"of another flag": {before: func(t *testing.T, w *changes.Watcher, at time.Time) { lend(t, w, "1", "b", ada, at) }, want: byNobody},
		"of something long before that no difference shows": {before: func(t *testing.T, w *changes.Watcher, at time.Time) {
			lend(t, w, "1", "a", bob, at.Add(-30*time.Second))
		}, after: func(t *testing.T, w *changes.Watcher, at time.Time) {
			pause(2 * time.Second)
			lend(t, w, "2", "a", ada, at)
		}, want: byAda},
		"of a change that is made later": {after: func(t *testing.T, w *changes.Watcher, at time.Time) {
			pause(8 * time.Second)
			lend(t, w, "2", "a", bob, at.Add(8*time.Second))
		}, want: byNobody, next: "updated a by bob@example.com"},
		"by two": {before: func(t *testing.T, w *changes.Watcher, at time.Time) {
			lend(t, w, "2", "a", ada, at)
			lend(t, w, "1", "a", bob, at.Add(-100*time.Millisecond))
		}, want: byAda},
	} {
		for _, dated := range []bool{true, false} {
			if !dated && slices.Contains([]string{"of something long before that no difference shows", "of a change that is made later", "by two"}, name) {
				continue
			}
			t.Run(fmt.Sprintf("%s, dated %v", name, dated), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d, s := newDocument("flags.json", flagd("a", "on", "b", "on")), newStore(t)
					w := borrower(t, d, s)
					pause(40 * time.Second)
					at := time.Now()
					said := at
					if !dated {
						said = time.Time{}
					}
					d.set(flagd("a", "off", "b", "on"))
					if c.before != nil {
						c.before(t, w, said)
					}
					pause(1500 * time.Millisecond)
					if c.after != nil {
						c.after(t, w, said)
					}
					pause(25 * time.Second)
					emitted := s.emitted(t)
					if got := by(emitted); got != c.want {
						t.Error(got)
					}
					if len(emitted) > 0 && emitted[0].CreatedAt.Sub(at) > 2*time.Second {
						t.Error("dated when it was reported:", emitted[0].CreatedAt.Sub(at))
					}
					if stats := w.Stats(); stats.Late != c.late || stats.Unsigned != 0 {
						t.Errorf("%+v", stats)
					}
					// The next change of the flag has no part in it.
					d.set(flagd("a", "on", "b", "on"))
					pause(2 * time.Minute)
					if got := by(s.emitted(t)); got != c.want+"; "+cmp.Or(c.next, byNobody) {
						t.Error(got)
					}
				})
			})
		}
	}
}

// TestLendWaits tells what happens while a change waits.
func TestLendWaits(t *testing.T) {
	start := func(t *testing.T) (*document, *store, *changes.Watcher) {
		d, s := newDocument("flags.json", flagd("a", "on")), newStore(t)
		w := borrower(t, d, s)
		pause(40 * time.Second)
		return d, s, w
	}
	t.Run("changed back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, w := start(t)
			at := time.Now()
			d.set(flagd("a", "off"))
			pause(5 * time.Second)
			d.set(flagd("a", "on"))
			pause(3 * time.Second)
			// The second webhook comes first, and must not overtake.
			lend(t, w, "2", "a", bob, at.Add(5*time.Second))
			pause(time.Second)
			if got := by(s.emitted(t)); got != "" {
				t.Error(got)
			}
			lend(t, w, "1", "a", ada, at)
			pause(time.Second)
			if got := by(s.emitted(t)); got != "updated a by ada@example.com; updated a by bob@example.com" {
				t.Error(got)
			}
		})
	})
	t.Run("changed again at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, w := start(t)
			pause(200 * time.Millisecond) // it looks a quarter past each second
			d.set(flagd("a", "off"))
			pause(700 * time.Millisecond)
			at := time.Now()
			d.set(flagd("a", "on"))
			pause(3 * time.Second)
			lend(t, w, "2", "a", bob, at)
			pause(time.Minute)
			if got := by(s.emitted(t)); got != "updated a by flagd:flags.json; updated a by bob@example.com" {
				t.Error(got)
			}
		})
	})
	t.Run("found before another edit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, w := start(t)
			d.set(flagd("a", "off"))
			pause(10 * time.Second)
			closeWatcher(t, w) // which has the lease for a while yet
			other := borrower(t, d, s)
			pause(2 * time.Second)
			d.set(flagd("a", "on"))
			pause(5 * time.Second)
			lend(t, other, "2", "a", bob, time.Now()) // of what no difference shows
			pause(time.Minute)
			if got := by(s.emitted(t)); got != "updated a by flagd:flags.json; updated a by flagd:flags.json" {
				t.Error(got)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, w := start(t)
			d.set(flagd("a", "off"))
			pause(3 * time.Second)
			closeWatcher(t, w)
			if got := by(s.emitted(t)); got != "updated a by flagd:flags.json" {
				t.Error(got)
			}
		})
	})
	t.Run("killed, and nobody can read the document", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, w := start(t)
			d.set(flagd("a", "off"))
			pause(3 * time.Second)
			s.breakWith(func(string) error { return errDown }, nil)
			closeWatcher(t, w)
			s.breakWith(nil, nil)
			d.fail(errDown)
			borrower(t, d, s)
			pause(time.Minute)
			if got := by(s.emitted(t)); got != "updated a by flagd:flags.json" {
				t.Error(got)
			}
		})
	})
	t.Run("the source hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, _ := start(t)
			d.set(flagd("a", "off"))
			pause(3 * time.Second)
			d.hang()
			pause(2 * time.Minute)
			if got := by(s.emitted(t)); got != "updated a by flagd:flags.json" {
				t.Error(got)
			}
		})
	})
	t.Run("another process gets the webhook", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, _ := start(t)
			other := borrower(t, d, s)
			d.set(flagd("a", "off"))
			pause(3 * time.Second)
			lend(t, other, "1", "a", ada, time.Time{})
			pause(time.Second)
			if got := by(s.emitted(t)); got != "updated a by ada@example.com" {
				t.Error(got)
			}
		})
	})
	t.Run("no author stays at rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, s, w := start(t)
			lend(t, w, "1", "a", ada, time.Time{})
			rests := func() bool {
				note, err := s.Note(t.Context(), "flag-changes", "changes:flagd:flags.json")
				if err != nil {
					t.Fatal(err)
				}
				return strings.Contains(string(note.Body), "ada@")
			}
			if !rests() {
				t.Error("the loan is not in the store")
			}
			pause(2 * time.Minute)
			if rests() {
				t.Error("an author who was not needed is kept for ever")
			}
		})
	})
	t.Run("the store fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, s, w := start(t)
			d.set(flagd("a", "off"))
			pause(3 * time.Second)
			s.breakWith(func(string) error { return errDown }, nil)
			loan := changes.Loan{ID: "1", Flag: "a", Author: ada}
			if err := w.Lend(t.Context(), loan); !errors.Is(err, errDown) {
				t.Error(err)
			}
			// It was kept, and the store did not say so.
			s.breakWith(nil, func(string) error { return errDown })
			if err := w.Lend(t.Context(), loan); !errors.Is(err, errDown) {
				t.Error(err)
			}
			s.breakWith(nil, nil)
			if err := w.Lend(t.Context(), loan); err != nil {
				t.Error(err)
			}
			pause(time.Minute)
			if got := by(s.emitted(t)); got != "updated a by ada@example.com" {
				t.Error(got)
			}
		})
	})
}

func TestLendIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := newDocument("flags.json", flagd("a", "on")), newStore(t)
		deaf := watch(t, changes.Config{Source: d, Format: changes.Flagd{}, Store: s})
		if err := deaf.Lend(t.Context(), changes.Loan{ID: "1", Author: ada}); !errors.Is(err, changes.ErrNoLending) {
			t.Error(err)
		}
		w := borrower(t, d, s)
		for _, loan := range []changes.Loan{{Author: ada}, {ID: "1"}, {ID: "1", Flag: "a"}, {ID: "1", At: time.Now()}, {ID: strings.Repeat("x", 101), Author: ada}} {
			if err := w.Lend(t.Context(), loan); err == nil {
				t.Errorf("%+v was taken", loan)
			}
		}
	})
}

// lendStep is an edit, of which the webhook comes early, late, twice or never,
// and what happens afterwards.
type lendStep struct {
	Flag    string
	Author  webhook.Author
	What    int // 0: nothing that counts, 1: deleted
	Delays  []int
	Pause   int // ms
	Disturb int // 0, 1: a process starts, 2: one is killed, 3: the document breaks
	Which   int
	Broken  int
}

var lendSteps = rapid.Custom(func(t *rapid.T) lendStep {
	return lendStep{
		Flag:    rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "flag"),
		Author:  rapid.SampledFrom([]webhook.Author{ada, bob}).Draw(t, "author"),
		What:    rapid.IntRange(0, 9).Draw(t, "what"),
		Delays:  rapid.SliceOfN(rapid.IntRange(0, 40_000), 0, 2).Draw(t, "delays"),
		Pause:   rapid.IntRange(2_500, 40_000).Draw(t, "pause"),
		Disturb: rapid.IntRange(0, 7).Draw(t, "disturb"),
		Which:   rapid.IntRange(0, 2).Draw(t, "which"),
		Broken:  rapid.IntRange(1_000, 30_000).Draw(t, "broken"),
	}
})

// inBubble runs a history in a bubble of its own; rapid cannot end a test from
// in there.
func inBubble(t *testing.T, rt *rapid.T, play func(t *testing.T) error) {
	var fault error
	synctest.Test(t, func(t *testing.T) { fault = play(t) })
	if fault != nil {
		rt.Fatal(fault)
	}
}

// TestLendHistories plays histories of edits by several people, with webhooks to
// any of three processes that are killed and started, and a document that breaks
// now and then. Each change is reported once, and its author has edited that flag
// by then, if the webhooks say when, or there is none.
func TestLendHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(lendSteps, 1, 25).Draw(rt, "steps")
		kills, dated := rapid.Bool().Draw(rt, "kills"), rapid.Bool().Draw(rt, "dated")
		inBubble(t, rt, func(t *testing.T) error {
			h := &lendHistory{t: t, d: newDocument("flags.json", ""), s: newStore(t), flags: map[string]int{}, edited: map[string][]edited{}, dated: dated}
			h.put()
			h.start(0)
			pause(40 * time.Second)
			for _, step := range steps {
				h.edit(step)
				pause(time.Duration(step.Pause) * time.Millisecond)
				if kills {
					h.disturb(step)
				}
			}
			h.start(0)
			h.put()
			pause(15 * time.Minute)
			for i := range h.watchers {
				h.kill(i)
			}
			return h.verify(kills)
		})
	})
}

type edited struct {
	author webhook.Author
	at     time.Time
	seen   bool // by a difference
	action webhook.Action
}

type lendHistory struct {
	t        *testing.T
	d        *document
	s        *store
	mu       sync.Mutex
	stores   [3]*store
	watchers [3]*changes.Watcher
	flags    map[string]int
	edited   map[string][]edited
	notes    int
	webhooks int
	dated    bool
}

func (h *lendHistory) put() {
	var parts []string
	for _, flag := range slices.Sorted(maps.Keys(h.flags)) {
		parts = append(parts, fmt.Sprintf(`%q:{"state":"ENABLED","variants":{"v":%d},"defaultVariant":"v","metadata":{"n":%d}}`, flag, h.flags[flag], h.notes))
	}
	h.d.set(`{"flags":{` + strings.Join(parts, ",") + `}}`)
}

func (h *lendHistory) start(i int) {
	if h.watchers[i] != nil {
		return
	}
	h.stores[i] = &store{Store: h.s.Store}
	w, err := changes.NewWatcher(changes.Config{
		Source: h.d, Format: changes.Flagd{}, Store: h.stores[i], Emitter: &emitter{}, Logger: slog.New(slog.DiscardHandler),
		AuthorWait: authorWait, Lag: 20 * time.Second,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[i] = w
}

// kill ends a process that can write nothing any more.
func (h *lendHistory) kill(i int) {
	if h.watchers[i] == nil {
		return
	}
	h.stores[i].breakWith(func(string) error { return errDown }, nil)
	closeWatcher(h.t, h.watchers[i])
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[i] = nil
}

func (h *lendHistory) edit(step lendStep) {
	e := edited{author: step.Author, at: time.Now(), seen: true, action: webhook.ActionUpdated}
	_, there := h.flags[step.Flag]
	switch {
	case step.What == 0:
		e.seen = false
		h.notes++
	case step.What == 1 && there:
		e.action = webhook.ActionDeleted
		delete(h.flags, step.Flag)
	default:
		if !there {
			e.action = webhook.ActionCreated
		}
		h.flags[step.Flag] = len(h.edited[step.Flag]) + 1
	}
	h.edited[step.Flag] = append(h.edited[step.Flag], e)
	h.put()
	h.webhooks++
	loan := changes.Loan{ID: fmt.Sprint(h.webhooks), Flag: step.Flag, Author: e.author}
	if h.dated {
		loan.At = e.at
	}
	for _, delay := range step.Delays {
		go func() {
			time.Sleep(time.Duration(delay) * time.Millisecond)
			h.mu.Lock()
			watchers := h.watchers
			h.mu.Unlock()
			for _, w := range watchers {
				if w != nil && w.Lend(context.Background(), loan) == nil {
					return
				}
			}
		}()
	}
}

func (h *lendHistory) disturb(step lendStep) {
	switch step.Disturb {
	case 0, 1:
		h.start(step.Which)
	case 2:
		h.kill(step.Which)
	case 3:
		h.d.set(`{"flags":`)
		pause(time.Duration(step.Broken) * time.Millisecond)
		h.put()
	}
}

func (h *lendHistory) verify(kills bool) error {
	perFlag, ids := map[string][]webhook.Change{}, map[string]bool{}
	for _, change := range h.s.emitted(h.t) {
		perFlag[change.Flag] = append(perFlag[change.Flag], change)
		if ids[change.ItemID] {
			return fmt.Errorf("twice: %+v", change)
		}
		ids[change.ItemID] = true
	}
	for flag, edits := range h.edited {
		var want []string
		for _, e := range edits {
			if e.seen {
				want = append(want, string(e.action)+" "+flag)
			}
		}
		got := told(perFlag[flag])
		if !kills && !slices.Equal(got, want) {
			return fmt.Errorf("%s: reported %q, made %q", flag, got, want)
		}
		there := false
		for _, change := range perFlag[flag] {
			if there == (change.Action == webhook.ActionCreated) {
				return fmt.Errorf("%s: %q", flag, got)
			}
			there = change.Action != webhook.ActionDeleted
			if change.CreatedBy.Type == webhook.AuthorName || !h.dated {
				continue
			}
			if !slices.ContainsFunc(edits, func(e edited) bool {
				return e.author == change.CreatedBy && !e.at.After(change.CreatedAt.Add(time.Second))
			}) {
				return fmt.Errorf("%s is said to be by %s, who had not touched it", flag, change.CreatedBy.ID)
			}
		}
		if _, is := h.flags[flag]; is != there {
			return fmt.Errorf("%s: there is %v in the end, reported %q", flag, is, got)
		}
	}
	return nil
}

// TestLendRightAuthor: as long as each webhook says when the change was made and
// comes before the wait is over, and a flag's edits are some seconds apart, each
// change has its own author, whatever the order.
func TestLendRightAuthor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(lendSteps, 1, 12).Draw(rt, "steps")
		inBubble(t, rt, func(t *testing.T) error {
			d, s := newDocument("flags.json", flagd("a", "on")), newStore(t)
			watchers := []*changes.Watcher{borrower(t, d, s), borrower(t, d, s)}
			pause(40 * time.Second)
			var want []string
			for i, step := range steps {
				d.set(flagd("a", []string{"off", "on"}[i%2]))
				want = append(want, "updated a by "+step.Author.ID)
				loan := changes.Loan{ID: fmt.Sprint(i), Flag: "a", Author: step.Author, At: time.Now()}
				for _, delay := range append(slices.Clone(step.Delays), step.Broken) {
					go func() {
						time.Sleep(time.Duration(delay) * time.Millisecond * 14 / 40)
						if err := watchers[step.Which%2].Lend(context.Background(), loan); err != nil {
							t.Error(err)
						}
					}()
				}
				pause(time.Duration(step.Pause) * time.Millisecond)
			}
			pause(time.Minute)
			if got := by(s.emitted(t)); got != strings.Join(want, "; ") {
				return fmt.Errorf("%s\nwant %s", got, strings.Join(want, "; "))
			}
			return nil
		})
	})
}
