package changes_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// goff returns a document of GO Feature Flag's with these flags.
func goff(flags ...string) string {
	var all strings.Builder
	for _, flag := range flags {
		fmt.Fprintf(&all, "%s:\n  variations: {A: true, B: false}\n  defaultRule:\n    variation: A\n", flag)
	}
	return all.String()
}

// Whoever writes YAML with pauses makes documents that are whole and lack flags.
func TestHalfWrittenYAMLDeletesNothing(t *testing.T) {
	whole := goff("a", "b", "c", "d")
	for _, pause1 := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			doc, s := newDocument("shop.yaml", whole), newStore(t)
			config := changes.Config{Source: doc, Format: changes.GoFeatureFlag{}, Store: s, Lag: -1}
			w := watch(t, config)
			pause(5 * time.Second)
			for range 2 {
				for end := range len(whole) / 10 {
					doc.set(whole[:10*end])
					pause(pause1 / 4)
				}
				doc.set(whole)
				pause(5 * time.Second)
				expect(t, s)
				// Nor after a restart in the midst of it.
				doc.set(goff("a"))
				closeWatcher(t, w)
				w = watch(t, config)
				pause(pause1)
				doc.set(goff("a", "b"))
				pause(pause1)
				doc.set(whole)
				pause(5 * time.Second)
				expect(t, s)
			}
			if stats := w.Stats(); stats.Pending != 0 || stats.Problem != nil {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// What is really deleted is found soon, whatever else goes on in the document.
func TestDeletionsAreBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		document func(tick int) string
		within   time.Duration
	}{
		"still":   {func(int) string { return goff("a", "c") }, 4 * time.Second},
		"a clock": {func(tick int) string { return fmt.Sprintf("# at %d\n%s", tick, goff("a", "c")) }, 6 * time.Second},
		"restless": {func(tick int) string {
			return goff("a", "c") + strings.ReplaceAll(goff("z"), "variation: A", "variation: "+string(rune('A'+tick%2)))
		}, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			doc, s := newDocument("shop.yaml", goff("a", "b", "c")), newStore(t)
			watch(t, changes.Config{Source: doc, Format: changes.GoFeatureFlag{}, Store: s})
			pause(5 * time.Second)
			for tick := range int(c.within / time.Second) {
				doc.set(c.document(tick))
				pause(time.Second)
			}
			if got := told(s.emitted(t)); len(got) == 0 || got[0] != "deleted b" {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

// In JSON nothing is half-written once it can be read.
func TestDeletionsInJSONAreNotDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on", "b", "on")), newStore(t)
		watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		doc.set(flagd("a", "on"))
		pause(1500 * time.Millisecond)
		expect(t, s, "deleted b")
	})
}

// A file of a folder that is gone for a moment takes nothing with it.
func TestFolderInTheMidstOfBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("a.json", flagd("a", "on")), newStore(t)
		one, two := []byte(flagd("a", "on")), []byte(flagd("b", "on"))
		files := func(all map[string][]byte) {
			doc.mu.Lock()
			defer doc.mu.Unlock()
			doc.files = all
		}
		files(map[string][]byte{"a.json": one, "b.json": two})
		watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		files(map[string][]byte{"a.json": one})
		pause(1500 * time.Millisecond)
		files(map[string][]byte{"a.json": one, "b.json": two})
		pause(5 * time.Second)
		expect(t, s)
		files(map[string][]byte{"b.json": two})
		pause(5 * time.Second)
		expect(t, s, "deleted a")
	})
}

// A source that heeds no context is said to hang, and found to be back.
func TestSourceThatHangsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s, back := newDocument("shop.json", flagd("a", "on")), newStore(t), make(chan struct{})
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		doc.mu.Lock()
		doc.hook = func() { <-back }
		doc.mu.Unlock()
		pause(2 * time.Minute)
		if stats := w.Stats(); stats.Problem == nil || !strings.Contains(stats.Problem.Error(), "does not come back") {
			t.Errorf("%+v", stats)
		}
		close(back)
		doc.set(flagd("a", "off"))
		pause(5 * time.Second)
		if stats := w.Stats(); stats.Problem != nil {
			t.Errorf("%v remains", stats.Problem)
		}
		expect(t, s, "updated a")
	})
}

// Whose fault a panic is can be told from the log.
func TestPanicsAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		doc.mu.Lock()
		doc.hook = func() { _ = make([]string, 0)[len(doc.name)] }
		doc.mu.Unlock()
		pause(5 * time.Second)
		if stats := w.Stats(); stats.Problem == nil || !strings.Contains(stats.Problem.Error(), "the source panicked: runtime error: index out of range [9] with length 0") {
			t.Errorf("%v", stats.Problem)
		}
		s.breakWith(func(string) error { panic("secret") }, nil)
		doc.mu.Lock()
		doc.hook = nil
		doc.mu.Unlock()
		pause(5 * time.Second)
		if stats := w.Stats(); stats.Problem == nil || !strings.Contains(stats.Problem.Error(), "the store or the emitter panicked with a string") {
			t.Errorf("%v", stats.Problem)
		}
	})
}

// A flag that is copied to another document before it leaves the first, and a
// copy that somebody keeps beside it, change nothing.
func TestIdenticalDefinitionsAreOne(t *testing.T) {
	files := func(contents ...string) changes.Snapshot {
		t.Helper()
		documents := map[string][]byte{}
		for i, content := range contents {
			documents[fmt.Sprintf("%d.json", i)] = []byte(content)
		}
		source := changes.SourceFunc("flags", func(context.Context) (map[string][]byte, error) { return documents, nil })
		d, err := changes.Read(t.Context(), source, changes.Flagd{})
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := d.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return snapshot
	}
	part := func(value string) string {
		return `{"flags":{"a":{"targeting":{"$ref":"who"}}},"$evaluators":{"who":{"==":[` + value + `,1]}}}`
	}
	off := strings.ReplaceAll(part("1"), `{"targeting"`, `{"state":"DISABLED","targeting"`)
	one := files(part("1"))
	for name, c := range map[string]struct {
		after changes.Snapshot
		want  int
	}{
		"twice":                 {files(part("1"), part("1")), 0},
		"three times":           {files(part("1"), part("1"), part("1")), 0},
		"with another referent": {files(part("1"), part("2")), 1},
		"and off":               {files(part("1"), off), 1},
	} {
		if edits := changes.Diff(one, c.after); len(edits) != c.want {
			t.Errorf("%s: %v", name, edits)
		}
	}
	if edits := changes.Diff(files(part("1"), part("2")), files(part("1"), part("2"), part("1"))); len(edits) != 0 {
		t.Errorf("beside another: %v", edits)
	}
}
