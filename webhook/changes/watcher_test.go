package changes_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func expect(t testing.TB, s *store, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, told(s.emitted(t))); diff != "" {
		t.Errorf("the changes (-want +got):\n%s", diff)
	}
}

func TestWatcherReportsWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on", "b", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(10 * time.Second)
		expect(t, s)
		start := time.Now()
		doc.set(flagd("a", "off", "c", "on"))
		pause(3 * time.Second)
		expect(t, s, "updated a", "deleted b", "created c")
		ids := map[int64]bool{}
		for _, change := range s.emitted(t) {
			ids[change.ChangeID] = true
			if change.ChangeID <= 0 || change.CreatedBy != (webhook.Author{ID: "flagd:shop.json", Type: webhook.AuthorName}) {
				t.Errorf("%+v", change)
			}
			if at := change.CreatedAt.Sub(start); at < 0 || at > 1500*time.Millisecond {
				t.Errorf("dated %v after the edit", at)
			}
		}
		if len(ids) != 3 {
			t.Errorf("%d ids", len(ids))
		}
		// There and back and there again are changes of their own.
		for _, variant := range []string{"on", "off", "on"} {
			doc.set(flagd("a", variant, "c", "on"))
			pause(3 * time.Second)
		}
		all := s.emitted(t)
		if len(all) != 6 || all[3].ChangeID == all[5].ChangeID || all[3].ItemID == all[5].ItemID {
			t.Errorf("%+v", all)
		}
		if stats := w.Stats(); stats.Changes != 6 || stats.Flags != 2 || stats.Problem != nil || stats.Version != 5 || stats.Pending != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestWatcherFindsWhatChangedWhileItWasDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		doc.set(flagd("a", "off"))
		pause(5 * time.Second)
		closeWatcher(t, w)
		doc.set(flagd("a", "off", "b", "on"))
		pause(time.Hour)
		for range 2 {
			w = watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
			pause(5 * time.Minute)
			closeWatcher(t, w)
			expect(t, s, "updated a", "created b")
		}
	})
}

func TestWatcherKeepsTheLastGoodSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := flagd("a", "on", "b", "on")
		doc, s := newDocument("shop.json", good), newStore(t)
		var log bytes.Buffer
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pause(5 * time.Second)
		for name, spoil := range map[string]struct {
			do   func()
			loud bool
		}{
			"broken":      {func() { doc.set(good[:len(good)/2]) }, false},
			"empty":       {func() { doc.set("") }, true},
			"zero bytes":  {func() { doc.set("\x00\x00\x00") }, true},
			"vanished":    {func() { doc.fail(changes.ErrVanished) }, true},
			"unreadable":  {func() { doc.fail(errDown) }, false},
			"no flags":    {func() { doc.set(`{}`) }, false},
			"null":        {func() { doc.set(`{"flags":null}`) }, false},
			"other":       {func() { doc.set(`{"message":"try again later"}`) }, false},
			"wrong type":  {func() { doc.set(`{"flags":{"a":{"state":1}}}`) }, false},
			"twice":       {func() { doc.set(`{"flags":{"a":{},"a":{}}}`) }, false},
			"too large":   {func() { doc.set(`{"flags":{}}` + strings.Repeat(" ", changes.DefaultLimit)) }, false},
			"nested":      {func() { doc.set(`{"flags":{"a":` + strings.Repeat("[", 100_000)) }, false},
			"no document": {func() { doc.mu.Lock(); doc.files = nil; doc.mu.Unlock() }, true},
		} {
			log.Reset()
			spoil.do()
			pause(time.Minute)
			if stats := w.Stats(); stats.Problem == nil || stats.Flags != 2 || stats.Since.IsZero() {
				t.Errorf("%s: %+v", name, stats)
			}
			if lines := strings.Count(log.String(), "\n"); lines != 1 {
				t.Errorf("%s: said in %d lines:\n%s", name, lines, log.String())
			}
			if loud := strings.Contains(log.String(), "flagd serves no flags"); loud != spoil.loud || !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("%s: %s", name, log.String())
			}
			doc.set(good)
			pause(5 * time.Second)
			if stats := w.Stats(); stats.Problem != nil {
				t.Errorf("%s: %v remains", name, stats.Problem)
			}
			expect(t, s)
		}
		doc.set(`{"flags":{}}`) // says that there are none
		pause(5 * time.Second)
		expect(t, s, "deleted a", "deleted b")
	})
}

func TestWatcherGathersBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on", "b", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		// A file that is there again before anybody minds.
		doc.fail(changes.ErrVanished)
		w.Look()
		pause(20 * time.Millisecond)
		doc.set(flagd("a", "on")) // half of it
		w.Look()
		pause(100 * time.Millisecond)
		doc.set(flagd("a", "off", "b", "on"))
		w.Look()
		pause(600 * time.Millisecond)
		expect(t, s, "updated a")
		if stats := w.Stats(); stats.Problem != nil {
			t.Error(stats.Problem)
		}
		// One that never settles is believed at last.
		for i := range 60 {
			doc.set(flagd("a", "off", "b", "on") + strings.Repeat(" ", i))
			if i == 0 {
				doc.set(flagd("a", "on", "b", "on"))
			}
			doc.set(flagd("a", "on", "b", "on") + strings.Repeat(" ", i))
			pause(100 * time.Millisecond)
		}
		expect(t, s, "updated a", "updated a")
	})
}

func TestWatcherLooksWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Interval: time.Hour})
		pause(5 * time.Second)
		doc.set(flagd("a", "off"))
		pause(time.Minute)
		expect(t, s)
		for range 20_000 {
			w.Look()
		}
		pause(time.Second)
		expect(t, s, "updated a")
		if doc.reads > 10 {
			t.Errorf("%d reads", doc.reads)
		}
	})
}

func TestIdleWatcherWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(10 * time.Second)
		before := s.wrote()
		pause(time.Minute)
		looks := w.Stats().Looks
		pause(time.Hour)
		if s.wrote() != before {
			t.Errorf("%d writes", s.wrote()-before)
		}
		if w.Stats().Looks < looks+3000 {
			t.Error("it does not look")
		}
	})
}

func TestWatcherSurvivesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		always := func(string) error { return errDown }
		for i, broken := range []struct{ fail, after func(string) error }{
			{always, nil},
			{nil, always}, // it took effect, and nobody heard
			{func(string) error { panic("the driver") }, nil},
		} {
			s.breakWith(broken.fail, broken.after)
			start := time.Now()
			doc.set(flagd("a", "on", "b", []string{"on", "off"}[i%2]))
			pause(time.Minute)
			if heard := i != 1; (w.Stats().Problem != nil) != heard {
				t.Errorf("%d: %v", i, w.Stats().Problem)
			}
			s.breakWith(nil, nil)
			pause(time.Minute)
			all := s.emitted(t)
			if len(all) != i+1 || all[i].CreatedAt.Sub(start) > 2*time.Second {
				t.Errorf("%d: %+v", i, all)
			}
			if err := w.Stats().Problem; err != nil {
				t.Error(err)
			}
		}
		expect(t, s, "created b", "updated b", "updated b")
	})
}

func TestWatcherLeavesOutWhatSentryRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		var log bytes.Buffer
		w := watch(t, changes.Config{
			Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{maxFlag: 10},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		pause(5 * time.Second)
		doc.set(flagd("a", "off", "a-name-that-is-too-long", "on", "z", "on"))
		pause(5 * time.Minute)
		expect(t, s, "updated a", "created z")
		if stats := w.Stats(); stats.Refused != 1 || stats.Changes != 2 || strings.Count(log.String(), "cannot be reported") != 1 {
			t.Errorf("%+v\n%s", stats, &log)
		}
	})
}

func TestWatcherNamesItsAuthor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on", "b", "on")), newStore(t)
		ada := webhook.Author{ID: "ada@example.com", Type: webhook.AuthorEmail}
		var heard []changes.Edit
		watch(t, changes.Config{
			Source: doc, Format: changes.Flagd{}, Store: s, Name: strings.Repeat("é", 75),
			Author: func(_ context.Context, edit changes.Edit) webhook.Author {
				heard = append(heard, edit)
				if edit.Flag == "a" {
					return ada
				}
				panic("nobody is there")
			},
		})
		pause(5 * time.Second)
		doc.set(flagd("a", "off", "b", "off"))
		pause(5 * time.Second)
		all := s.emitted(t)
		if len(all) != 2 || all[0].CreatedBy != ada || all[1].CreatedBy != (webhook.Author{ID: strings.Repeat("é", 75), Type: webhook.AuthorName}) {
			t.Errorf("%+v", all)
		}
		want := []changes.Field{{Path: "defaultVariant", Old: `"on"`, New: `"off"`}}
		if len(heard) != 2 || cmp.Diff(want, heard[0].Fields) != "" {
			t.Errorf("%+v", heard)
		}
	})
}

// ruled is a format whose rules a test changes.
type ruled struct {
	changes.Flagd
	rules string
}

func (r ruled) Rules() string { return r.rules }

func TestOtherRulesAreANewBaseline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		var log bytes.Buffer
		config := changes.Config{Source: doc, Format: ruled{rules: "1"}, Store: s, Name: "shop", Logger: slog.New(slog.NewTextHandler(&log, nil))}
		w := watch(t, config)
		pause(5 * time.Second)
		closeWatcher(t, w)
		doc.set(flagd("a", "off", "b", "on"))
		config.Format = ruled{rules: "2"}
		watch(t, config)
		pause(5 * time.Minute)
		expect(t, s)
		if n := strings.Count(log.String(), "counted anew"); n != 1 {
			t.Errorf("said %d times", n)
		}
		doc.set(flagd("a", "on", "b", "on"))
		pause(5 * time.Second)
		expect(t, s, "updated a")
	})
}

func TestBaselineCanBeReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("b", "on", "a", "on")), newStore(t)
		for range 2 {
			w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, EmitBaseline: true})
			pause(5 * time.Minute)
			closeWatcher(t, w)
		}
		expect(t, s, "created a", "created b")
	})
}

// One process reports; another one, whose copy is older, believes its own only
// when nothing was reported for as long as copies may lag.
func TestReplicasWithLaggingCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		one, two := newDocument("shop.json", flagd("a", "on")), newDocument("shop.json", flagd("a", "on"))
		first := watch(t, changes.Config{Source: one, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Minute)
		second := watch(t, changes.Config{Source: two, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Minute)
		one.set(flagd("a", "off"))
		pause(time.Minute)
		expect(t, s, "updated a")
		if second.Stats().Changes != 0 {
			t.Error("the one with the old copy has reported")
		}
		two.set(flagd("a", "off"))
		pause(5 * time.Minute)
		expect(t, s, "updated a")

		// The first dies; the other one sees the next edit, and takes over.
		closeWatcher(t, first)
		two.set(flagd("a", "on"))
		pause(5 * time.Second)
		expect(t, s, "updated a", "updated a")
		// A new process with an old copy waits.
		watch(t, changes.Config{Source: one, Format: changes.Flagd{}, Store: s})
		pause(time.Minute)
		one.set(flagd("a", "on"))
		pause(10 * time.Minute)
		expect(t, s, "updated a", "updated a")
	})
}

// A process that was frozen between its look and its report reports nothing old.
func TestFrozenProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		doc := newDocument("shop.json", flagd("a", "on"))
		watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Minute)
		// The first call of the store after the edit takes ten minutes.
		frozen := false
		s.breakWith(func(call string) error {
			if call == "lease" && !frozen {
				frozen = true
				doc.set(flagd("a", "on", "b", "on")) // meanwhile
				time.Sleep(10 * time.Minute)
			}
			return nil
		}, nil)
		doc.set(flagd("a", "off"))
		pause(20 * time.Minute)
		expect(t, s, "created b")
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := changes.Config{Source: newDocument("x.json", ""), Format: changes.Flagd{}, Store: newStore(t), Emitter: &emitter{}}
	for field, spoil := range map[string]func(*changes.Config){
		"Source":  func(c *changes.Config) { c.Source = nil },
		"Format":  func(c *changes.Config) { c.Format = nil },
		"Store":   func(c *changes.Config) { c.Store = nil },
		"Emitter": func(c *changes.Config) { c.Emitter = nil },
		// What an optional part leaves that is not there.
		"Source must":  func(c *changes.Config) { c.Source = (*changes.File)(nil) },
		"Format must":  func(c *changes.Config) { c.Format = (*changes.Flagd)(nil) },
		"Store must":   func(c *changes.Config) { c.Store = (*queue.Memory)(nil) },
		"Emitter must": func(c *changes.Config) { c.Emitter = (*webhook.Emitter)(nil) },

		"Interval":   func(c *changes.Config) { c.Interval = -1 },
		"Gather":     func(c *changes.Config) { c.Gather = -1 },
		"Timeout":    func(c *changes.Config) { c.Timeout = -1 },
		"Limit":      func(c *changes.Config) { c.Limit = -1 },
		"Lag":        func(c *changes.Config) { c.Lag = -2 },
		"Name":       func(c *changes.Config) { c.Name = strings.Repeat("x", 151) },
		"begins":     func(c *changes.Config) { c.Format = changes.Keyed("flags", "") },
		"Keyed":      func(c *changes.Config) { c.Format = changes.KeyedFormat{} },
		"Path must":  func(c *changes.Config) { c.Source = &changes.File{} },
		"Path":       func(c *changes.Config) { c.Source = &changes.Folder{} },
		"NewURL":     func(c *changes.Config) { c.Source = &changes.URL{} },
		"SourceFunc": func(c *changes.Config) { c.Source = changes.SourceFunc("x", nil) },
	} {
		config := good
		spoil(&config)
		if _, err := changes.NewWatcher(config); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
