package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// checkWithin bounds the check: VWO takes a request per second.
const checkWithin = 2 * time.Minute

// check asks VWO and Sentry whether the configuration is right, and changes
// nothing.
func (s *service) check(ctx context.Context) (atVWO, atSentry error) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	targets := make([]killswitch.Target, len(s.targets))
	for i, t := range s.targets {
		targets[i] = killswitch.Target{Flag: t.Feature, Attributes: map[string]string{"environment": t.Environment}}
	}
	atVWO = s.vwo.Check(ctx, targets...)
	if s.flags != nil {
		atSentry = s.flags.Check(ctx)
	}
	return atVWO, atSentry
}

// runCheck is -check.
func runCheck(ctx context.Context, c config, out io.Writer) error {
	if err := c.checkDatabase(); err != nil {
		return err
	}
	reports, err := newReporter(c.dsn.text())
	if err != nil {
		return err
	}
	reports.close()
	// What is accepted and waits in the store is not touched.
	c.Store, c.database, c.DryRun = "", hidden{}, true
	s, err := newService(ctx, c, options{})
	if err != nil {
		return err
	}
	atVWO, atSentry := s.check(ctx)
	fmt.Fprintf(out, "rules:     %d\n", len(c.Rules))
	fmt.Fprintf(out, "VWO:       %s\n", result(atVWO))
	if s.flags == nil {
		fmt.Fprintln(out, "flag log:  not configured: switches will not show in Sentry")
	} else {
		fmt.Fprintf(out, "flag log:  %s\n", result(atSentry))
	}
	return errors.Join(atVWO, atSentry, s.close(context.WithoutCancel(ctx)))
}

func result(err error) string {
	if err != nil {
		return "FAILED: " + err.Error()
	}
	return "ok"
}

// startCheck lets the program start when VWO or Sentry cannot be reached, since
// that is when it may be needed, but not with a configuration that is wrong.
func startCheck(ctx context.Context, s *service, logger *slog.Logger) error {
	atVWO, atSentry := s.check(ctx)
	if atVWO != nil {
		if isAway(atVWO) {
			logger.Warn("killswitch: VWO cannot be asked now; the rules are not checked", "err", atVWO.Error())
		} else {
			return fmt.Errorf("VWO says that the configuration is wrong: %w", atVWO)
		}
	}
	if atSentry != nil { // the switches matter more than their records
		logger.Error("killswitch: Sentry's flag log cannot be written now", "err", atSentry.Error())
	}
	if s.flags == nil {
		logger.Warn("killswitch: no flag log is configured; switches will not show in Sentry")
	}
	return nil
}

func isAway(err error) bool {
	for _, away := range []error{
		vwo.ErrUnavailable, vwo.ErrRateLimited, vwo.ErrUnexpectedAnswer, context.DeadlineExceeded, context.Canceled, webhook.ErrAmbiguous,
	} {
		if errors.Is(err, away) {
			return true
		}
	}
	return false
}
