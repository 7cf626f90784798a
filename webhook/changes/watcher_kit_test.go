package changes_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// emitter makes items that hold the change as it is, and delivers nothing.
type emitter struct {
	maxFlag int
	queue   string // defaults to "flag-changes"
	former  []string
	mu      sync.Mutex
	wakes   int
}

func (e *emitter) Queue() string { return cmp.Or(e.queue, "flag-changes") }

func (e *emitter) FormerQueues() []string { return e.former }

func (e *emitter) Wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wakes++
}

func (e *emitter) Items(list ...webhook.Change) ([]queue.Item, error) {
	items := make([]queue.Item, len(list))
	for i, change := range list {
		if e.maxFlag > 0 && len(change.Flag) > e.maxFlag {
			return nil, &webhook.ChangeError{Index: i, Field: "Flag", Reason: "is too long"}
		}
		body, err := json.Marshal(change)
		if err != nil {
			return nil, err
		}
		items[i] = queue.Item{ID: change.ItemID, Key: change.Flag, Body: body}
	}
	return items, nil
}

// document is a source that a test edits.
type document struct {
	name  string
	mu    sync.Mutex
	files map[string][]byte
	err   error
	reads int
	hook  func() // before each read
	hangs bool
}

func newDocument(name, content string) *document {
	return &document{name: name, files: map[string][]byte{name: []byte(content)}}
}

func (d *document) Name() string { return d.name }

func (d *document) Read(ctx context.Context) (map[string][]byte, error) {
	d.mu.Lock()
	hook := d.hook
	if d.hangs {
		d.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	d.mu.Unlock()
	if hook != nil {
		hook()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	return maps.Clone(d.files), d.err
}

func (d *document) set(content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files, d.err = map[string][]byte{d.name: []byte(content)}, nil
}

func (d *document) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// hang makes each read last as long as it may.
func (d *document) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hangs = true
}

// store is a queue.Store in memory that counts writes and can be out of order.
type store struct {
	queue.Store
	mu     sync.Mutex
	writes int
	fail   func(call string) error // before a call
	after  func(call string) error // after it took effect
}

func newStore(t testing.TB) *store {
	t.Helper()
	memory, err := queue.NewMemory(queue.MemoryConfig{Capacity: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return &store{Store: memory}
}

func (s *store) ask(f *func(string) error, call string) error {
	s.mu.Lock()
	ask := *f
	s.mu.Unlock()
	if ask == nil {
		return nil
	}
	return ask(call)
}

func (s *store) breakWith(fail, after func(string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.after = fail, after
}

func (s *store) wrote() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *store) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	if err := s.ask(&s.fail, "add"); err != nil {
		return 0, err
	}
	n, err := s.Store.Add(ctx, name, a)
	s.mu.Lock()
	s.writes++
	s.mu.Unlock()
	if err == nil {
		err = s.ask(&s.after, "add")
	}
	return n, err
}

func (s *store) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if err := s.ask(&s.fail, "lease"); err != nil {
		return 0, err
	}
	wait, err := s.Store.Lease(ctx, name, owner, ttl)
	if wait == 0 {
		s.mu.Lock()
		s.writes++
		s.mu.Unlock()
	}
	return wait, err
}

func (s *store) Note(ctx context.Context, name, note string) (queue.Note, error) {
	if err := s.ask(&s.fail, "note"); err != nil {
		return queue.Note{}, err
	}
	return s.Store.Note(ctx, name, note)
}

// emitted returns the changes in the usual queue, in their order.
func (s *store) emitted(t testing.TB) []webhook.Change {
	t.Helper()
	return s.emittedTo(t, "flag-changes")
}

func (s *store) emittedTo(t testing.TB, name string) []webhook.Change {
	t.Helper()
	var all []webhook.Change
	filter := queue.Filter{Limit: queue.MaxList}
	for {
		entries, err := s.List(context.Background(), name, filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			var change webhook.Change
			if err := json.Unmarshal(entry.Body, &change); err != nil {
				t.Fatal(err)
			}
			all = append(all, change)
			filter.After = entry.Seq
		}
		if len(entries) < queue.MaxList {
			return all
		}
	}
}

// pause lets time pass, and everybody finish what they do.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told lists changes as "action flag".
func told(list []webhook.Change) []string {
	said := []string{}
	for _, change := range list {
		said = append(said, string(change.Action)+" "+change.Flag)
	}
	return said
}

// watch starts a watcher that ends with the test.
func watch(t testing.TB, config changes.Config) *changes.Watcher {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Emitter == nil {
		config.Emitter = &emitter{}
	}
	w, err := changes.NewWatcher(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeWatcher(t, w) })
	return w
}

func closeWatcher(t testing.TB, w *changes.Watcher) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Error(err)
	}
}

var errDown = errors.New("down")

// flagd returns a document with these flags, each with a default variant.
func flagd(flags ...string) string {
	document := `{"flags":{`
	for i := 0; i+1 < len(flags); i += 2 {
		if i > 0 {
			document += ","
		}
		document += fmt.Sprintf("%q:{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":%q}", flags[i], flags[i+1])
	}
	return document + "}}"
}
