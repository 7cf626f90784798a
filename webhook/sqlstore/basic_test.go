package sqlstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func TestBasic(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		s := open(t, dialect, t.TempDir(), sqlstore.WithWindow(time.Microsecond))
		defer s.Close()
		s.db.SetMaxOpenConns(1)
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		show := func() {
			t.Helper()
			l, err := s.List(ctx, "q", queue.Filter{})
			must(err)
			for _, e := range l {
				t.Log(e.ID, e.Key, string(e.Body), e.Seq, e.State, e.Owner, e.Tries, e.Reason, time.Until(e.Due).Round(time.Second))
			}
		}
		n, err := s.Add(ctx, "q", queue.Addition{Items: []queue.Item{{ID: "a", Key: "k", Body: []byte("1")}, {ID: "b"}, {ID: "c"}}, Owner: "me", Hold: time.Minute})
		must(err)
		t.Log(n)
		n, err = s.Add(ctx, "q", queue.Addition{Items: []queue.Item{{ID: "a", Key: "k", Body: []byte("1")}, {ID: "d"}}, Note: &queue.Note{Name: "n"}})
		must(err)
		t.Log(n)
		_, err = s.Add(ctx, "q", queue.Addition{Note: &queue.Note{Name: "n"}})
		t.Log(err)
		nn, err := s.Note(ctx, "q", "n")
		must(err)
		t.Log(nn)
		show()
		w, err := s.Lease(ctx, "q", "me", time.Minute)
		must(err)
		w2, err := s.Lease(ctx, "q", "you", time.Minute)
		must(err)
		t.Log(w, w2)
		d, err := s.Due(ctx, "q", 0, 10)
		must(err)
		t.Log(d)
		l, err := s.List(ctx, "q", queue.Filter{Key: "k", States: []queue.State{0, 1}, Newest: true})
		must(err)
		t.Log(l)
		l, err = s.List(ctx, "q", queue.Filter{ID: "b", After: -5, Before: 1 << 40})
		must(err)
		t.Log(l)
		all, err := s.List(ctx, "q", queue.Filter{Newest: true})
		must(err)
		must(s.Settle(ctx, "q", "me", queue.Outcome{ID: all[0].ID, Seq: all[0].Seq, State: queue.Dead, Reason: "why"}, queue.Outcome{ID: all[1].ID, Seq: all[1].Seq, State: queue.Done}, queue.Outcome{ID: all[2].ID, Seq: all[2].Seq, After: time.Hour, Reason: "later"}))
		show()
		must(s.Revise(ctx, "q", all[0], &queue.Item{ID: all[0].ID, Key: "new", Body: []byte("corrected")}))
		t.Log(s.Revise(ctx, "q", all[0], nil))
		show()
		n, err = s.Discard(ctx, "q", all[2])
		must(err)
		st, err := s.Stats(ctx, "q")
		must(err)
		t.Log(n, fmt.Sprintf("%+v", st))
		qs, err := s.Queues(ctx)
		must(err)
		t.Log(qs)
		time.Sleep(5 * time.Millisecond)
		n, err = s.Sweep(ctx, 10)
		must(err)
		t.Log(n)
		must(s.Release(ctx, "q", "me", time.Second))
		w2, err = s.Lease(ctx, "q", "you", time.Minute)
		must(err)
		t.Log(w2)
		show()
	})
}
