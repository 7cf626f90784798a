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

	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Two destinations in one store have sources of the same name: neither waits for
// the other.
func TestDestinationsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		var documents []*document
		for _, queue := range []string{"flag-changes:staging", "flag-changes:production"} {
			doc := newDocument("shop.json", flagd("a", "on"))
			watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{queue: queue}})
			documents = append(documents, doc)
		}
		pause(5 * time.Second)
		for _, variant := range []string{"off", "on"} {
			for _, doc := range documents {
				doc.set(flagd("a", variant))
			}
			pause(5 * time.Second)
		}
		for _, queue := range []string{"flag-changes:staging", "flag-changes:production"} {
			if diff := cmp.Diff([]string{"updated a", "updated a"}, told(s.emittedTo(t, queue))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", queue, diff)
			}
		}
	})
}

// The queue is called otherwise, after the organisation was renamed say: what
// changed meanwhile is found nonetheless, once.
func TestRenamedQueueGoesOnFromTheFormerSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{queue: "old"}})
		pause(5 * time.Second)
		closeWatcher(t, w)
		doc.set(flagd("a", "off", "b", "on"))
		renamed := changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{former: []string{"never", "old"}}}
		w = watch(t, renamed)
		pause(5 * time.Second)
		expect(t, s, "updated a", "created b")
		closeWatcher(t, w)
		renamed.Emitter = &emitter{} // the former name is not needed any more
		doc.set(flagd("a", "off"))
		watch(t, renamed)
		pause(3 * time.Minute)
		expect(t, s, "updated a", "created b", "deleted b")
		if diff := cmp.Diff([]string{}, told(s.emittedTo(t, "old"))); diff != "" {
			t.Errorf("the former queue (-want +got):\n%s", diff)
		}
	})
}

// A queue that was renamed and not said to be is a new one: what is passed over
// is said.
func TestRenamedQueueIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, err := queue.NewMemory(queue.MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		doc := newDocument("shop.json", flagd("a", "on"))
		var log bytes.Buffer
		start := func(name string) *changes.Watcher {
			log.Reset()
			w := watch(t, changes.Config{
				Source: doc, Format: changes.Flagd{}, Store: memory, Emitter: &emitter{queue: name}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			pause(5 * time.Second)
			return w
		}
		closeWatcher(t, start("old"))
		closeWatcher(t, start("same")) // nothing is lost
		if strings.Contains(log.String(), "WARN") {
			t.Error(log.String())
		}
		doc.set(flagd("a", "off", "b", "on"))
		closeWatcher(t, start("new"))
		if said := log.String(); !strings.Contains(said, "WARN") || !strings.Contains(said, "other=old differences=2") || !strings.Contains(said, "[a b]") {
			t.Error(said)
		}
		start("new")
		if log.Len() > 0 {
			t.Errorf("it is said again: %s", &log)
		}
	})
}

func TestFormerSnapshotIsGoneOnFromWithoutAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{queue: "old"}})
		pause(5 * time.Second)
		closeWatcher(t, w)
		// EmitBaseline is for who has no snapshot at all.
		w = watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{former: []string{"old"}}, EmitBaseline: true})
		pause(5 * time.Second)
		expect(t, s)
		if stats := w.Stats(); stats.Version != 1 || stats.Pending != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// A process that has to wait for its turn says so, once.
func TestWaitingIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		var log bytes.Buffer
		config := changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		w := watch(t, config)
		pause(5 * time.Second)
		closeWatcher(t, w)
		doc.set(flagd("a", "off", "b", "on"))
		w = watch(t, config)
		pause(30 * time.Second)
		if stats := w.Stats(); stats.Pending != 2 {
			t.Errorf("%+v", stats)
		}
		pause(2 * time.Minute)
		expect(t, s, "updated a", "created b")
		closeWatcher(t, w)
		if strings.Count(log.String(), "differences wait") != 1 || !strings.Contains(log.String(), "pending=2") {
			t.Error(log.String())
		}
	})
}

// What the store keeps from being reported is pending.
func TestPendingWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		pause(5 * time.Second)
		s.breakWith(func(call string) error {
			if call == "lease" { // the first call that writes: the disk is full
				return errDown
			}
			return nil
		}, nil)
		doc.set(flagd("a", "off", "b", "on"))
		pause(5 * time.Second)
		if stats := w.Stats(); stats.Pending != 2 || stats.Problem == nil {
			t.Errorf("%+v", stats)
		}
		s.breakWith(nil, nil)
		pause(time.Minute)
		if stats := w.Stats(); stats.Pending != 0 || stats.Problem != nil {
			t.Errorf("%+v", stats)
		}
		expect(t, s, "updated a", "created b")
	})
}

// What cannot be reported is not logged as if it were.
func TestRefusedIsNotToldAsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc, s := newDocument("shop.json", flagd("a", "on")), newStore(t)
		var log bytes.Buffer
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Emitter: &emitter{maxFlag: 5}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pause(5 * time.Second)
		doc.set(flagd("a", "off", "much-too-long", "on"))
		pause(5 * time.Second)
		expect(t, s, "updated a")
		if strings.Contains(log.String(), "changes: created") || strings.Count(log.String(), "much-too-long") != 1 || !strings.Contains(log.String(), "changes: updated") {
			t.Error(log.String())
		}
		if stats := w.Stats(); stats.Refused != 1 || stats.Changes != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// A source that never answers holds up no end.
func TestCloseLeavesASourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := changes.SourceFunc("shop.json", func(ctx context.Context) (map[string][]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		w := watch(t, changes.Config{Source: source, Format: changes.Flagd{}, Store: newStore(t), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pause(time.Second)
		start := time.Now()
		closeWatcher(t, w)
		if took := time.Since(start); took > 0 || log.Len() > 0 {
			t.Errorf("it took %v\n%s", took, &log)
		}
	})
}
