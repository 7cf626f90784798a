package webhook_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open: func(t testing.TB, options storetest.Options) webhook.Store {
			store, err := webhook.NewMemoryStore(webhook.MemoryStoreConfig{DedupeWindow: options.DedupeWindow})
			if err != nil {
				t.Fatal(err)
			}
			return store
		},
		Close: func(store webhook.Store) error { return store.(*webhook.MemoryStore).Close() },
	})
}

func newMemoryStore(t *testing.T, config webhook.MemoryStoreConfig) *webhook.MemoryStore {
	t.Helper()
	store, err := webhook.NewMemoryStore(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestMemoryStoreRefusesWhenFull(t *testing.T) {
	store := newMemoryStore(t, webhook.MemoryStoreConfig{Capacity: 3})
	enqueue := func(queue string, ids ...string) (int, error) {
		var items []webhook.Item
		for _, id := range ids {
			items = append(items, webhook.Item{ID: id})
		}
		return store.Enqueue(t.Context(), queue, items...)
	}
	if _, err := enqueue("one", "a", "b"); err != nil {
		t.Fatal(err)
	}
	if added, err := enqueue("two", "a", "b"); !errors.Is(err, webhook.ErrStoreFull) || added != 0 {
		t.Fatalf("two items for one place: %d, %v", added, err)
	}
	// Known items need no room.
	if added, err := enqueue("one", "a", "b", "c", "c"); err != nil || added != 1 {
		t.Fatalf("one new item for one place: %d, %v", added, err)
	}
	turn, err := store.Turn(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	// A dead item takes room as well: it is kept.
	if err := turn.Settle(t.Context(), webhook.Outcome{ID: "a", State: webhook.StateDead}); err != nil {
		t.Fatal(err)
	}
	if _, err := enqueue("two", "a"); !errors.Is(err, webhook.ErrStoreFull) {
		t.Fatalf("a full store: %v", err)
	}
	if err := turn.Settle(t.Context(), webhook.Outcome{ID: "b", State: webhook.StateDone}); err != nil {
		t.Fatal(err)
	}
	if added, err := enqueue("two", "a"); err != nil || added != 1 {
		t.Fatalf("after one was delivered: %d, %v", added, err)
	}
}

func TestMemoryStoreForgetsSettledItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemoryStore(t, webhook.MemoryStoreConfig{DedupeWindow: time.Hour, Capacity: 2})
		turn, err := store.Turn(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		deliver := func(id string) int {
			added, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: id})
			if err != nil {
				t.Fatal(err)
			}
			if err := turn.Settle(t.Context(), webhook.Outcome{ID: id, State: webhook.StateDone}); err != nil {
				t.Fatal(err)
			}
			return added
		}
		deliver("a")
		time.Sleep(time.Hour - time.Nanosecond)
		if deliver("a") != 0 {
			t.Error("forgotten before the window's end")
		}
		time.Sleep(time.Nanosecond)
		if deliver("a") != 1 {
			t.Error("known after the window's end")
		}
		// Of many settled items the oldest are forgotten: ten times Capacity.
		for i := range 20 {
			deliver(strings.Repeat("x", i+1))
		}
		if deliver("x") != 0 {
			t.Error("one of the twenty last was forgotten")
		}
		deliver("y")
		if deliver("a") != 1 {
			t.Error("more are known than promised")
		}
	})
}

// TestMemoryStoreWithoutALimit: ten times the largest Capacity is no number.
func TestMemoryStoreWithoutALimit(t *testing.T) {
	store := newMemoryStore(t, webhook.MemoryStoreConfig{Capacity: math.MaxInt})
	turn, err := store.Turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if added, err := store.Enqueue(t.Context(), "q", webhook.Item{ID: "a"}); err != nil || added != want {
			t.Errorf("Enqueue: %d, %v; want %d", added, err, want)
		}
		if err := turn.Settle(t.Context(), webhook.Outcome{ID: "a", State: webhook.StateDone}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewMemoryStoreRefuses(t *testing.T) {
	for field, config := range map[string]webhook.MemoryStoreConfig{
		"Capacity":     {Capacity: -1},
		"DedupeWindow": {DedupeWindow: -1},
	} {
		if _, err := webhook.NewMemoryStore(config); !errors.Is(err, webhook.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
