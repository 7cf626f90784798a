package receive_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

// document is a source that a test edits.
type document struct {
	mu      sync.Mutex
	content string
	reads   int
}

func (d *document) Name() string { return "features" }

func (d *document) Read(context.Context) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	return map[string][]byte{"features": []byte(d.content)}, nil
}

// set makes the document say what the flags are.
func (d *document) set(a, b int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.content = fmt.Sprintf(`{"features":{"a":{"v":%d},"b":{"v":%d}}}`, a, b)
}

func watcher(t testing.TB, d *document, s *store, interval time.Duration) *changes.Watcher {
	t.Helper()
	w, err := changes.NewWatcher(changes.Config{
		Source: d, Format: changes.Keyed("/features", "").Called("growthbook"), Store: s, Emitter: emitter{},
		AuthorWait: 15 * time.Second, Lag: 20 * time.Second, Interval: interval, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = w.Close(ctx)
	})
	return w
}

// TestAny: a webhook that says nothing makes the watcher look, one that says who
// signs what is found.
func TestAny(t *testing.T) {
	for name, c := range map[string]struct {
		product receive.Any
		body    string
		want    string
	}{
		"VWO, which names nobody":     {receive.Any{Header: "x-secret"}, `{"event":"settings_changed","triggered_by":"vwo"}`, "updated a by name growthbook:features"},
		"no JSON":                     {receive.Any{Header: "x-secret", Author: "/by"}, "by=ada", "updated a by name growthbook:features"},
		"no body":                     {receive.Any{Header: "x-secret", Author: "/by"}, "", "updated a by name growthbook:features"},
		"an address":                  {receive.Any{Header: "x-secret", Author: "/by"}, `{"by":"ada@example.com"}`, "updated a by email ada@example.com"},
		"a name and an address":       {receive.Any{Header: "x-secret", Author: "/by"}, `{"by":"Ada <ada@example.com>"}`, "updated a by email ada@example.com"},
		"ConfigCat's ##ChangedBy##":   {receive.Any{Header: "x-secret", Author: "/by", Flags: "/changes/*/settingKey"}, `{"by":"Ada (ada at example.com)","changes":[{"settingKey":"b"},{"settingKey":"a","event":"changed"}]}`, "updated a by name Ada (ada at example.com)"},
		"of another flag":             {receive.Any{Header: "x-secret", Author: "/by", Flags: "/flags"}, `{"by":"ada@example.com","flags":["b"]}`, "updated a by name growthbook:features"},
		"of this flag":                {receive.Any{Header: "x-secret", Author: "/a~1b/0", Flags: "/flag"}, `{"a/b":{"0":"ada@example.com"},"flag":"a"}`, "updated a by email ada@example.com"},
		"somebody who is no text":     {receive.Any{Header: "x-secret", Author: "/by"}, `{"by":{"id":1}}`, "updated a by name growthbook:features"},
		"flags that are not there":    {receive.Any{Header: "x-secret", Author: "/by", Flags: "/flags/*"}, `{"by":"ada@example.com"}`, "updated a by name growthbook:features"},
		"a flag with a very long key": {receive.Any{Header: "x-secret", Author: "/by", Flags: "/flags/*"}, `{"by":"ada@example.com","flags":["` + strings.Repeat("x", 5000) + `"]}`, "updated a by name growthbook:features"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := &document{}, newStore(t)
				d.set(1, 1)
				w := watcher(t, d, s, time.Hour)
				time.Sleep(time.Second)
				w.Look() // the baseline, which has to settle
				r := newReceiver(t, receive.Config{Product: c.product, Watchers: []*changes.Watcher{w}})
				time.Sleep(time.Minute)
				d.set(2, 1)
				send(t, r, "webhook", c.body)
				time.Sleep(30 * time.Second)
				if got := strings.Join(told(emitted(t, s)), "; "); got != c.want {
					t.Error(got)
				}
				reads := d.reads
				if status, _ := serve(r, request("webhook", "a-wrong-secret", c.body)); status != http.StatusUnauthorized {
					t.Error(status)
				}
				time.Sleep(time.Second)
				if d.reads != reads {
					t.Error("a stranger made it look")
				}
			})
		})
	}
}

// TestProductWhoseClockIsAhead: its webhooks date a change after it was found, and
// sign that one all the same, and not the flag's next.
func TestProductWhoseClockIsAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, 500 * time.Millisecond, 3 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			d, s := &document{}, newStore(t)
			d.set(0, 0)
			w := watcher(t, d, s, time.Second)
			r := newReceiver(t, receive.Config{Product: receive.GrowthBook{}, Watchers: []*changes.Watcher{w}})
			time.Sleep(40 * time.Second)
			var want []string
			for i, author := range []string{"ada@example.com", "bob@example.com", "carol@example.com"} {
				d.set(i+1, 0)
				body := growthBook("updated", "a", author, i, time.Now().Add(ahead))
				time.Sleep(2 * time.Second)
				send(t, r, "growthbook", body)
				time.Sleep(40 * time.Second)
				want = append(want, "updated a by email "+author)
			}
			if got := told(emitted(t, s)); !slices.Equal(got, want) {
				t.Errorf("%v: %q", ahead, got)
			}
		})
	}
}

// TestWebhookThatNamesNobody: an edit by an API key is not signed by who edited
// the flag before, without any difference, and does not wait for an author.
func TestWebhookThatNamesNobody(t *testing.T) {
	for name, bodyOf := range map[string]func(email string, n int) string{
		"growthbook": func(email string, n int) string {
			body := growthBook("updated", "a", email, n, time.Now())
			if email == "" {
				body = strings.Replace(body, `"type":"dashboard","id":"u"`, `"type":"api_key","apiKey":"k"`, 1)
			}
			return body
		},
		"flipt": func(email string, n int) string { return flipt("updated", "a", email, n, time.Now()) },
	} {
		for _, delay := range []time.Duration{0, 3 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				d, s := &document{}, newStore(t)
				d.set(0, 0)
				w := watcher(t, d, s, time.Second)
				r := newReceiver(t, receive.Config{Product: products[name], Watchers: []*changes.Watcher{w}})
				time.Sleep(40 * time.Second)
				send(t, r, name, bodyOf("ada@example.com", 1))
				time.Sleep(20 * time.Second)
				d.set(1, 0)
				body := bodyOf("", 2)
				time.Sleep(delay)
				send(t, r, name, body)
				time.Sleep(5 * time.Second)
				if got := strings.Join(told(emitted(t, s)), "; "); got != "updated a by name growthbook:features" {
					t.Errorf("%s, %v later: %q", name, delay, got)
				}
				if got := r.Stats().Lent; got != 1 {
					t.Errorf("%s: %d authors lent", name, got)
				}
				d.set(2, 0)
				send(t, r, name, bodyOf("bob@example.com", 3))
				time.Sleep(time.Minute)
				if got := told(emitted(t, s)); len(got) != 2 || got[1] != "updated a by email bob@example.com" {
					t.Errorf("%s, %v later: %q", name, delay, got)
				}
			})
		}
	}
}

// watchedStep is an edit, and what becomes of its webhook.
type watchedStep struct {
	Flag       int
	Invisible  bool
	Deliveries []int // ms after the edit
	Process    int
	Pause      int // ms
	StoreAway  int // ms
	Kill       int
}

var watchedSteps = rapid.Custom(func(t *rapid.T) watchedStep {
	return watchedStep{
		Flag: rapid.IntRange(0, 1).Draw(t, "flag"), Invisible: rapid.IntRange(0, 7).Draw(t, "invisible") == 0,
		Deliveries: rapid.SliceOfN(rapid.IntRange(0, 40_000), 0, 3).Draw(t, "deliveries"), Process: rapid.IntRange(0, 1).Draw(t, "process"),
		Pause: rapid.IntRange(2_500, 30_000).Draw(t, "pause"), StoreAway: rapid.SampledFrom([]int{0, 0, 0, 2_000, 12_000}).Draw(t, "away"),
		Kill: rapid.IntRange(0, 9).Draw(t, "kill"),
	}
})

// TestWatchedAndReceived: what is watched and received is reported once, in any
// order and interleaving, with two processes of which one dies, a store that is
// away at times, and webhooks that come early, late, twice, to the other process,
// again after a 503, or never.
func TestWatchedAndReceived(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(watchedSteps, 1, 20).Draw(rt, "steps")
		var fault error
		synctest.Test(t, func(t *testing.T) { fault = playWatched(t, steps) })
		if fault != nil {
			rt.Fatal(fault)
		}
	})
}

type process struct {
	mu       sync.Mutex
	store    *store
	watcher  *changes.Watcher
	receiver *receive.Receiver
	dead     bool
}

func playWatched(t *testing.T, steps []watchedStep) error {
	memory, d := newStore(t), &document{}
	d.set(0, 0)
	start := func() *process {
		p := &process{store: &store{Store: memory.Store}}
		p.watcher = watcher(t, d, p.store, time.Second)
		p.receiver = newReceiver(t, receive.Config{Product: receive.GrowthBook{}, Watchers: []*changes.Watcher{p.watcher}})
		return p
	}
	processes := []*process{start(), start()}
	time.Sleep(40 * time.Second)
	versions := [2]int{}
	type made struct {
		author string
		at     time.Time
	}
	var edits [2][]made
	visible := [2]int{}
	for i, step := range steps {
		author := fmt.Sprintf("%d@example.com", i%3)
		edits[step.Flag] = append(edits[step.Flag], made{author, time.Now()})
		if !step.Invisible {
			versions[step.Flag]++
			visible[step.Flag]++
			d.set(versions[0], versions[1])
		}
		flag := []string{"a", "b"}[step.Flag]
		body := growthBook("updated", flag, author, i, time.Now())
		for _, delay := range step.Deliveries {
			go func() {
				time.Sleep(time.Duration(delay) * time.Millisecond)
				for _, wait := range []int{30, 300, 300, 0} { // as GrowthBook tries again
					p := processes[step.Process]
					p.mu.Lock()
					dead := p.dead
					p.mu.Unlock()
					if dead {
						p = processes[0]
					}
					if status, _ := serve(p.receiver, request("growthbook", secret, body)); status == http.StatusOK {
						return
					}
					time.Sleep(time.Duration(wait) * time.Second)
				}
			}()
		}
		if step.StoreAway > 0 {
			p := processes[step.Process]
			p.store.be(errDown, false, false)
			time.Sleep(time.Duration(step.StoreAway) * time.Millisecond)
			p.store.be(nil, false, false)
		}
		if step.Kill == 0 {
			p := processes[1]
			p.mu.Lock()
			p.dead = true
			p.mu.Unlock()
			p.store.be(errDown, false, false)
		}
		if processes[1].dead {
			processes[1].store.be(errDown, false, false)
		}
		time.Sleep(time.Duration(step.Pause) * time.Millisecond)
	}
	time.Sleep(20 * time.Minute)
	return judgeWatched(emitted(t, memory), func(flag string, c webhook.Change) bool {
		return slices.ContainsFunc(edits[strings.Index("ab", flag)], func(m made) bool {
			return m.author == c.CreatedBy.ID && !m.at.After(c.CreatedAt.Add(time.Second))
		})
	}, visible, slices.ContainsFunc(steps, func(s watchedStep) bool { return s.StoreAway > 0 || s.Kill == 0 }))
}

// judgeWatched: each visible edit was reported once, but for those that nobody saw
// while the store was away, which are one with the next.
func judgeWatched(all []webhook.Change, mayBeBy func(string, webhook.Change) bool, visible [2]int, merged bool) error {
	ids, count := map[string]bool{}, map[string]int{}
	for _, c := range all {
		if ids[c.ItemID] || c.Action != webhook.ActionUpdated {
			return fmt.Errorf("twice, or not what was done: %+v", c)
		}
		ids[c.ItemID] = true
		count[c.Flag]++
		if c.CreatedBy.Type == webhook.AuthorEmail && !mayBeBy(c.Flag, c) {
			return fmt.Errorf("%s is said to be by %s, who had not touched it", c.Flag, c.CreatedBy.ID)
		}
	}
	for i, flag := range []string{"a", "b"} {
		if n := count[flag]; n > visible[i] || n < visible[i] && !merged || n == 0 && visible[i] > 0 {
			return fmt.Errorf("%s: edited %d times, reported %d times", flag, visible[i], n)
		}
	}
	return nil
}
