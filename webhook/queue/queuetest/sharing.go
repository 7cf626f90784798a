package queuetest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func (s *suite) reopened() {
	first := s.config.Open(s.T, Options{Dir: s.dir, Window: window * s.unit()})
	s.add(first, item("done"), item("a"), item("dead"), item("put off"), item("b"))
	s.adds(first, 1, queue.Addition{Items: []queue.Item{item("held")}, Owner: "me", Hold: s.unit(), Notes: []queue.Note{{Name: "note", Body: []byte("noted")}}})
	s.lease(first, "me")
	s.settle(first, "me", done(s.entry(first, "done")), dead(s.entry(first, "dead"), "why"), later(s.entry(first, "put off"), s.unit()))
	want := s.lists(first, queue.Filter{})
	s.close(first) // without giving the lease back

	second := s.open()
	s.isDue(second, "a", "b")
	for i, got := range s.lists(second, queue.Filter{}) {
		w := want[i]
		if got.ID != w.ID || got.Seq != w.Seq || got.State != w.State || got.Owner != w.Owner || got.Tries != w.Tries || got.Reason != w.Reason ||
			got.Key != w.Key || string(got.Body) != string(w.Body) || got.Added.Sub(w.Added).Abs() > time.Minute || got.Due.Sub(w.Due).Abs() > time.Minute {
			s.Errorf("entry %d is\n%+v, was\n%+v", i, got, w)
		}
	}
	s.adds(second, 0, queue.Addition{Items: []queue.Item{item("done"), item("dead"), item("a"), item("held")}})
	s.noted(second, 1, "noted")
	s.waits(second, "you", s.unit())
	s.lease(second, "me")
}

func (s *suite) twoStores() {
	first, second := s.open(), s.open()
	s.lease(first, "me")
	s.waits(second, "you", s.unit())
	s.add(first, item("a"), item("b"))
	s.adds(second, 1, queue.Addition{Items: []queue.Item{item("b"), item("c")}})
	entries := s.isDue(second, "a", "b", "c")
	s.settle(second, "you", done(entries[0]), dead(entries[1], "why"))
	s.isDue(first, "b", "c")
	s.settle(first, "me", dead(entries[1], "why"))
	if err := second.Revise(s.Context(), name, entries[1], nil); err != nil {
		s.Fatal(err)
	}
	entries = s.isDue(first, "c", "b")
	s.settle(first, "me", each(entries, done)...)
	s.counts(second, 0, 0)
	s.release(first, "me", 0)
	s.leaseRaceOn(first, second)
	s.work([]queue.Store{first, second}, 50)
	s.noteRaceOn(first, second)
}

// openedAtOnce opens a new store from several sides, as processes that start at
// the same time do.
func (s *suite) openedAtOnce() {
	var all sync.WaitGroup
	stores := make([]queue.Store, 4)
	for i := range stores {
		all.Go(func() { stores[i] = s.config.Open(s.T, Options{Dir: s.dir, Window: window * s.unit()}) })
	}
	all.Wait()
	for i, store := range stores {
		if store == nil {
			s.Fatal("opening at once failed")
		}
		s.add(store, item(numbered("x", i)))
	}
	s.counts(stores[0], len(stores), 0)
	for _, store := range stores {
		s.close(store)
	}
}

// What the second process does, and where.
const (
	childRole = "QUEUETEST_CHILD_ROLE"
	childDir  = "QUEUETEST_CHILD_DIR"
	childSays = "queuetest child: "
)

// runChild plays the second process, if this is it.
func runChild(t *testing.T, config Config) bool {
	role := os.Getenv(childRole)
	if role == "" {
		return false
	}
	s := &suite{T: t, config: config, dir: os.Getenv(childDir)}
	store := s.open()
	switch role {
	case "add":
		s.add(store, item("b"), item("c"))
		s.adds(store, 0, queue.Addition{Items: []queue.Item{item("a")}})
	case "hold":
		s.lease(store, "child")
		s.adds(store, 1, queue.Addition{Items: []queue.Item{item("held")}, Owner: "child", Hold: s.unit()})
		fmt.Println(childSays + "has the lease")
		time.Sleep(10 * patience) // until it is killed
	}
	return true
}

// child prepares this test binary as a second process with a role.
func (s *suite) child(role string) *exec.Cmd {
	own := s.Name()[strings.LastIndex(s.Name(), "/"):]
	pattern := "^" + strings.ReplaceAll(strings.TrimSuffix(s.Name(), own), "/", "$/^") + "$"
	cmd := exec.CommandContext(s.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=5m")
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+s.dir)
	return cmd
}

func (s *suite) twoProcesses() {
	store := s.open()
	s.add(store, item("a"))
	if out, err := s.child("add").CombinedOutput(); err != nil {
		s.Fatalf("the second process: %v\n%s", err, out)
	}
	s.isDue(store, "a", "b", "c")
}

// killedHolder kills a process that has the lease and holds an item: both pass on
// when their time is over, and not before.
func (s *suite) killedHolder() {
	store := s.open()
	s.add(store, item("a"))
	child := s.child("hold")
	stdout, err := child.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := child.Start(); err != nil {
		s.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait() // it was killed
	}()
	var said []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), childSays) {
			break
		}
	}
	if !strings.Contains(strings.Join(said, "\n"), childSays) {
		s.Fatalf("the second process did not get the lease:\n%s", strings.Join(said, "\n"))
	}
	s.waits(store, "me", s.unit())
	if err := child.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	_ = child.Wait() // it was killed
	s.isDue(store, "a")
	s.waits(store, "me", s.unit())
	s.pass(1)
	s.lease(store, "me")
	entries := s.isDue(store, "a", "held")
	s.settle(store, "me", each(entries, done)...)
	s.counts(store, 0, 0)
}
