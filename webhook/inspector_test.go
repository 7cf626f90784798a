package webhook_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

var olderSentry = webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026}

// deadLetter emits a change that an older Sentry refuses and returns it dead.
func (r *rig) deadLetter() (webhook.Change, queue.Entry) {
	r.Helper()
	change := someChange(strings.Repeat("x", 150))
	change.ChangeID = 4711
	r.emit(change, someChange("good"))
	r.flush()
	dead := r.dead()
	if len(dead) != 1 {
		r.Fatalf("%d dead, want 1", len(dead))
	}
	return change, dead[0]
}

func (r *rig) flush() {
	r.Helper()
	if err := r.emitter.Flush(r.Context()); err != nil {
		r.Fatalf("Flush: %v", err)
	}
}

func TestInspectorCorrect(t *testing.T) {
	emitterTest(t, rigConfig{server: olderSentry}, func(t *testing.T, r *rig) {
		change, dead := r.deadLetter()
		time.Sleep(time.Hour)
		inspector := r.emitter.Inspector()

		corrected := webhook.Change{Action: webhook.ActionCreated, Flag: " shorter ", CreatedBy: webhook.Author{ID: "ada", Type: webhook.AuthorName}}
		preview, err := inspector.Preview(dead, corrected)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := inspector.Correct(t.Context(), dead, corrected)
		if err != nil {
			t.Fatal(err)
		}
		if sent != preview || sent.Flag != "shorter" || sent.ChangeID != change.ChangeID || !sent.CreatedAt.Equal(change.CreatedAt) || sent.ItemID != dead.ID {
			t.Errorf("corrected to %+v, preview %+v", sent, preview)
		}
		r.flush()
		got := r.server.Changes()
		last := got[len(got)-1]
		if len(got) != 2 || last.Flag != "shorter" || last.Action != webhook.ActionCreated || last.CreatedBy.ID != "ada" || !last.CreatedAt.Equal(change.CreatedAt) {
			t.Errorf("Sentry has %+v", got)
		}
		r.counts(0, 0)
		// The queue still knows it by its ID, and finds it under its new flag.
		done, err := inspector.List(t.Context(), queue.Filter{Key: "shorter"})
		if err != nil || len(done) != 1 || done[0].ID != dead.ID || done[0].State != queue.Done {
			t.Errorf("listed %+v, %v", done, err)
		}
		r.emit(change)
		r.flush()
		if n := len(r.server.Changes()); n != 2 {
			t.Errorf("%d in Sentry's log after the same change again, want 2", n)
		}
		if _, err := inspector.Correct(t.Context(), dead, corrected); !errors.Is(err, queue.ErrNotDead) {
			t.Errorf("corrected twice: %v", err)
		}
	})
}

func TestInspectorRefusesWhatSentryWould(t *testing.T) {
	config := func(c *webhook.Config) { c.MaxFlag = 200 }
	emitterTest(t, rigConfig{server: olderSentry, client: config}, func(t *testing.T, r *rig) {
		change, dead := r.deadLetter()
		other, err := webhook.NewInspector(r.store, r.emitter.Queue(), webhook.InspectorConfig{MaxFlag: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, inspector := range []*webhook.Inspector{r.emitter.Inspector(), other} {
			for field, bad := range map[string]webhook.Change{
				"Flag":           {Action: change.Action, CreatedBy: change.CreatedBy, Flag: strings.Repeat("y", 201)},
				"Action":         {Flag: "a", CreatedBy: change.CreatedBy},
				"CreatedBy.ID":   {Flag: "a", Action: change.Action, CreatedBy: webhook.Author{Type: webhook.AuthorID}},
				"CreatedBy.Type": {Flag: "a", Action: change.Action, CreatedBy: webhook.Author{ID: "ada"}},
				"CreatedAt":      {Flag: "a", Action: change.Action, CreatedBy: change.CreatedBy, CreatedAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
			} {
				_, previewed := inspector.Preview(dead, bad)
				_, corrected := inspector.Correct(t.Context(), dead, bad)
				for _, err := range []error{previewed, corrected} {
					if invalid, ok := errors.AsType[*webhook.ChangeError](err); !ok || invalid.Field != field {
						t.Errorf("%s: %v", field, err)
					}
				}
			}
			if inspector.MaxFlag() != 200 {
				t.Errorf("MaxFlag is %d", inspector.MaxFlag())
			}
		}
		r.counts(0, 1)
	})
}

func TestInspectorReplay(t *testing.T) {
	emitterTest(t, rigConfig{server: olderSentry}, func(t *testing.T, r *rig) {
		_, dead := r.deadLetter()
		inspector := r.emitter.Inspector()
		if err := inspector.Replay(t.Context(), dead); err != nil {
			t.Fatal(err)
		}
		r.flush()
		r.counts(0, 1) // the server is as old as before
		again := r.dead()[0]
		if again.Seq <= dead.Seq || again.ID != dead.ID {
			t.Errorf("%+v after %+v", again, dead)
		}
		if err := inspector.Replay(t.Context(), dead); !errors.Is(err, queue.ErrNotDead) {
			t.Errorf("replayed by the old Seq: %v", err)
		}
		counts, all, err := inspector.CountReasons(t.Context(), 10)
		if err != nil || !all || len(counts) != 1 || counts[0].Entries != 1 || counts[0].Reason != again.Reason {
			t.Errorf("reasons: %+v, %t, %v", counts, all, err)
		}
	})
}

func TestInspectorDiscard(t *testing.T) {
	emitterTest(t, rigConfig{server: olderSentry}, func(t *testing.T, r *rig) {
		_, dead := r.deadLetter()
		inspector := r.emitter.Inspector()
		for want := range 2 {
			if n, err := inspector.Discard(t.Context(), dead); n != 1-want || err != nil {
				t.Errorf("discarded %d, %v; want %d", n, err, 1-want)
			}
		}
		r.counts(0, 0)
		if err := inspector.Replay(t.Context(), dead); !errors.Is(err, queue.ErrNotDead) {
			t.Errorf("replayed what was discarded: %v", err)
		}
	})
}

func TestInspectorStats(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{FormerQueues: []string{"former"}}}, func(t *testing.T, r *rig) {
		r.server.FailAlways(webhooktest.Status(503))
		began := time.Now()
		r.emit(numberedChanges(50)...)
		time.Sleep(10 * time.Minute)
		inspector := r.emitter.Inspector()
		stats, err := inspector.Stats(t.Context(), 20)
		if err != nil {
			t.Fatal(err)
		}
		if stats.Waiting != 20 || !stats.Paused || stats.Failures < 3 || !errors.Is(stats.LastError, webhook.ErrAmbiguous) || stats.OldestAge < 10*time.Minute {
			t.Errorf("stats: %+v", stats)
		}
		if since := stats.PausedSince.Sub(began); since < 0 || since > time.Second {
			t.Errorf("paused since %v after the first failure", since)
		}
		all := r.counts(50, 0)
		if all.PausedSince != stats.PausedSince {
			t.Errorf("the emitter is paused since %v", all.PausedSince)
		}
		// Another process sees what the store says.
		other, err := webhook.NewInspector(r.store, r.emitter.Queue(), webhook.InspectorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if stats, err := other.Stats(t.Context(), 0); err != nil || stats.Waiting != 50 || !stats.Paused || !stats.PausedSince.IsZero() || stats.LastError != nil {
			t.Errorf("from elsewhere: %+v, %v", stats, err)
		}
		r.server.Recover()
		r.close()
		if stats := r.counts(0, 0); !stats.PausedSince.IsZero() {
			t.Errorf("paused since %v after the end", stats.PausedSince)
		}
	})
}

func TestNewInspector(t *testing.T) {
	store := newMemory(t, queue.MemoryConfig{})
	for what, make := range map[string]func() (*webhook.Inspector, error){
		"no store": func() (*webhook.Inspector, error) { return webhook.NewInspector(nil, "q", webhook.InspectorConfig{}) },
		"a nil pointer": func() (*webhook.Inspector, error) {
			return webhook.NewInspector((*queue.Memory)(nil), "q", webhook.InspectorConfig{})
		},
		"no queue": func() (*webhook.Inspector, error) { return webhook.NewInspector(store, "", webhook.InspectorConfig{}) },
		"a negative": func() (*webhook.Inspector, error) {
			return webhook.NewInspector(store, "q", webhook.InspectorConfig{MaxFlag: -1})
		},
	} {
		if _, err := make(); !errors.Is(err, webhook.ErrInvalidConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	inspector, err := webhook.NewInspector(store, "q", webhook.InspectorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if inspector.Queue() != "q" || inspector.MaxFlag() != webhook.MaxFlag {
		t.Errorf("queue %q, MaxFlag %d", inspector.Queue(), inspector.MaxFlag())
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := inspector.Stats(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Stats: %v", err)
	}
}

// TestResume has what waits tried at once when the secret was mended in Sentry,
// instead of after the longest wait.
func TestResume(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{MaxBackoff: time.Hour}}, func(t *testing.T, r *rig) {
		r.server.FailAlways(webhooktest.Status(401))
		r.emit(someChange("waits"))
		time.Sleep(10 * time.Second)
		stats, err := r.emitter.Stats(t.Context())
		if err != nil || !stats.Paused || stats.Rest < 59*time.Minute || stats.Rest > time.Hour {
			t.Errorf("%+v, %v", stats, err)
		}
		r.server.Recover()
		if err := r.emitter.Inspector().Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n := len(r.server.Changes()); n != 1 {
			t.Errorf("%d delivered", n)
		}
		if stats, err := r.emitter.Stats(t.Context()); err != nil || stats.Paused || stats.Rest != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
		r.store.Close()
		if err := r.emitter.Inspector().Resume(t.Context()); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

// TestInspectorOfFormerQueues mends what was refused under a former name, and has
// the numbers that the emitter has: an alarm on them could never be cleared
// otherwise.
func TestInspectorOfFormerQueues(t *testing.T) {
	emitterTest(t, rigConfig{server: olderSentry, emitter: webhook.EmitterConfig{FormerQueues: []string{"former"}}}, func(t *testing.T, r *rig) {
		if _, err := webhook.NewInspector(r.store, "q", webhook.InspectorConfig{FormerQueues: []string{"q"}}); !errors.Is(err, webhook.ErrInvalidConfig) {
			t.Errorf("a queue that is its own former one: %v", err)
		}
		long := strings.Repeat("x", 150)
		items, err := r.emitter.Items(someChange(long), someChange(long+"y"), someChange(long+"z"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Add(t.Context(), "former", queue.Addition{Items: items}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Add(t.Context(), "alien", queue.Addition{Items: items}); err != nil {
			t.Fatal(err)
		}
		r.emit(someChange(long))
		time.Sleep(time.Minute)
		outside, err := webhook.NewInspector(r.store, r.emitter.Queue(), webhook.InspectorConfig{FormerQueues: []string{"former"}})
		if err != nil {
			t.Fatal(err)
		}
		var dead []queue.Entry
		for _, inspector := range []*webhook.Inspector{outside, r.emitter.Inspector()} {
			if stats, err := inspector.Stats(t.Context(), 10); err != nil || stats.Dead != 4 {
				t.Errorf("%+v, %v", stats, err)
			}
			counts, all, err := inspector.CountReasons(t.Context(), 10)
			if err != nil || !all || len(counts) != 1 || counts[0].Entries != 4 {
				t.Errorf("%+v, %t, %v", counts, all, err)
			}
			for _, newest := range []bool{false, true} {
				var listed []queue.Entry
				for filter := (queue.Filter{States: []queue.State{queue.Dead}, Newest: newest, Limit: 3}); ; {
					page, err := inspector.List(t.Context(), filter)
					if err != nil {
						t.Fatal(err)
					}
					listed = append(listed, page...)
					if len(page) < 3 {
						break
					}
					filter.After = page[2].Seq
					if newest {
						filter.After, filter.Before = 0, page[2].Seq
					}
				}
				if len(listed) != 4 || !slices.IsSortedFunc(listed, func(a, b queue.Entry) int {
					if newest {
						a, b = b, a
					}
					return cmp.Compare(a.Seq, b.Seq)
				}) {
					t.Errorf("listed, newest first %t: %+v", newest, listed)
				}
				dead = listed
			}
			others, err := inspector.Others(t.Context(), 2)
			if err != nil || len(others) != 1 || others[0].Name != "alien" || others[0].Waiting != 2 || others[0].Held {
				t.Errorf("others: %+v, %v", others, err)
			}
		}
		// One of the former queue corrected, one sent again, one given up, and the
		// emitter's own sent again.
		slices.SortFunc(dead, func(a, b queue.Entry) int { return cmp.Compare(a.Key, b.Key) })
		if _, err := outside.Correct(t.Context(), dead[3], someChange("shorter")); err != nil {
			t.Error(err)
		}
		if n, err := outside.Discard(t.Context(), dead[2]); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		for _, e := range dead[:2] {
			if err := outside.Replay(t.Context(), e); err != nil {
				t.Error(err)
			}
			if err := outside.Replay(t.Context(), e); !errors.Is(err, queue.ErrNotDead) {
				t.Errorf("again: %v", err)
			}
		}
		time.Sleep(time.Minute)
		if got := r.server.Changes(); len(got) != 1 || got[0].Flag != "shorter" {
			t.Errorf("Sentry has %+v", got)
		}
		if stats, err := r.emitter.Stats(t.Context()); err != nil || stats.Dead != 2 || stats.Waiting != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}
