package sqlstore_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// TestFrozenHolder freezes a process that has sent a change and waits for the
// answer. Meanwhile another one sends it, Sentry rejects it, a person corrects it,
// and it waits. Then the frozen one goes on, and says that the change was done:
// that was the one before the correction, which is sent all the same.
func TestFrozenHolder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		const lease = time.Second
		sentry := newSlowSentry()
		defer sentry.Close()
		run := crashRun{dialect: dialect, processes: 1, role: "emit", changes: 1}
		child := run.children(t, &sink{Server: sentry.Server})[0]
		child.config.Lease = lease
		child.start()
		<-sentry.asked // and the child waits for the answer
		if err := child.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}

		store := open(t, dialect, child.config.Dir)
		defer store.Close()
		second := emitterOn(t, store, &sink{Server: sentry.Server}, lease)
		var dead queue.Entry
		eventually(t, "the second one takes over and is refused", func() bool {
			entries, err := store.List(t.Context(), testQueue, queue.Filter{States: []queue.State{queue.Dead}})
			if err != nil || len(entries) != 1 {
				return false
			}
			dead = entries[0]
			return true
		})
		second.end(t)
		// Nobody delivers while the correction waits.
		if err := store.Revise(t.Context(), testQueue, dead, &queue.Item{ID: dead.ID, Key: dead.Key, Body: dead.Body}); err != nil {
			t.Fatal(err)
		}
		close(sentry.answer)
		if err := child.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the correction is sent", func() bool { return sentry.requests() == 3 })
		eventually(t, "it is done", func() bool {
			entries, err := store.List(t.Context(), testQueue, queue.Filter{})
			return err == nil && len(entries) == 1 && entries[0].State == queue.Done && entries[0].Seq > dead.Seq
		})
		child.stop(syscall.SIGTERM)
	})
}

// slowSentry answers the first request when it is told to, rejects the second one,
// and takes the others.
type slowSentry struct {
	*httptest.Server
	asked, answer chan struct{}

	mu sync.Mutex
	n  int
}

func newSlowSentry() *slowSentry {
	s := &slowSentry{asked: make(chan struct{}), answer: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

func (s *slowSentry) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *slowSentry) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !json.Valid(body) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	switch n {
	case 1:
		close(s.asked)
		<-s.answer
	case 2:
		w.WriteHeader(http.StatusBadRequest)
	}
}
