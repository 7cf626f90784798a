package main

import (
	"fmt"
	"time"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// reporter sends what needs a person to Sentry, as errors.
type reporter struct{ hub *sentry.Hub }

// newReporter makes one; without a DSN it sends nothing, and the log has it all.
func newReporter(dsn string) (*reporter, error) {
	if dsn == "" {
		return &reporter{}, nil
	}
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: dsn})
	if err != nil {
		return nil, fmt.Errorf("SENTRY_DSN is not one") // the cause shows it
	}
	return &reporter{sentry.NewHub(client, sentry.NewScope())}, nil
}

// send marks the event with killswitch.ReportTag, so that no alert about it acts: a
// kill that failed must not trigger itself again.
func (r *reporter) send(report killswitch.Report) {
	if r.hub == nil {
		return
	}
	hub := r.hub.Clone()
	hub.Scope().SetTag(killswitch.ReportTag, "yes")
	hub.Scope().SetTag("flag", report.Target.String())
	hub.Scope().SetContext("switch", sentry.Context{
		"alert": report.Alert, "on": report.On, "at": report.At, "reason": string(report.Reason), "attempts": report.Attempts,
	})
	hub.CaptureException(report.Err)
}

// close sends what is on its way.
func (r *reporter) close() {
	if r.hub != nil {
		r.hub.Flush(5 * time.Second)
		r.hub.Client().Close()
	}
}
