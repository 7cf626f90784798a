package killswitch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// process is what a relay runs in: when it is dead, nothing that the relay does
// has an effect any more.
type process struct {
	queue.Store
	h     *history
	dead  atomic.Bool
	hangs atomic.Bool // its store
	relay *killswitch.Relay
}

var errDead = errors.New("this process is dead")

func (p *process) call(ctx context.Context) error {
	if p.hangs.Load() && !p.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if p.dead.Load() {
		return errDead
	}
	return nil
}

func (p *process) Add(ctx context.Context, queue string, a queue.Addition) (int, error) {
	if err := p.call(ctx); err != nil {
		return 0, err
	}
	return p.Store.Add(ctx, queue, a)
}

func (p *process) Note(ctx context.Context, name, note string) (queue.Note, error) {
	if err := p.call(ctx); err != nil {
		return queue.Note{}, err
	}
	return p.Store.Note(ctx, name, note)
}

func (p *process) Notes(ctx context.Context, name string, notes ...string) ([]queue.Note, error) {
	if err := p.call(ctx); err != nil {
		return nil, err
	}
	return p.Store.Notes(ctx, name, notes...)
}

func (p *process) List(ctx context.Context, name string, f queue.Filter) ([]queue.Entry, error) {
	if err := p.call(ctx); err != nil {
		return nil, err
	}
	return p.Store.List(ctx, name, f)
}

func (p *process) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if err := p.call(ctx); err != nil {
		return nil, err
	}
	return p.Store.Due(ctx, name, after, limit)
}

func (p *process) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if err := p.call(ctx); err != nil {
		return 0, err
	}
	return p.Store.Lease(ctx, name, owner, ttl)
}

func (p *process) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	if err := p.call(ctx); err != nil {
		return err
	}
	return p.Store.Release(ctx, name, owner, rest)
}

func (p *process) Settle(ctx context.Context, name, owner string, outcomes ...queue.Outcome) error {
	if err := p.call(ctx); err != nil {
		return err
	}
	return p.Store.Settle(ctx, name, owner, outcomes...)
}

func (p *process) Toggle(ctx context.Context, s killswitch.Switch) (killswitch.State, error) {
	if p.dead.Load() {
		return killswitch.StateUnknown, errDead
	}
	return p.h.toggle(ctx, s)
}

func (p *process) Emit(ctx context.Context, changes ...webhook.Change) error {
	if p.dead.Load() {
		return errDead
	}
	return p.h.recorded.Emit(ctx, changes...)
}

// history is two relays on one store, and what happens to them.
type history struct {
	flags    switches
	recorded records
	store    *queue.Memory
	both     [2]*process

	down, slow, lostAnswers atomic.Bool

	mu      sync.Mutex
	decided killswitch.Decision
	excused map[string]bool // flags of which a person was told
	last    map[string]bool // the newest decision, by flag
	signed  map[string]time.Time
	hung    bool
	acted   map[string]int
	begun   []*process
}

const historyMaxAge = 40 * time.Second

// toggle is the flag system: it may be down, or slow, or lose its answers.
func (h *history) toggle(ctx context.Context, s killswitch.Switch) (killswitch.State, error) {
	if h.slow.Load() {
		time.Sleep(700 * time.Millisecond)
	}
	if h.down.Load() {
		return killswitch.StateUnknown, errDown
	}
	was, err := h.flags.Toggle(ctx, s)
	if h.slow.Load() {
		time.Sleep(700 * time.Millisecond)
	}
	if h.lostAnswers.Load() {
		return killswitch.StateUnknown, errDown
	}
	return was, err
}

func (h *history) start(t *testing.T, i int) {
	p := &process{Store: h.store, h: h}
	p.relay = newRelay(t, killswitch.Config{
		Rules:    append(ruledBack("a", "b"), killswitch.Rule{Alert: "other", Project: "shop", Target: flagOf("a")}),
		Togglers: by(p), Store: p, Emitter: p, CoolDown: -1, CapPerHour: -1, MaxAge: historyMaxAge, Hold: 3 * time.Second, Poll: 2 * time.Second,
		OnDecision: func(d killswitch.Decision) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.decided = d
		},
		OnReport: func(r killswitch.Report) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !p.dead.Load() && (errors.Is(r.Err, killswitch.ErrNotSwitched) || errors.Is(r.Err, killswitch.ErrOvertaken) || errors.Is(r.Err, killswitch.ErrStore)) {
				h.excused[r.Target.Flag] = true
			}
		},
	})
	h.both[i] = p
	h.begun = append(h.begun, p)
}

// crash is kill -9.
func (h *history) crash(t *testing.T, i int) {
	p := h.both[i]
	p.dead.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.relay.Close(ctx)
}

// alert delivers an alert to a relay.
func (h *history) alert(i int, name, flag, action string, age time.Duration) {
	at := time.Now().Add(-age)
	body := metricAlert(name, action, at)
	if name == "other" {
		body = eventAlert(name, at)
	}
	deliver(h.both[i].relay, signed(body))
	time.Sleep(time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.decided.Verdict != killswitch.Acted {
		return
	}
	h.acted[flag]++
	// While the store hangs for a relay, one may act on an alert that was
	// overtaken: that is put right once it can tell.
	if !h.hung || at.After(h.signed[flag]) {
		h.last[flag], h.signed[flag] = action == "resolved", at
	}
}

func playHistory(t *testing.T, steps []string, picks []int) string {
	h := &history{store: newStore(t), excused: map[string]bool{}, last: map[string]bool{}, signed: map[string]time.Time{}, acted: map[string]int{}}
	h.start(t, 0)
	h.start(t, 1)
	for i, step := range steps {
		one, flag := picks[i]&1, []string{"a", "b"}[picks[i]>>1&1]
		switch step {
		case "off":
			h.alert(one, flag, flag, "critical", 0)
		case "on":
			h.alert(one, flag, flag, "resolved", 0)
		case "other off":
			h.alert(one, "other", "a", "critical", 0)
		case "late off":
			h.alert(one, flag, flag, "critical", 5*time.Second)
		case "late on":
			h.alert(one, flag, flag, "resolved", 5*time.Second)
		case "down":
			h.down.Store(!h.down.Load())
		case "slow":
			h.slow.Store(!h.slow.Load())
		case "lost answers":
			h.lostAnswers.Store(!h.lostAnswers.Load())
		case "hang":
			h.hung = true
			h.both[one].hangs.Store(!h.both[one].hangs.Load())
		case "crash":
			if h.both[one].hangs.Load() { // what is in memory only is lost
				continue
			}
			h.crash(t, one)
			h.start(t, one)
		case "second":
			time.Sleep(time.Second)
		case "seconds":
			time.Sleep(7 * time.Second)
		}
	}
	// In the end everything works, and everything is done.
	h.down.Store(false)
	h.slow.Store(false)
	h.lostAnswers.Store(false)
	for _, p := range h.both {
		p.hangs.Store(false)
	}
	time.Sleep(2*historyMaxAge + 10*time.Second)
	return h.verdict(t)
}

func (h *history) verdict(t *testing.T) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	reported := h.excused
	for flag, on := range h.last {
		if got := h.flags.isOn(flag); got != on && !reported[flag] {
			return fmt.Sprintf("%s is on=%t, the newest alert says %t, and nobody was told", flag, got, on)
		}
	}
	seen := map[string]webhook.Change{}
	perFlag := map[string]int{}
	for _, change := range h.recorded.all() {
		if first, known := seen[change.ItemID]; known && first != change {
			return fmt.Sprintf("one switch has two records: %+v and %+v", first, change)
		} else if !known {
			seen[change.ItemID] = change
			perFlag[change.Flag]++
		}
	}
	for flag, n := range perFlag {
		if n > h.acted[flag] {
			return fmt.Sprintf("%s: %d records of %d alerts that acted", flag, n, h.acted[flag])
		}
	}
	for flag := range h.last {
		if perFlag[flag] == 0 && !reported[flag] {
			return fmt.Sprintf("%s: switched without a record", flag)
		}
	}
	stats, err := h.store.Stats(t.Context(), testQueue, 0)
	if err != nil || stats.Waiting > 0 {
		return fmt.Sprintf("%d still wait, %v", stats.Waiting, err)
	}
	return ""
}

// TestHistories draws histories of alerts on and off at two relays that share a
// store, with a flag system that fails, is slow or loses its answers, a store that
// hangs for one of them, and crashes. In the end each flag is as the newest alert
// that acted wants it, or somebody was told; and no switch has two records.
func TestHistories(t *testing.T) {
	all := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{
			"off", "off", "on", "on", "other off", "late off", "late on", "down", "slow", "lost answers", "hang", "crash", "second", "seconds",
		}), 1, 25).Draw(rt, "steps")
		picks := rapid.SliceOfN(rapid.IntRange(0, 3), len(steps), len(steps)).Draw(rt, "picks")
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = playHistory(t, steps, picks) })
		if problem != "" {
			rt.Fatal(problem)
		}
		all++
	})
	t.Logf("histories: %d, unexplained states: 0", all)
}
