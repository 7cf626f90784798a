package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/webhook"
)

func TestMain(m *testing.M) {
	ownWithin = time.Minute // however busy the machine is

	goleak.VerifyTestMain(m, // flagd's provider leaves this one
		goleak.IgnoreAnyFunction("github.com/open-feature/go-sdk-contrib/providers/flagd/pkg.(*Provider).handleEvents"))
}

// The whole loop, shorter and slower than the program plays it. How quick it is
// is for the program to judge, on a machine that does nothing else.
func TestTheLoopCloses(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, time.Second, 200); err != nil && !errors.Is(err, errBusy) {
		t.Errorf("%v\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := regexp.MustCompile(`^service: [1-9][0-9]* errors carried the right flags, 0 did not; healthy again after [0-9.]+m?s; 2 changes recorded$`)
	if !last.MatchString(lines[len(lines)-1]) {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
}

// A run that is broken off says by what, and leaves nothing behind.
func TestBrokenOff(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, breakOff := context.WithCancelCause(t.Context())
	reason := errors.New("somebody pressed Ctrl-C")
	out := writerFunc(func(line []byte) (int, error) {
		if strings.Contains(string(line), "the shop is open") {
			breakOff(reason)
		}
		return len(line), nil
	})
	if err := run(ctx, out, time.Minute, 200); !errors.Is(err, reason) {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Whatever is wrong with an error counts.
func TestJudge(t *testing.T) {
	event := func(request string, flags ...flagtrack.Value) *sentry.Event {
		return &sentry.Event{Tags: map[string]string{"request": request}, Contexts: map[string]sentry.Context{"flags": {"values": flags}}}
	}
	on, off := flagtrack.Value{Flag: "a", Result: true}, flagtrack.Value{Flag: "a"}
	for name, c := range map[string]struct {
		events     []*sentry.Event
		failed     map[string]string
		right, bad int
	}{
		"as received":          {[]*sentry.Event{event("r1", on)}, map[string]string{"r1": "a=true"}, 1, 0},
		"another value":        {[]*sentry.Event{event("r1", off)}, map[string]string{"r1": "a=true"}, 0, 1},
		"a flag too many":      {[]*sentry.Event{event("r1", on, flagtrack.Value{Flag: "b"})}, map[string]string{"r1": "a=true"}, 0, 1},
		"no flags":             {[]*sentry.Event{event("r1")}, map[string]string{"r1": "a=true"}, 0, 1},
		"no event":             {nil, map[string]string{"r1": "a=true"}, 0, 1},
		"nothing has failed":   {[]*sentry.Event{event("r1", on)}, nil, 0, 1},
		"two of one request":   {[]*sentry.Event{event("r1", on), event("r1", on)}, map[string]string{"r1": "a=true"}, 1, 1},
		"another's flags":      {[]*sentry.Event{event("r1", on), event("r2", on)}, map[string]string{"r1": "a=true", "r2": "a=false"}, 1, 1},
		"nothing and no event": {nil, nil, 0, 0},
	} {
		s := newStandIn()
		for _, event := range c.events {
			s.SendEvent(event)
		}
		if got := s.judge(c.failed); got.right != c.right || got.wrong != c.bad {
			t.Errorf("%s: %d right and %d wrong, want %d and %d", name, got.right, got.wrong, c.right, c.bad)
		}
		s.close()
	}
}

func TestRecordedOnce(t *testing.T) {
	by := func(who string) webhook.Change {
		return webhook.Change{Action: webhook.ActionUpdated, Flag: "new-checkout", CreatedBy: webhook.Author{ID: who, Type: webhook.AuthorName}}
	}
	person, alert := by("flagd:flags.flagd.json"), by(alertName)
	for _, good := range [][]webhook.Change{{person, alert}, {alert, person}} {
		if !recordedOnce(good) {
			t.Errorf("%v is as it should be", good)
		}
	}
	for _, bad := range [][]webhook.Change{nil, {person}, {alert}, {person, person}, {person, alert, person}, {person, by("somebody")}} {
		if recordedOnce(bad) {
			t.Errorf("%v is not as it should be", bad)
		}
	}
}
