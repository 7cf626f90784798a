package changes_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// model is what a document should say: flags, and how often each was edited.
type model map[string]int

// writers write a model as a document, each time in another order and layout.
var writers = []struct {
	name   string
	format changes.Format
	write  func(r *rand.Rand, m model) string
}{
	{"flags.json", changes.Flagd{}, func(r *rand.Rand, m model) string {
		return `{"flags":{` + joined(r, m, ",", func(flag string, n int) string {
			return fmt.Sprintf(`"%s": %*s{"variants":{"v":%d},"defaultVariant":"v","metadata":{"n":%d}}`, flag, r.IntN(3), "", n, r.IntN(100))
		}) + `}}`
	}},
	{"flags.yaml", changes.GoFeatureFlag{}, func(r *rand.Rand, m model) string {
		if len(m) == 0 {
			return "{}\n"
		}
		return joined(r, m, "", func(flag string, n int) string {
			return fmt.Sprintf("%s: # %d\n  variations: {v: %d}\n  defaultRule: {variation: v}\n  version: '%d'\n", flag, r.IntN(100), n, r.IntN(100))
		})
	}},
	{"features.json", changes.Keyed("/features", "name", "seen"), func(r *rand.Rand, m model) string {
		return `{"features":[` + joined(r, m, ",\n", func(flag string, n int) string {
			return fmt.Sprintf(`{"seen":%d,"name":"%s","n":%d}`, r.IntN(100), flag, n)
		}) + `]}`
	}},
}

func joined(r *rand.Rand, m model, separator string, each func(flag string, n int) string) string {
	var parts []string
	flags := slices.Sorted(maps.Keys(m))
	for _, i := range r.Perm(len(m)) {
		flag := flags[i]
		parts = append(parts, each(flag, m[flag]))
	}
	return strings.Join(parts, separator)
}

// edit changes up to three flags.
func (m model) edit(r *rand.Rand) model {
	edited := maps.Clone(m)
	for range 1 + r.IntN(3) {
		flag := fmt.Sprintf("flag-%d", r.IntN(8))
		if _, there := edited[flag]; there && r.IntN(3) == 0 {
			delete(edited, flag)
		} else {
			edited[flag] = r.IntN(1000)
		}
	}
	return edited
}

// to lists what lies between two models, as "action flag".
func (m model) to(later model) []string {
	list := []string{}
	for i := range 8 {
		flag := fmt.Sprintf("flag-%d", i)
		was, before := m[flag]
		is, there := later[flag]
		switch {
		case before && !there:
			list = append(list, "deleted "+flag)
		case !before && there:
			list = append(list, "created "+flag)
		case before && was != is:
			list = append(list, "updated "+flag)
		}
	}
	return list
}

// place is where a document lies, as people, editors and Kubernetes put it.
type place struct {
	t    *testing.T
	path string // what is watched
	n    int
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// put replaces the document in one of their ways.
func (p *place) put(r *rand.Rand, content string) {
	p.n++
	folder := filepath.Dir(p.path)
	switch r.IntN(4) {
	case 0: // in place, in two steps
		p.must(p.unlink())
		p.must(os.WriteFile(p.path, []byte(content[:len(content)/2]), 0o600))
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		p.must(os.WriteFile(p.path, []byte(content), 0o600))
	case 1: // an editor: a new file, renamed
		temporary := filepath.Join(folder, ".swap")
		p.must(os.WriteFile(temporary, []byte(content), 0o600))
		p.must(os.Rename(temporary, p.path))
	case 2: // an editor: away, and there again
		_ = os.Remove(p.path)
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		p.must(os.WriteFile(p.path, []byte(content), 0o600))
	case 3: // Kubernetes: a link to a link to a folder, which is replaced
		version := filepath.Join(folder, fmt.Sprintf("..version-%d", p.n))
		p.must(os.Mkdir(version, 0o700))
		p.must(os.WriteFile(filepath.Join(version, "document"), []byte(content), 0o600))
		p.must(os.Symlink(filepath.Base(version), filepath.Join(folder, "..data_tmp")))
		p.must(os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
		p.must(p.unlinkFile())
		if _, err := os.Lstat(p.path); err != nil {
			p.must(os.Symlink(filepath.Join("..data", "document"), p.path))
		}
	}
}

// unlink makes the path no link, so that what is written goes nowhere else.
func (p *place) unlink() error {
	if info, err := os.Lstat(p.path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return nil
	}
	return os.Remove(p.path)
}

func (p *place) unlinkFile() error {
	if info, err := os.Lstat(p.path); err != nil || info.Mode()&os.ModeSymlink != 0 {
		return nil
	}
	return os.Remove(p.path)
}

// spoil leaves something there that is no document, for a while.
func (p *place) spoil(r *rand.Rand, content string) {
	p.must(p.unlink())
	switch r.IntN(4) {
	case 0:
		_ = os.Remove(p.path)
	case 1:
		p.must(os.WriteFile(p.path, nil, 0o600))
	case 2:
		p.must(os.WriteFile(p.path, []byte("{\"half\": ["+content[:len(content)/3]), 0o600))
	case 3:
		p.must(os.WriteFile(p.path, make([]byte, len(content)), 0o600))
	}
}

// histories is how many edit histories are played.
const histories = 1000

// TestHistories plays edits with restarts, kills and broken documents between:
// what is emitted is what lies between the states in which things were quiet.
func TestHistories(t *testing.T) {
	n := histories
	if testing.Short() || raceEnabled {
		n = 30
	}
	total := 0
	for seed := range n {
		w := writers[seed%len(writers)]
		path := filepath.Join(t.TempDir(), w.name)
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			h := history{t: t, r: r, store: newStore(t), place: &place{t: t, path: path}, now: model{"flag-0": 1, "flag-1": 1}}
			h.config = changes.Config{Source: &changes.File{Path: path}, Format: w.format, Store: h.store, Lag: 5 * time.Second, Interval: 2 * time.Second}
			h.place.put(r, w.write(r, h.now))
			h.watcher = watch(t, h.config)
			h.quiet()
			for range 4 + r.IntN(6) {
				next := h.now.edit(r)
				h.disturb(func() { h.place.put(r, w.write(r, next)) }, w.write(r, next))
				h.quiet()
				h.expect(next)
				h.now = next
			}
			h.watcher = restart(t, h.watcher, h.config)
			h.quiet()
			h.expect(h.now)
			total += h.seen
		})
		if t.Failed() {
			t.Fatalf("history %d, %s", seed, w.name)
		}
	}
	t.Logf("%d histories, %d changes, none missing, none twice", n, total)
}

type history struct {
	t       *testing.T
	r       *rand.Rand
	store   *store
	place   *place
	config  changes.Config
	watcher *changes.Watcher
	now     model
	seen    int
}

// quiet is long enough for a lease to end and a document to be believed.
func (h *history) quiet() { pause(12 * time.Second) }

func (h *history) expect(next model) {
	h.t.Helper()
	all := told(h.store.emitted(h.t))
	if diff := cmp.Diff(h.now.to(next), all[h.seen:]); diff != "" {
		h.t.Errorf("-want +got:\n%s", diff)
	}
	h.seen = len(all)
}

func restart(t *testing.T, w *changes.Watcher, config changes.Config) *changes.Watcher {
	closeWatcher(t, w)
	return watch(t, config)
}

// disturb makes an edit, with something going wrong before, around or after it.
func (h *history) disturb(edit func(), content string) {
	switch h.r.IntN(6) {
	case 0:
		edit()
	case 1: // the process is down meanwhile
		closeWatcher(h.t, h.watcher)
		pause(time.Minute)
		edit()
		h.watcher = watch(h.t, h.config)
	case 2: // something else is there for a while
		h.place.spoil(h.r, content)
		pause(time.Duration(h.r.IntN(10_000)) * time.Millisecond)
		edit()
	case 3: // a restart while something else is there
		h.place.spoil(h.r, content)
		h.watcher = restart(h.t, h.watcher, h.config)
		pause(5 * time.Second)
		edit()
	case 4: // killed, at any call of the store
		h.kill(edit)
	case 5: // the store is gone for a while
		h.store.breakWith(func(string) error { return errDown }, nil)
		edit()
		pause(10 * time.Second)
		h.store.breakWith(nil, nil)
		pause(30 * time.Second)
	}
}

// kill lets the process do no more from some call of the store on: before it
// took effect, or after.
func (h *history) kill(edit func()) {
	left, before := h.r.IntN(4), h.r.IntN(2) == 0
	dead := false
	strike := func(mine bool) func(string) error {
		return func(string) error {
			if left--; left <= 0 && mine {
				dead = true
			}
			if dead {
				return errDown
			}
			return nil
		}
	}
	h.store.breakWith(strike(before), strike(true))
	edit()
	pause(time.Duration(500+h.r.IntN(6000)) * time.Millisecond)
	closeWatcher(h.t, h.watcher)
	h.store.breakWith(nil, nil)
	h.watcher = watch(h.t, h.config)
}

// TestProviderEvents makes Look of 20,000 events that come in bursts and of
// which a fifth is lost.
func TestProviderEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		now := model{"flag-0": 1}
		doc, s := newDocument("flags.json", writers[0].write(r, now)), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s, Interval: time.Hour})
		pause(5 * time.Second)
		seen, events, lost := 0, 0, 0
		for range 200 {
			next := now
			for range 100 {
				next = next.edit(r)
				doc.set(writers[0].write(r, next))
				events++
				if r.IntN(5) == 0 {
					lost++
					continue
				}
				w.Look()
			}
			w.Look()
			pause(2 * time.Second)
			all := told(s.emitted(t))
			if diff := cmp.Diff(now.to(next), all[seen:]); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			seen, now = len(all), next
		}
		t.Logf("%d events, %d lost, %d changes", events, lost, seen)
	})
}

// lagging is a replica's copy of a document, which is behind by some time and
// never goes back.
type lagging struct {
	world *world
	lag   time.Duration
	until time.Time
}

// world is the document itself, over time.
type world struct {
	mu       sync.Mutex
	at       []time.Time
	contents []string
}

func (l *lagging) content() []byte {
	if t := time.Now().Add(-l.lag); t.After(l.until) {
		l.until = t
	}
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	i := len(l.world.at) - 1
	for i > 0 && l.world.at[i].After(l.until) {
		i--
	}
	return []byte(l.world.contents[i])
}

// TestReplicas lets three processes watch copies that lag behind by up to a
// minute, with kills between. Most flags are edited once, so that each change has
// to come once, whatever it was merged with. One flag is edited each time, and
// each edit moves a step on: to go back a step would create one again.
func TestReplicas(t *testing.T) {
	n := 20
	switch {
	case testing.Short() || raceEnabled:
		n = 2
	case os.Getenv("SENTRYFLAGS_TEST_CRASH") == "full":
		n = 60
	}
	total := 0
	for seed := range n {
		synctest.Test(t, func(t *testing.T) { total += replicas(t, rand.New(rand.NewPCG(uint64(seed), 3))) })
		if t.Failed() {
			t.Fatalf("history %d", seed)
		}
	}
	t.Logf("%d histories, %d changes, each once", n, total)
}

func replicas(t *testing.T, r *rand.Rand) int {
	const edits = 30
	m := model{"again": -1}
	for i := range edits {
		m[fmt.Sprintf("edit-%d", i)], m[fmt.Sprintf("drop-%d", i)] = 1, 1
	}
	w := &world{at: []time.Time{time.Now()}, contents: []string{writers[0].write(r, m)}}
	s := newStore(t)
	var running [3]*changes.Watcher
	start := func(i int, lag time.Duration) {
		copied := &lagging{world: w, lag: lag, until: w.at[0]}
		source := &document{name: "flags.json"}
		source.hook = func() {
			content := copied.content()
			source.mu.Lock()
			defer source.mu.Unlock()
			source.files = map[string][]byte{"flags.json": content}
		}
		running[i] = watch(t, changes.Config{Source: source, Format: changes.Flagd{}, Store: s})
	}
	randomLag := func() time.Duration { return time.Duration(r.IntN(60_001)) * time.Millisecond }
	for i := range running {
		start(i, randomLag())
	}
	pause(5 * time.Minute)
	want := []string{}
	for i := range edits {
		switch r.IntN(3) {
		case 0:
			m[fmt.Sprintf("edit-%d", i)]++
			want = append(want, fmt.Sprintf("updated edit-%d", i))
		case 1:
			delete(m, fmt.Sprintf("drop-%d", i))
			want = append(want, fmt.Sprintf("deleted drop-%d", i))
		case 2:
			m[fmt.Sprintf("new-%d", i)] = 1
			want = append(want, fmt.Sprintf("created new-%d", i))
		}
		m["again"] = i
		delete(m, fmt.Sprintf("step-%d", i-1))
		m[fmt.Sprintf("step-%d", i)] = 1
		w.mu.Lock()
		w.at, w.contents = append(w.at, time.Now()), append(w.contents, writers[0].write(r, m))
		w.mu.Unlock()
		pause(time.Duration(r.IntN(100_000)) * time.Millisecond)
		if r.IntN(3) > 0 {
			continue
		}
		victim := r.IntN(3)
		s.breakWith(nil, func(string) error { return errDown }) // it dies not knowing
		closeWatcher(t, running[victim])
		s.breakWith(nil, nil)
		pause(time.Duration(r.IntN(60_000)) * time.Millisecond)
		start(victim, randomLag())
	}
	pause(15 * time.Minute)
	steps, got := []string{}, []string{}
	for _, one := range told(s.emitted(t)) {
		if strings.Contains(one, " step-") || strings.HasSuffix(one, " again") {
			steps = append(steps, one)
		} else {
			got = append(got, one)
		}
	}
	noStepBack(t, steps, edits)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	return len(got) + len(steps)
}

// noStepBack expects that steps were made in one direction only, to the last, and
// that the flag that was edited each time did not change more often.
func noStepBack(t *testing.T, steps []string, edits int) {
	t.Helper()
	there, again, last := map[string]bool{}, 0, fmt.Sprintf("step-%d", edits-1)
	made := map[string]bool{}
	for _, one := range steps {
		action, flag, _ := strings.Cut(one, " ")
		switch {
		case flag == "again":
			again++
		case made[one] || action == "created" == there[flag]:
			t.Errorf("a step back: %s, in %q", one, steps)
			return
		default:
			made[one], there[flag] = true, action == "created"
		}
	}
	maps.DeleteFunc(there, func(_ string, there bool) bool { return !there })
	if again == 0 || again > edits || len(there) != 1 || !there[last] {
		t.Errorf("%d changes of one flag in %d edits; %v is there, not only %s", again, edits, there, last)
	}
}
