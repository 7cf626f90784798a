package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

func (s *suite) reopened() {
	first := s.config.Open(s.T, Options{Dir: s.dir, DedupeWindow: time.Hour})
	s.enqueue(first, item("done"), item("a"), item("dead"), item("b"))
	turn, err := first.Turn(s.Context(), queue)
	if err != nil {
		s.Fatal(err)
	}
	s.settle(turn, done("done"), died("dead", "why"))
	s.close(first) // without releasing the turn

	second := s.open()
	s.holds(s.turn(second), "a", "b")
	if dead := s.dead(second); len(dead) != 1 || dead[0].ID != "dead" || dead[0].Reason != "why" {
		s.Errorf("dead: %v", dead)
	}
	if added, err := second.Enqueue(s.Context(), queue, item("done"), item("dead"), item("a")); added != 0 || err != nil {
		s.Errorf("what was known before is added again: %d, %v", added, err)
	}
}

func (s *suite) twoStores() {
	first, second := s.open(), s.open()
	s.exclusive(first, second)
	s.enqueue(first, item("a"), item("b"))
	if added, err := second.Enqueue(s.Context(), queue, item("b"), item("c")); added != 1 || err != nil {
		s.Errorf("Enqueue into the second store: %d, %v; want 1", added, err)
	}
	turn, err := second.Turn(s.Context(), queue)
	if err != nil {
		s.Fatal(err)
	}
	s.holds(turn, "a", "b", "c")
	s.settle(turn, done("a"), died("b", "why"), done("c"))
	s.counts(first, 0, 1)
	if n, err := first.Replay(s.Context(), queue); n != 1 || err != nil {
		s.Errorf("Replay: %d, %v", n, err)
	}
	s.holds(turn, "b")
	s.settle(turn, done("b"))
	s.release(turn)
	s.race([]webhook.Store{first, second}, 150)
}

// openedAtOnce opens a new store from several sides, as processes that start at
// the same time do.
func (s *suite) openedAtOnce() {
	var wg sync.WaitGroup
	stores := make([]webhook.Store, 4)
	for i := range stores {
		wg.Go(func() { stores[i] = s.config.Open(s.T, Options{Dir: s.dir, DedupeWindow: time.Hour}) })
	}
	wg.Wait()
	for i, store := range stores {
		if store == nil {
			s.Fatal("opening at once failed")
		}
		s.enqueue(store, item(numbered("x", i)))
	}
	s.counts(stores[0], len(stores), 0)
	for _, store := range stores {
		s.close(store)
	}
}

// What the second process does, and where.
const (
	childRole = "STORETEST_CHILD_ROLE"
	childDir  = "STORETEST_CHILD_DIR"
	childSays = "storetest child: "
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
	case "enqueue":
		s.enqueue(store, item("b"), item("c"))
		if added, err := store.Enqueue(t.Context(), queue, item("a")); added != 0 || err != nil {
			t.Errorf("Enqueue of what the first process enqueued: %d, %v", added, err)
		}
	case "hold":
		turn := s.turn(store)
		s.take(turn, 1)
		fmt.Println(childSays + "has the turn")
		time.Sleep(10 * patience) // until it is killed
	}
	return true
}

// child prepares this test binary as a second process with a role.
func (s *suite) child(role string) *exec.Cmd {
	top, _, _ := strings.Cut(s.Name(), "/"+currentTest(s))
	pattern := "^" + strings.ReplaceAll(top, "/", "$/^") + "$"
	cmd := exec.CommandContext(s.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=5m")
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+s.dir)
	return cmd
}

// currentTest is the last element of the test's name: the suite's own subtest.
func currentTest(s *suite) string { return s.Name()[strings.LastIndex(s.Name(), "/")+1:] }

func (s *suite) twoProcesses() {
	store := s.open()
	s.enqueue(store, item("a"))
	if out, err := s.child("enqueue").CombinedOutput(); err != nil {
		s.Fatalf("the second process: %v\n%s", err, out)
	}
	s.holds(s.turn(store), "a", "b", "c")
}

// killedTaker kills a process that has the turn and measures how long it takes
// until another one gets it.
func (s *suite) killedTaker() {
	store := s.open()
	s.enqueue(store, item("a"))
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
		s.Fatalf("the second process did not get the turn:\n%s", strings.Join(said, "\n"))
	}

	ctx, cancel := context.WithTimeout(s.Context(), 200*time.Millisecond)
	defer cancel()
	if turn, err := store.Turn(ctx, queue); err == nil {
		s.release(turn)
		s.Fatal("two processes have the turn")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("waiting for the turn: %v", err)
	}

	start := time.Now()
	if err := child.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(s.Context(), s.config.TakeOver)
	defer cancel()
	turn, err := store.Turn(ctx, queue)
	if err != nil {
		s.Fatalf("the turn of a killed process did not pass on within %v: %v", s.config.TakeOver, err)
	}
	defer s.release(turn)
	s.Logf("the turn of a killed process passed on after %v", time.Since(start).Round(time.Millisecond))
	s.holds(turn, "a")
}
