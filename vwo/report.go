package vwo

import (
	"errors"
	"log/slog"
	"time"
)

// What a [Report] is about, for errors.Is on its Err.
var (
	// ErrNotSwitched means that a flag was not switched and will not be tried
	// again: it is to be done by hand.
	ErrNotSwitched = errors.New("vwo: the flag was not switched; switch it by hand")
	// ErrExpired comes with ErrNotSwitched when MaxAge passed before it worked:
	// whether it is still wanted is for a person to say.
	ErrExpired = errors.New("vwo: it came too late")
	// ErrDelayed means that a flag is not switched yet and that waiting alone may
	// not help: VWO refuses the token, say, or another relay holds the queue. It
	// is tried again until MaxAge has passed.
	ErrDelayed = errors.New("vwo: the flag is not switched yet; it is tried again, but look at the cause")
	// ErrNotRecorded means that a flag was switched, and Sentry's flag log will
	// not show it.
	ErrNotRecorded = errors.New("vwo: the switch was not recorded")
	// ErrStore means that the store did not take an accepted alert in time, or
	// cannot be read. The switch is done from memory and would not survive a
	// crash.
	ErrStore = errors.New("vwo: the store failed")
	// ErrCapReached means that an alert was ignored because of the cap per hour.
	ErrCapReached = errors.New("vwo: the cap per hour is reached; the alert was ignored")
)

// Report is trouble that needs a person.
type Report struct {
	// Err says what is wrong, and wraps the cause.
	Err error
	// Alert is the alert's name, without control characters and at most 100 code
	// points long. Empty when it is about the store as such.
	Alert string
	// Target and Enabled are what was to be set.
	Target  Target
	Enabled bool
	// AcceptedAt is when the alert was accepted.
	AcceptedAt time.Time
	// Attempts is how often it was tried in this process.
	Attempts int
}

// LogValue implements slog.LogValuer.
func (r Report) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("err", errText(r.Err)),
		slog.String("alert", quote(r.Alert)),
		slog.String("flag", r.Target.String()),
		slog.Bool("enabled", r.Enabled),
		slog.Time("accepted_at", r.AcceptedAt),
		slog.Int("attempts", r.Attempts),
	)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// report logs and hands on. A callback that panics does not stop the relay.
func (r *Relay) report(report Report) {
	r.config.Logger.Error("vwo relay: needs attention", "report", report)
	if r.config.OnReport == nil {
		return
	}
	defer r.recovered("OnReport")
	r.config.OnReport(report)
}

// recovered is deferred around what is not ours.
func (r *Relay) recovered(what string) {
	if v := recover(); v != nil {
		r.config.Logger.Error("vwo relay: recovered from a panic", "in", what)
	}
}

func reportOf(k *kill, err error, attempts int) Report {
	return Report{Err: err, Alert: k.Alert, Target: k.target(), Enabled: k.Enabled, AcceptedAt: k.AcceptedAt, Attempts: attempts}
}
