package killswitch

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// Verdict is what the relay makes of a request.
type Verdict string

// The verdicts.
const (
	// Refused: it is not certain that Sentry sent it. Answered 4xx, or 500 or 503
	// when that is the receiver's fault.
	Refused Verdict = "refused"
	// Ignored: Sentry sent it, and nothing happens. Answered 200.
	Ignored Verdict = "ignored"
	// Acted: flags are being switched, or would be in a dry run. Answered 200
	// when they have been, or 202.
	Acted Verdict = "acted"
)

// Reason says why an alert was refused or ignored, or that it is acted on.
type Reason string

// Why a request is refused: it may not be from Sentry at all.
const (
	ReasonMethod       Reason = "the method is not POST"
	ReasonTooLarge     Reason = "the body is too large"
	ReasonUnreadable   Reason = "the body did not arrive in full"
	ReasonBodyRead     Reason = "the body was read before it got here, by a middleware: put the relay before it"
	ReasonBusy         Reason = "too many large bodies at once"
	ReasonClosing      Reason = "the relay is closing"
	ReasonUnsigned     Reason = "the signature is missing"
	ReasonForged       Reason = "the signature is wrong"
	ReasonHeader       Reason = "the second header is missing or wrong"
	ReasonEmpty        Reason = "the body is empty"
	ReasonInstallation Reason = "it is from another installation"
	ReasonContradicted Reason = "the resource header contradicts the body"
)

// Why an authentic alert is ignored.
const (
	ReasonMalformed   Reason = "the body cannot be read"
	ReasonResource    Reason = "the resource never acts"
	ReasonAction      Reason = "the action never acts"
	ReasonTest        Reason = "it is a test notification"
	ReasonOwnReport   Reason = "it is about a report of the relay's own"
	ReasonNoRule      Reason = "no rule matches"
	ReasonFlagAbsent  Reason = "its event does not show the flag"
	ReasonClosed      Reason = "the incident is closed already"
	ReasonNoTime      Reason = "it has no usable signed time"
	ReasonOld         Reason = "its signed time is too old"
	ReasonFuture      Reason = "its signed time is in the future"
	ReasonRepeat      Reason = "the same body was seen before"
	ReasonCoolingDown Reason = "the same alert switched the flag within the cool-down"
	ReasonOvertaken   Reason = "a later alert has decided the other way"
	ReasonCap         Reason = "the cap per hour is reached"
)

// Why an alert acts, or would.
const (
	ReasonActs   Reason = "a rule matches"
	ReasonDryRun Reason = "a rule matches, and it is a dry run"
)

// ReportTag is the tag that marks, with any value, an event which tells of the
// relay's own trouble. Issue alerts about such an event never act. Set it on what
// you send to Sentry from [Config.OnReport], so that the report of a kill that
// failed cannot trigger the kill again.
//
// Metric alerts carry no tags, and count such an event like any other: send
// reports to a project that no rule names.
const ReportTag = "sentryflags.relay"

// Decision is what the relay made of one request.
type Decision struct {
	Verdict Verdict
	Reason  Reason
	// Status is the HTTP status of the answer; 0 while it is not known yet.
	Status int
	// Trigger is Sentry's resource and action, as recognised from the signed
	// body; empty for what was refused before.
	Trigger Trigger
	// Alert and Project are the names in the alert. They are foreign text: cut
	// to 100 code points, control characters removed.
	Alert, Project string
	// SignedAt is the time in the signed body; zero if it has none.
	SignedAt time.Time
	// Targets are the flags that are switched. SwitchOn is those among them
	// that are switched on.
	Targets, SwitchOn []Target
	// Note says more about the reason: which rule comes closest, and what it
	// fails at; which rule a test notification's name would meet.
	Note string
}

func (d *Decision) describe(a *alert.Alert) {
	d.Trigger = Trigger(printable(a.Trigger(), maxQuoted))
	d.Alert = printable(a.Name, maxQuoted)
	if n := len(a.Projects); n > 0 {
		d.Project = printable(a.Projects[n-1], maxQuoted)
	}
	d.SignedAt = a.At
}

// LogValue implements slog.LogValuer.
func (d Decision) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("verdict", string(d.Verdict)),
		slog.String("reason", string(d.Reason)),
		slog.Int("status", d.Status),
	}
	if d.Trigger != "" {
		attributes = append(attributes, slog.String("trigger", visible.Quote(string(d.Trigger))))
	}
	if d.Alert != "" {
		attributes = append(attributes, slog.String("alert", visible.Quote(d.Alert)), slog.String("project", visible.Quote(d.Project)), slog.Time("signed_at", d.SignedAt))
	}
	if len(d.Targets) > 0 {
		attributes = append(attributes, slog.Any("flags", names(d.Targets)), slog.Any("switch_on", names(d.SwitchOn)))
	}
	if d.Note != "" {
		attributes = append(attributes, slog.String("note", d.Note))
	}
	return slog.GroupValue(attributes...)
}

func names(targets []Target) []string {
	var all []string
	for _, t := range targets {
		all = append(all, t.String())
	}
	return all
}

// asked is a kill that a rule asks for.
type asked struct {
	kill    kill
	toggler string
}

// decide returns what an authentic alert asks for, whatever was decided before.
// It depends on nothing but the alert, the rules and the clock. What a rule asks
// for is returned with most reasons against it, too.
func decide(a *alert.Alert, rules []Rule, maxAge time.Duration, now time.Time) ([]asked, Reason) {
	trigger := Trigger(a.Trigger())
	switch {
	case a.Resource != alert.EventAlert && a.Resource != alert.MetricAlert && a.Resource != alert.ActivityAlert:
		return nil, ReasonResource
	case !slices.Contains(canAct, trigger):
		return nil, ReasonAction
	case a.IsTest():
		return nil, ReasonTest
	case slices.ContainsFunc(a.Tags, func(t alert.Pair) bool { return t.Name == ReportTag }):
		return nil, ReasonOwnReport
	}
	kills, absent := match(a, rules, now)
	switch {
	case len(kills) == 0 && len(absent) > 0:
		return absent, ReasonFlagAbsent
	case len(kills) == 0:
		return nil, ReasonNoRule
	case a.Incident != nil && trigger != MetricAlertResolved && a.Incident.Status == alert.StatusClosed:
		return kills, ReasonClosed
	case a.At.IsZero():
		return kills, ReasonNoTime
	case a.At.Sub(now) > maxAhead:
		return kills, ReasonFuture
	case now.Sub(a.At) > maxAge:
		return kills, ReasonOld
	}
	return kills, ReasonActs
}

// match collects what the matching rules ask for, each flag once, and what rules
// ask for to which only the evaluated flag is missing. Where two rules disagree,
// off wins.
func match(a *alert.Alert, rules []Rule, now time.Time) (kills, absent []asked) {
	for i := range rules {
		rule := &rules[i]
		matches, lacks := rule.matches(a)
		if !matches && !lacks {
			continue
		}
		one := asked{toggler: rule.Toggler, kill: killOf(rule, a, now)}
		if lacks {
			absent = append(absent, one)
			continue
		}
		known := slices.IndexFunc(kills, func(k asked) bool { return k.toggler == one.toggler && k.kill.Target.Equal(rule.Target) })
		switch {
		case known < 0:
			kills = append(kills, one)
		case !one.kill.On:
			kills[known] = one
		}
	}
	return kills, absent
}

func killOf(rule *Rule, a *alert.Alert, now time.Time) kill {
	return kill{
		Version: killVersion,
		Target:  rule.Target, Flag: rule.Flag, On: rule.SwitchOn,
		Alert: authorOf(a), Trigger: Trigger(a.Trigger()), At: now.UTC().Truncate(time.Microsecond),
		Signed: a.At, Identity: identity(a), Incident: incident(a), Ends: a.Action == "resolved",
	}
}

// identity tells alert rules apart: by id where there is one, since people edit
// names. It is a digest, for names are foreign text of any length.
func identity(a *alert.Alert) string {
	rule := "name " + a.Name
	if a.RuleID != "" {
		rule = "id " + a.RuleID
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{string(a.Resource), rule}, a.Projects...), "\x00")))
	return hex.EncodeToString(sum[:16])
}

// incident is the id of what opens and closes.
func incident(a *alert.Alert) string {
	if a.Resource != alert.MetricAlert {
		return ""
	}
	return visible.First(a.ID, maxQuoted)
}

// authorOf is the name under which a switch shows in Sentry's flag log: the
// alert's, as far as it can be printed.
func authorOf(a *alert.Alert) string {
	if name := strings.TrimSpace(printable(strings.TrimSpace(a.Name), webhook.MaxAuthorID)); name != "" {
		return name
	}
	return strings.TrimSpace("Sentry alert " + cmp.Or(printable(a.RuleID, maxQuoted/2), ""))
}
