package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestCountReasons(t *testing.T) {
	ctx := t.Context()
	store, err := queue.NewMemory(queue.MemoryConfig{MaxDead: 5000})
	if err != nil {
		t.Fatal(err)
	}
	if counts, all, err := queue.CountReasons(ctx, store, "q", 10); len(counts) != 0 || !all || err != nil {
		t.Errorf("of an empty queue: %v, %t, %v", counts, all, err)
	}
	// 2,500 dead: the oldest 500 of a, then 1,500 of b, then 500 of a.
	bury(ctx, t, store, "q", 2500, func(i int) string {
		if i < 500 || i >= 2000 {
			return "a"
		}
		return "b"
	})
	for _, test := range []struct {
		most int
		want string
		all  bool
	}{
		{1, "a=1", false},
		{500, "a=500", false},
		{999, "a=500 b=499", false},
		{1000, "a=500 b=500", false},
		{1001, "b=501 a=500", false},
		{2499, "b=1500 a=999", false},
		{2500, "b=1500 a=1000", true},
		{10_000, "b=1500 a=1000", true},
	} {
		counts, all, err := queue.CountReasons(ctx, store, "q", test.most)
		got := ""
		for i, c := range counts {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("%s=%d", c.Reason, c.Entries)
			if c.Newest.IsZero() || time.Since(c.Newest) > time.Minute {
				t.Errorf("newest of %s: %v", c.Reason, c.Newest)
			}
		}
		if got != test.want || all != test.all || err != nil {
			t.Errorf("most %d: %q, %t, %v; want %q, %t", test.most, got, all, err, test.want, test.all)
		}
	}
	if _, _, err := queue.CountReasons(ctx, store, "q", 0); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("most 0: %v", err)
	}
}

// bury fills a queue with dead entries.
func bury(ctx context.Context, t *testing.T, store queue.Store, name string, n int, reason func(i int) string) {
	t.Helper()
	var items []queue.Item
	for i := range n {
		items = append(items, queue.Item{ID: fmt.Sprint(i), Key: "key"})
	}
	if _, err := store.Add(ctx, name, queue.Addition{Items: items}); err != nil {
		t.Fatal(err)
	}
	if wait, err := store.Lease(ctx, name, "me", time.Minute); wait != 0 || err != nil {
		t.Fatal(wait, err)
	}
	due, err := store.Due(ctx, name, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []queue.Outcome
	for i, entry := range due {
		outcomes = append(outcomes, queue.Outcome{ID: entry.ID, Seq: entry.Seq, State: queue.Dead, Reason: reason(i)})
	}
	if err := store.Settle(ctx, name, "me", outcomes...); err != nil {
		t.Fatal(err)
	}
}
