package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/storefile"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const (
	// checkWithin bounds one check: VWO takes a request per second.
	checkWithin = 2 * time.Minute
	// checkSoon is when to ask again after something was wrong, twice as long each
	// time and at most checkAgain.
	checkSoon  = 30 * time.Second
	checkAgain = 15 * time.Minute
	// checkEvery is when to ask again after all was right: tokens end and features
	// are archived, and nobody would know before the next alert.
	checkEvery = time.Hour
	// checkFirst is how long a process that has not asked yet heeds that another one
	// has: that may be dead, and have had another token.
	checkFirst = 2 * time.Minute
	// quiet is how long a switch keeps the check away: flag systems count requests
	// by token.
	quiet = 10 * time.Second
)

// checker asks the flag systems, while the service runs, whether the targets of
// the rules are there. It changes nothing, stops nothing, and gives way to any
// switch: of several services that share a store, one asks at a time.
type checker struct {
	parts  *parts
	logger *slog.Logger
	owner  string
	began  time.Time

	mu     sync.Mutex
	cancel context.CancelFunc // of the check that is running
	wait   time.Time          // not before
	found  map[string]string  // troubles by toggler
	failed map[string]int     // how often in a row, of those that were asked
}

func newChecker(p *parts, logger *slog.Logger) *checker {
	return &checker{parts: p, logger: logger, owner: rand.Text(), began: time.Now(), found: map[string]string{}, failed: map[string]int{}}
}

// giveWay ends a check that is running, and keeps the next one away for a while.
func (c *checker) giveWay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait = time.Now().Add(quiet)
	if c.cancel != nil {
		c.cancel()
	}
}

func (c *checker) troubles() []killswitch.Trouble {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []killswitch.Trouble
	for _, name := range slices.Sorted(maps.Keys(c.found)) {
		all = append(all, killswitch.Trouble{Text: fmt.Sprintf("toggler %s: %s", name, c.found[name])})
	}
	return all
}

// run checks every toggler, again and again.
func (c *checker) run(ctx context.Context) {
	var all sync.WaitGroup
	for name := range c.parts.togglers {
		all.Go(func() {
			for wait := time.Duration(0); pause(ctx, wait); {
				wait = c.once(ctx, name)
			}
			c.leave(context.WithoutCancel(ctx), name)
		})
	}
	all.Wait()
}

// leave lets the next process ask at once: a restart is how a new token or rule
// comes into use.
func (c *checker) leave(ctx context.Context, name string) {
	if store := c.parts.store; store != nil && c.asked(name) {
		ctx, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		_ = store.Resume(ctx, leaseOf(name))
	}
}

func (c *checker) asked(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, asked := c.failed[name]
	return asked
}

func leaseOf(toggler string) string { return "check:" + killswitch.QueueName("", toggler) }

// once checks a toggler, unless another service does or a switch is under way,
// and says when to come again.
func (c *checker) once(ctx context.Context, name string) (again time.Duration) {
	c.mu.Lock()
	left := time.Until(c.wait)
	checking, cancel := context.WithTimeout(ctx, checkWithin)
	c.cancel = cancel
	c.mu.Unlock()
	defer cancel()
	if left > 0 {
		return left
	}
	if store := c.parts.store; store != nil {
		lease := leaseOf(name)
		wait, err := store.Lease(checking, lease, c.owner, checkWithin)
		heed := checkFirst - time.Since(c.began)
		if err == nil && wait > 0 && heed <= 0 && !c.asked(name) {
			if err = store.Resume(checking, lease); err == nil { // who is asking goes on
				wait, err = store.Lease(checking, lease, c.owner, checkWithin)
			}
		}
		switch {
		case err != nil:
			return quiet
		case wait > 0 && heed > 0 && !c.asked(name):
			return min(wait, heed)
		case wait > 0:
			return wait // another one asks, or has asked
		}
		defer func() {
			call, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer stop()
			rest := time.Duration(0)
			if again == checkEvery {
				rest = checkAgain
			}
			_ = store.Release(call, lease, c.owner, rest)
		}()
	}
	err := checkToggler(checking, c.parts, name)
	if checking.Err() != nil && ctx.Err() == nil {
		return quiet // it gave way
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.found, name)
	if err == nil {
		if failed, asked := c.failed[name]; failed > 0 || !asked {
			c.logger.Info("killswitch: checked", "toggler", name)
		}
		c.failed[name] = 0
		return checkEvery
	}
	again = min(checkSoon<<min(c.failed[name], 10), checkAgain)
	if ctx.Err() == nil {
		c.failed[name]++
		c.found[name] = err.Error()
		c.logger.Error("killswitch: the check failed; the rules that are right work all the same", "toggler", name, "err", err.Error())
	}
	return again
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// checkToggler asks a flag system for the targets of the rules.
func checkToggler(ctx context.Context, p *parts, name string) error {
	asks, ok := p.togglers[name].(killswitch.Checker)
	targets := p.targetsOf(name)
	if !ok || len(targets) == 0 {
		return nil
	}
	return asks.Check(ctx, targets...)
}

// targetsOf lists what the rules switch through a toggler.
func (p *parts) targetsOf(name string) (targets []killswitch.Target) {
	for _, rule := range p.rules {
		if rule.Toggler == name || rule.Toggler == "" && len(p.togglers) == 1 {
			targets = append(targets, rule.Target)
		}
	}
	return targets
}

// runCheck is -check: strict, where the service is lenient.
func runCheck(ctx context.Context, c config, out io.Writer) error {
	reports, err := newReporter(c.dsn.text())
	if err != nil {
		return err
	}
	reports.close()
	if err := c.checkServing(); err != nil {
		return err
	}
	if c.Store != "" { // none is made where there is none yet
		var done func() error
		if c.Store, done, err = storefile.Trial(c.Store); err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		defer func() { _ = done() }()
	}
	p, err := newParts(ctx, c, options{})
	if err != nil {
		return err
	}
	defer func() { _ = p.close(context.WithoutCancel(ctx)) }()
	// What is accepted and waits in the store is not touched.
	trial, err := killswitch.NewRelay(killswitch.Config{ //nolint:contextcheck // it is closed at once
		Secrets: c.clientSecrets, Rules: p.rules, Togglers: p.togglers, Header: c.Sentry.Header, HeaderValues: c.headerValues,
		MaxAge: time.Duration(c.MaxAge), CoolDown: time.Duration(c.CoolDown), CapPerHour: c.CapPerHour, DryRun: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	_ = trial.Close(ctx)
	deaf := p.printRules(out)
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var failed error
	say := func(what string, err error) {
		text := "ok"
		if err != nil {
			text = "FAILED: " + err.Error()
		}
		fmt.Fprintf(out, "%-14s %s\n", what+":", text)
		failed = errors.Join(failed, err)
	}
	p.printSettings(out)
	for _, name := range c.odd {
		fmt.Fprintf(out, "warning: %s has white space, quotes, an equals sign or the like in it, which no secret of Sentry's has: copy it again\n", name)
	}
	_, err = net.ResolveTCPAddr("tcp", c.Listen)
	say("listen", err)
	if c.Console != "" {
		_, err = net.ResolveTCPAddr("tcp", c.Console)
		say("console", err)
	}
	if id := c.Sentry.Installation; id != "" && !uuid.MatchString(id) {
		say("installation", fmt.Errorf("%q is no uuid: every alert would be refused", id))
	}
	if p.store == nil {
		fmt.Fprintln(out, "store:         none: a crash loses what is under way")
	} else {
		say("store", tryStore(ctx, p.store))
		if names, err := queue.Unattended(ctx, p.store, time.Minute); err == nil && len(names) > 0 {
			fmt.Fprintf(out, "warning: something waits in queues that nobody works on: %s\n", strings.Join(names, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.togglers)) {
		if len(p.targetsOf(name)) == 0 {
			fmt.Fprintf(out, "%-14s no rule uses it\n", "toggler "+name+":")
			continue
		}
		say("toggler "+name, checkToggler(ctx, p, name))
	}
	if p.flags == nil {
		fmt.Fprintln(out, "flag log:      not configured: switches will not show in Sentry")
	} else {
		say("flag log", p.flags.Check(ctx))
	}
	if c.DryRun {
		fmt.Fprintln(out, "dry_run is on: nothing is switched until you set it to false")
	}
	if deaf > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d rules never match: see the warnings", deaf))
	}
	return failed
}

// tryStore reads and writes: a disk that is full lets itself be read.
func tryStore(ctx context.Context, store queue.Store) error {
	lease, owner := leaseOf("check"), rand.Text()
	if _, err := store.Stats(ctx, lease, 1); err != nil {
		return err
	}
	wait, err := store.Lease(ctx, lease, owner, time.Second)
	if err == nil && wait == 0 {
		err = store.Release(ctx, lease, owner, 0)
	}
	return err
}

// uuid is how Sentry writes one.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// printSettings shows what holds, defaults included.
func (p *parts) printSettings(out io.Writer) {
	c := killswitch.Config{MaxAge: time.Duration(p.config.MaxAge), CoolDown: time.Duration(p.config.CoolDown), CapPerHour: p.config.CapPerHour}.WithDefaults()
	cool, most := c.CoolDown.String(), strconv.Itoa(c.CapPerHour)
	if c.CoolDown < 0 {
		cool = "none"
	}
	if c.CapPerHour < 0 {
		most = "none"
	}
	fmt.Fprintf(out, "settings:      max_age %v, cool_down %s, cap_per_hour %s\n", c.MaxAge, cool, most)
}

// printRules shows each rule as it is understood, and what can never hold. It
// counts the rules that never match.
func (p *parts) printRules(out io.Writer) (deaf int) {
	for i, rule := range p.rules {
		does := "off"
		if rule.SwitchOn {
			does = "on"
		}
		fmt.Fprintf(out, "rule %d: switches %s %s", i+1, rule.Target, does)
		if rule.Toggler != "" {
			fmt.Fprintf(out, " through %s", rule.Toggler)
		}
		fmt.Fprintln(out, " if")
		for _, c := range rule.Conditions() {
			fmt.Fprintf(out, "    %s\n", c)
		}
		for _, warning := range rule.Warnings() {
			fmt.Fprintf(out, "    WARNING: %s\n", warning)
		}
		for j, other := range p.rules {
			if rule.SwitchOn && !other.SwitchOn && overlap(rule, other) {
				fmt.Fprintf(out, "    WARNING: rule %d switches the same flag off for the same alert, and off wins\n", j+1)
			}
		}
		if rule.NeverMatches() {
			deaf++
		}
	}
	return deaf
}

// overlap reports whether two rules are about the same flag and the same alert.
func overlap(on, off killswitch.Rule) bool {
	when := off.When
	if len(when) == 0 {
		when = []killswitch.Trigger{killswitch.IssueAlertTriggered, killswitch.MetricAlertCritical}
	}
	return on.Toggler == off.Toggler && on.Target.Equal(off.Target) && on.Alert == off.Alert && on.AlertID == off.AlertID && on.Project == off.Project &&
		slices.ContainsFunc(on.When, func(t killswitch.Trigger) bool { return slices.Contains(when, t) })
}
