package vwo

import (
	"slices"
	"time"
)

// Reason says why an alert was refused or ignored, or that it is acted on.
type Reason string

// Why a request is refused: it may not be from Sentry at all.
const (
	ReasonMethod       Reason = "the method is not POST"
	ReasonTooLarge     Reason = "the body is too large"
	ReasonUnreadable   Reason = "the body did not arrive in full"
	ReasonBusy         Reason = "too many requests at once"
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
	ReasonClosed      Reason = "the incident is closed already"
	ReasonRuleEdited  Reason = "it was resolved by something other than the rule"
	ReasonNoTime      Reason = "it has no usable signed time"
	ReasonOld         Reason = "its signed time is too old"
	ReasonFuture      Reason = "its signed time is in the future"
	ReasonRepeat      Reason = "the same body was seen before"
	ReasonCoolingDown Reason = "the same alert switched the flag within the cool-down"
	ReasonOvertaken   Reason = "a later alert has switched the flag the other way"
	ReasonCap         Reason = "the cap per hour is reached"
)

// Why an alert acts, or would.
const (
	ReasonActs   Reason = "a rule matches"
	ReasonDryRun Reason = "a rule matches, and it is a dry run"
)

// ReportTag is the tag that marks, with any value, an event which tells of the
// relay's own trouble. Issue alerts about such an event never act. Set it on what
// you send to Sentry from [RelayConfig.OnReport], so that the report of a kill
// that failed cannot trigger the kill again.
//
// Metric alerts carry no tags, and count such an event like any other: send
// reports to a project that no rule names.
const ReportTag = "sentryflags.relay"

// maxAhead is how far a signed time may be ahead of the clock here. Sentry lets
// an event's be a minute ahead of its own.
const maxAhead = 5 * time.Minute

// kill is a state that a flag is to be set to. Its JSON is what the store
// keeps: the decision and nothing of the alert but its name.
type kill struct {
	Version     int       `json:"v"`
	Alert       string    `json:"alert"`
	Trigger     Trigger   `json:"trigger"`
	Environment string    `json:"environment"`
	Feature     string    `json:"feature"`
	Flag        string    `json:"flag"`
	Enabled     bool      `json:"enabled"`
	AcceptedAt  time.Time `json:"accepted_at"`
}

func (k *kill) target() Target { return Target{Environment: k.Environment, Feature: k.Feature} }

// decide returns what an authentic alert would do. It depends on nothing but
// the alert, the rules and the clock; repeats are another matter.
func decide(a *alert, rules []Rule, maxAge time.Duration, now time.Time) ([]kill, Reason) {
	switch {
	case a.resource != resourceEventAlert && a.resource != resourceMetricAlert:
		return nil, ReasonResource
	case !canAct(a.trigger()):
		return nil, ReasonAction
	case has(a.tags, "sample_event", "yes"):
		return nil, ReasonTest
	case slices.ContainsFunc(a.tags, func(t pair) bool { return t.name == ReportTag }):
		return nil, ReasonOwnReport
	}
	kills := match(a, rules)
	if len(kills) == 0 {
		return nil, ReasonNoRule
	}
	if reason := standing(a); reason != "" {
		return nil, reason
	}
	if reason := age(a.at, maxAge, now); reason != "" {
		return nil, reason
	}
	return kills, ReasonActs
}

func canAct(t Trigger) bool {
	return t == IssueAlertTriggered || t == MetricAlertCritical || t == MetricAlertWarning || t == MetricAlertResolved
}

// match collects what the matching rules ask for, each flag once. Where two
// rules disagree, off wins.
func match(a *alert, rules []Rule) []kill {
	var kills []kill
	for i := range rules {
		rule := &rules[i]
		if !rule.matches(a) {
			continue
		}
		asked := kill{
			Version: 1, Trigger: a.trigger(), Flag: rule.Flag, Enabled: rule.SwitchOn,
			Environment: rule.Target.Environment, Feature: rule.Target.Feature,
		}
		known := slices.IndexFunc(kills, func(k kill) bool { return k.target() == rule.Target })
		switch {
		case known < 0:
			kills = append(kills, asked)
		case !asked.Enabled:
			kills[known] = asked
		}
	}
	return kills
}

// standing says what is wrong with an incident's state.
func standing(a *alert) Reason {
	switch {
	case a.resource != resourceMetricAlert:
		return ""
	case a.action == "resolved" && a.statusMethod != methodRuleTriggered:
		return ReasonRuleEdited
	case a.action != "resolved" && a.status == statusClosed:
		return ReasonClosed
	}
	return ""
}

func age(at time.Time, maxAge time.Duration, now time.Time) Reason {
	switch {
	case at.IsZero():
		return ReasonNoTime
	case now.Sub(at) > maxAge:
		return ReasonOld
	case at.Sub(now) > maxAhead:
		return ReasonFuture
	}
	return ""
}
