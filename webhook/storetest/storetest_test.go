package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/storetest"
)

// defectEnv names the defect that TestDefective has, in a process of its own.
const defectEnv = "STORETEST_DEFECT"

// defects are stores that break one promise each, with the test of the suite
// that has to find it.
var defects = map[string]struct {
	found string
	store func(webhook.Store) webhook.Store
}{
	"forgets order":           {"Order", func(s webhook.Store) webhook.Store { return reversed{s} }},
	"takes for good":          {"TakeLeaves", func(s webhook.Store) webhook.Store { return greedy{s} }},
	"keeps the caller's body": {"Contents", func(s webhook.Store) webhook.Store { return &sharing{Store: s} }},
	"counts repeats":          {"Repeats", func(s webhook.Store) webhook.Store { return counting{s} }},
	"enqueues the good ones":  {"AllOrNothing", func(s webhook.Store) webhook.Store { return lenient{s} }},
	"loses the reason":        {"DeadLetters", func(s webhook.Store) webhook.Store { return mute{s} }},
	"replays nothing":         {"Replay", func(s webhook.Store) webhook.Store { return final{s} }},
	"has no turns":            {"TurnIsExclusive", func(s webhook.Store) webhook.Store { return anarchic{s} }},
	"ignores contexts":        {"Contexts", func(s webhook.Store) webhook.Store { return hasty{s} }},
}

// TestSuiteFindsDefects runs the suite against each of them.
func TestSuiteFindsDefects(t *testing.T) {
	if os.Getenv(defectEnv) != "" {
		t.Skip("this is the process of TestDefective")
	}
	for name, defect := range defects {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDefective$")
			cmd.Env = append(os.Environ(), defectEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestDefective/"+defect.found+" ") {
				t.Errorf("%s has not found it: %v\n%s", defect.found, err, out)
			}
		})
	}
}

func TestDefective(t *testing.T) {
	defect, ok := defects[os.Getenv(defectEnv)]
	if !ok {
		t.Skip("run by TestSuiteFindsDefects")
	}
	stores := make(map[webhook.Store]*webhook.MemoryStore)
	storetest.Run(t, storetest.Config{
		Open: func(t testing.TB, options storetest.Options) webhook.Store {
			memory, err := webhook.NewMemoryStore(webhook.MemoryStoreConfig{DedupeWindow: options.DedupeWindow})
			if err != nil {
				t.Fatal(err)
			}
			store := defect.store(memory)
			stores[store] = memory
			return store
		},
		Close: func(store webhook.Store) error { return stores[store].Close() },
	})
}

type reversed struct{ webhook.Store }

func (s reversed) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	added := 0
	for i := range items {
		n, err := s.Store.Enqueue(ctx, queue, items[len(items)-1-i])
		if err != nil {
			return 0, err
		}
		added += n
	}
	return added, nil
}

type greedy struct{ webhook.Store }

func (s greedy) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	turn, err := s.Store.Turn(ctx, queue)
	return greedyTurn{turn}, err
}

type greedyTurn struct{ webhook.Turn }

func (t greedyTurn) Take(ctx context.Context, limit int) ([]webhook.Item, error) {
	items, err := t.Turn.Take(ctx, limit)
	for _, item := range items {
		if err := t.Settle(ctx, webhook.Outcome{ID: item.ID, State: webhook.StateDone}); err != nil {
			return nil, err
		}
	}
	return items, err
}

// sharing hands out the bodies that it was given.
type sharing struct {
	webhook.Store
	bodies sync.Map // item ID to body
}

func (s *sharing) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	for _, item := range items {
		s.bodies.Store(item.ID, item.Body)
	}
	return s.Store.Enqueue(ctx, queue, items...)
}

func (s *sharing) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	turn, err := s.Store.Turn(ctx, queue)
	return sharingTurn{turn, s}, err
}

type sharingTurn struct {
	webhook.Turn
	store *sharing
}

func (t sharingTurn) Take(ctx context.Context, limit int) ([]webhook.Item, error) {
	items, err := t.Turn.Take(ctx, limit)
	for i := range items {
		body, _ := t.store.bodies.Load(items[i].ID)
		items[i].Body, _ = body.([]byte)
	}
	return items, err
}

type counting struct{ webhook.Store }

func (s counting) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	_, err := s.Store.Enqueue(ctx, queue, items...)
	return len(items), err
}

type lenient struct{ webhook.Store }

func (s lenient) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	var last error
	added := 0
	for _, item := range items {
		n, err := s.Store.Enqueue(ctx, queue, item)
		if err != nil {
			last = err
		}
		added += n
	}
	return added, last
}

type mute struct{ webhook.Store }

func (s mute) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	turn, err := s.Store.Turn(ctx, queue)
	return muteTurn{turn}, err
}

type muteTurn struct{ webhook.Turn }

func (t muteTurn) Settle(ctx context.Context, outcomes ...webhook.Outcome) error {
	for i := range outcomes {
		outcomes[i].Reason = ""
	}
	return t.Turn.Settle(ctx, outcomes...)
}

type final struct{ webhook.Store }

func (s final) Replay(context.Context, string, ...string) (int, error) { return 0, nil }

type anarchic struct{ webhook.Store }

func (s anarchic) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	turn, err := s.Store.Turn(ctx, queue)
	if err != nil {
		return nil, err
	}
	return freeTurn{turn}, turn.Release()
}

type freeTurn struct{ webhook.Turn }

type hasty struct{ webhook.Store }

func (s hasty) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	return s.Store.Enqueue(context.WithoutCancel(ctx), queue, items...)
}
