package killswitch

import (
	"errors"
	"log/slog"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// What a [Report] is about, for errors.Is on its Err.
var (
	// ErrNotSwitched means that a flag was not switched and will not be tried
	// again: it is to be done by hand, or retried once the cause is gone.
	ErrNotSwitched = errors.New("killswitch: the flag was not switched; switch it by hand")
	// ErrExpired comes with ErrNotSwitched when MaxAge passed before it worked:
	// whether it is still wanted is for a person to say.
	ErrExpired = errors.New("killswitch: it came too late")
	// ErrDelayed means that a flag is not switched yet and that waiting alone may
	// not help: the flag system refuses the token, say. It is tried again until
	// MaxAge has passed.
	ErrDelayed = errors.New("killswitch: the flag is not switched yet; it is tried again, but look at the cause")
	// ErrUnconfirmed means that the flag system took a switch and did not say
	// that the flag is so now. It counts as done: have a look.
	ErrUnconfirmed = errors.New("killswitch: the flag was switched, as far as its flag system tells")
	// ErrNotRecorded means that a flag was switched, and Sentry's flag log does
	// not show it (yet).
	ErrNotRecorded = errors.New("killswitch: the switch is not recorded")
	// ErrStore means that the store does not take what it is given, or cannot be
	// read. Flags are switched off all the same, from memory, and that would not
	// survive a crash; none is switched on.
	ErrStore = errors.New("killswitch: the store failed")
	// ErrDidNotAct means that an alert that a rule matches did not act: Reason
	// says why.
	ErrDidNotAct = errors.New("killswitch: a rule matched this alert, and it did not act")
	// ErrOvertaken means that a switch was given up, or undone, because a newer
	// alert or a person has decided the other way.
	ErrOvertaken = errors.New("killswitch: a newer decision about the flag has gone before")
	// ErrNearlyNamed means that an alert has almost the name that a rule has, so
	// that the rule does not act: it was renamed or misspelt.
	ErrNearlyNamed = errors.New("killswitch: no rule names this alert exactly, and one almost does")
	// ErrBadSignatures means that request after request came with a wrong
	// signature and none with a right one: the client secret was rotated, say. Or
	// somebody is trying.
	ErrBadSignatures = errors.New("killswitch: nothing but wrong signatures arrives; compare the client secret with the one in Sentry")
	// ErrSomeBadSignatures means that several signatures were wrong within an hour
	// and others right: whatever is in front of the relay changes some bodies
	// (those with letters outside of ASCII, say), or a secret is being replaced. Or
	// somebody is trying.
	ErrSomeBadSignatures = errors.New("killswitch: some signatures are wrong and others right; see whether a proxy changes bodies, and whether a secret is being replaced")
	// ErrUnsigned means that request after request came as Sentry sends them, but
	// without a signature, and none with one: a proxy passes only the headers that
	// it knows, say.
	ErrUnsigned = errors.New("killswitch: nothing but requests without a signature arrives; see whether a proxy drops the header Sentry-Hook-Signature")
	// ErrBadHeaders means that request after request came without the right second
	// header, and none with it.
	ErrBadHeaders = errors.New("killswitch: nothing but requests with a wrong second header arrives; compare it with the one that was added to the integration in Sentry")
	// ErrOtherInstallation means that alert after alert was signed for another
	// installation than Config.Installation: the integration was made anew, say.
	ErrOtherInstallation = errors.New("killswitch: nothing but alerts for another installation arrives; compare the uuid with the one in the alerts")
	// ErrUnreadable means that Sentry has signed an alert of which it cannot be
	// told what it says, so that no rule could act.
	ErrUnreadable = errors.New("killswitch: Sentry sent an alert that cannot be read")
	// ErrBodyRead means that something in front of the relay reads the bodies, so
	// that no signature can be right.
	ErrBodyRead = errors.New("killswitch: the body was read before the relay got it; put the relay in front of the middleware that does")
)

// Report is trouble that needs a person.
type Report struct {
	// Err says what is wrong, and wraps the cause.
	Err error
	// Reason is why an alert did not act, for ErrDidNotAct.
	Reason Reason
	// Alert is the alert's name, without control characters and at most 100 code
	// points long. Empty when it is about the relay or the store as such.
	Alert string
	// Target and On are what was to be set.
	Target Target
	On     bool
	// At is when the alert was accepted.
	At time.Time
	// Attempts is how often it was tried in this process.
	Attempts int
}

// LogValue implements slog.LogValuer.
func (r Report) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("err", errorText(r.Err))}
	if r.Reason != "" {
		attributes = append(attributes, slog.String("reason", string(r.Reason)))
	}
	if r.Alert != "" {
		attributes = append(attributes, slog.String("alert", visible.Quote(r.Alert)))
	}
	if r.Target.Flag != "" {
		attributes = append(attributes, slog.String("flag", r.Target.String()), slog.Bool("on", r.On), slog.Time("at", r.At), slog.Int("attempts", r.Attempts))
	}
	return slog.GroupValue(attributes...)
}

func reportOf(k *kill, err error, attempts int) Report {
	return Report{Err: err, Alert: k.Alert, Target: k.Target, On: k.On, At: k.At, Attempts: attempts}
}

// report logs and hands on. A callback that panics does not stop the relay.
func (r *Relay) report(report Report) {
	r.counts.reported()
	r.config.Logger.Error("killswitch: needs attention", "report", report)
	if r.config.OnReport == nil {
		return
	}
	defer r.recovered("OnReport")
	r.config.OnReport(report)
}

// reportOnce reports what would be said over and over, at most once an hour for
// each what.
func (r *Relay) reportOnce(what string, report Report) {
	if r.said.first(what, time.Now()) {
		r.report(report)
	}
}

// recovered is deferred around what is not ours.
func (r *Relay) recovered(what string) {
	if v := recover(); v != nil {
		r.config.Logger.Error("killswitch: recovered from a panic", "in", what)
	}
}
