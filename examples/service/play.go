package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

//go:embed flags.flagd.json
var flagFile string

// edit is what the person does to the flag file.
var edit = strings.NewReplacer(`"defaultVariant": "off"
    }
  }`, `"defaultVariant": "off",
      "targeting": {"fractional": [["on", 50], ["off", 50]]}
    }
  }`)

const (
	patience     = time.Minute          // for one thing to come about
	calm         = time.Second          // without a failure, and the shop is healthy
	healthWithin = 2 * time.Second      // of the alert
	stopWithin   = time.Minute          // with everything delivered
	glance       = 5 * time.Millisecond // how often to see whether it has come about
)

// play is one run: what happens to the service, and what came of it.
type play struct {
	out    io.Writer
	sentry *standIn
	flags  string // the flag file
	load   *load
	began  time.Time
	took   time.Duration // of the load

	mu      sync.Mutex
	reports []error
}

// reported is called when the kill switch needs a person, which it must not here.
func (p *play) reported(r killswitch.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports = append(p.reports, r.Err)
}

// perform serves, calls, and plays the person.
func (p *play) perform(ctx context.Context, s *service, length time.Duration, rate int) error {
	var listening net.ListenConfig
	web, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	rpc, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, web.Close())
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	server := &http.Server{Handler: s.HTTP, ReadHeaderTimeout: time.Second}
	defer func() { _ = server.Close() }()
	defer s.GRPC.Stop()
	serving.Go(func() { _ = server.Serve(web) }) // until it is closed
	serving.Go(func() { _ = s.GRPC.Serve(rpc) })
	p.sentry.relay = "http://" + web.Addr().String() + "/sentry/alerts"
	if p.load, err = newLoad(web.Addr(), rpc.Addr(), rate); err != nil {
		return err
	}
	defer p.load.close()

	calling, stop := context.WithCancel(ctx)
	defer stop()
	var calls sync.WaitGroup
	p.began = time.Now()
	calls.Go(func() {
		p.load.run(calling)
		p.took = time.Since(p.began)
	})
	err = p.story(ctx, length)
	stop()
	calls.Wait() // for the last answers, before the servers are closed
	return err
}

// story is what happens while the users go on.
func (p *play) story(ctx context.Context, length time.Duration) error {
	p.say("the shop is open, over HTTP and gRPC; new-checkout is off")
	if err := pause(ctx, calm); err != nil {
		return err
	}
	if err := p.edit(); err != nil {
		return err
	}
	p.say("a person edits the flag file: new-checkout for half of the users")
	if err := p.until(ctx, "a checkout fails", func() bool { return !p.load.badSpan().first.IsZero() }); err != nil {
		return err
	}
	p.say("the first checkout fails, behind the flag")
	if err := p.until(ctx, "Sentry raises the alert", func() bool { return !p.sentry.alertedAt().IsZero() }); err != nil {
		return err
	}
	p.say("Sentry has %d events of the issue and raises the alert %q, signed", alertAfter, alertName)
	if err := p.until(ctx, "the checkouts work again", func() bool {
		content, err := os.ReadFile(p.flags)
		return err == nil && strings.Contains(string(content), `"DISABLED"`) && time.Since(p.load.badSpan().last) > calm
	}); err != nil {
		return err
	}
	p.say("the kill switch has switched new-checkout off in the file; no checkout has failed behind it for %v", calm)
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := p.sentry.flagLog.WaitChanges(waiting, 2); err != nil {
		return fmt.Errorf("the flag log: %w", err)
	}
	for _, change := range p.sentry.flagLog.Changes() {
		p.say("Sentry's flag log: %s %s by %s", change.Flag, change.Action, change.CreatedBy.ID)
	}
	return pause(ctx, length)
}

// edit replaces the file as editors do, by a rename.
func (p *play) edit() error {
	if err := os.WriteFile(p.flags+"~", []byte(edit.Replace(flagFile)), 0o600); err != nil {
		return err
	}
	return os.Rename(p.flags+"~", p.flags)
}

func (p *play) say(format string, args ...any) {
	fmt.Fprintf(p.out, "%6.2fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

func (p *play) until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		if err := pause(ctx, glance); err != nil {
			return fmt.Errorf("waited in vain until %s: %w", what, err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx) // which signal, if it was one
	case <-time.After(d):
		return nil
	}
}

// errBusy is a run in which everything came about, and something too late.
var errBusy = errors.New("this machine is too slow for the rate, or too busy")

// sumUp prints what a user asks, and fails if any of it is not as it should be.
func (p *play) sumUp(with, without cost, rate int) error {
	v, bad, requests := p.sentry.judge(p.load.failed), p.load.badSpan(), p.load.sent.Load()
	recorded := p.sentry.flagLog.Changes()
	healthy, afterAlert := bad.last.Sub(bad.first), bad.last.Sub(p.sentry.alertedAt())
	fmt.Fprintf(p.out, `
%d requests in %.1f s, %.0f a second (%d asked for), half of them over gRPC; %d failed
errors with the right flags %d, with wrong or missing ones %d; in an OpenTelemetry trace %d
from the first error to the last %v; after the alert %v
a request with flagtrack %v and %.0f allocations; without %v and %.0f

`, requests, p.took.Seconds(), float64(requests)/p.took.Seconds(), rate, len(p.load.failed), v.right, v.wrong, v.traced, round(healthy), round(max(afterAlert, 0)),
		with.time.Round(100*time.Nanosecond), with.allocs, without.time.Round(100*time.Nanosecond), without.allocs)

	var wrong, late []error
	expect := func(holds bool, format string, args ...any) {
		if !holds {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	inTime := func(err, tooLate error) {
		switch {
		case errors.Is(err, tooLate):
			late = append(late, err)
		case err != nil:
			wrong = append(wrong, err)
		}
	}
	expect(p.load.oddly == 0, "%d requests failed for another reason, the first: %w", p.load.oddly, p.load.odd)
	expect(v.wrong == 0, "%s", v.first)
	expect(v.traced == v.right, "%d errors are in no trace", v.right-v.traced)
	if afterAlert > healthWithin {
		late = append(late, fmt.Errorf("healthy only %v after the alert", afterAlert))
	}
	inTime(p.sentry.failed, context.DeadlineExceeded)
	for _, report := range p.reports { // the kill switch needs a person
		inTime(report, killswitch.ErrStore)
	}
	expect(recordedOnce(recorded), "the flag log has %d changes, not one of the person and one of the alert: %+v", len(recorded), recorded)
	fmt.Fprintf(p.out, "service: %d errors carried the right flags, %d did not; healthy again after %v; %d changes recorded\n", v.right, v.wrong, round(healthy), len(recorded))
	if wrong == nil && late != nil {
		return fmt.Errorf("%w: %w", errBusy, errors.Join(late...))
	}
	return errors.Join(append(wrong, late...)...)
}

// recordedOnce says whether the flag log has the person's edit and the alert's
// switch. The former has the file for an author, because no file names its own.
func recordedOnce(recorded []webhook.Change) bool {
	by := map[string]int{}
	for _, change := range recorded {
		if change.Flag != "new-checkout" || change.Action != webhook.ActionUpdated {
			return false
		}
		by[change.CreatedBy.ID]++
	}
	return maps.Equal(by, map[string]int{"flagd:flags.flagd.json": 1, alertName: 1})
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
