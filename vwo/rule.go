package vwo

import (
	"cmp"
	"fmt"
	"slices"
)

// Trigger names what can make a rule act: Sentry's name of the webhook's
// resource, a dot, and the action.
type Trigger string

// The triggers that a [Rule] can name. Everything else that Sentry sends never
// acts.
const (
	// IssueAlertTriggered is an issue alert that has fired.
	IssueAlertTriggered Trigger = "event_alert.triggered"
	// MetricAlertCritical is a metric alert or monitor over its critical
	// threshold.
	MetricAlertCritical Trigger = "metric_alert.critical"
	// MetricAlertWarning is one over its warning threshold.
	MetricAlertWarning Trigger = "metric_alert.warning"
	// MetricAlertResolved is one that has recovered. Sentry sends it for every
	// metric alert, and that cannot be turned off there. Only a rule that
	// switches on can name it.
	MetricAlertResolved Trigger = "metric_alert.resolved"
)

func defaultTriggers() []Trigger { return []Trigger{IssueAlertTriggered, MetricAlertCritical} }

// Rule says which alert may switch which flag. All of its conditions must hold.
//
// Alert, AlertID, Project and what was chosen in Sentry's form come from people
// with access to Sentry. Environment, Level and Tags come from the event, and
// whoever holds a public DSN, which every browser and app that reports to
// Sentry shows, can send events of any level, environment and tag. Such fields
// only ever narrow a rule. Prefer metric alerts: one forged event does not
// cross a threshold. The same people can keep an issue alert from acting: Sentry
// raises it for an event of theirs that the rule does not match, or that looks
// like a test notification, and may then be silent about the issue for a while.
type Rule struct {
	// Alert is the name of the alert rule or monitor, exactly as in Sentry.
	// People can edit it; the rule then matches nothing. Alert or AlertID is
	// required.
	Alert string
	// AlertID is its id. Issue alerts tell it only when the integration has an
	// alert-rule-action UI component. An issue alert and a metric alert may have
	// the same id: set Alert or When as well.
	AlertID string
	// Project is the project's slug, or its id for issue alerts. Required. A
	// metric alert over several projects matches each of them.
	Project string

	// When lists what makes the rule act. Defaults to IssueAlertTriggered and
	// MetricAlertCritical; required when SwitchOn is set.
	When []Trigger

	// Environment, if not empty, is the Sentry environment: of the event, or the
	// one that a metric alert watches.
	Environment string
	// Level, if not empty, is the event's level: "error", say. Metric alerts
	// have none, so that such a rule never matches them.
	Level string
	// Tags are tags that the event must have, by name. Metric alerts have none.
	Tags map[string]string
	// Settings are values that must have been chosen in Sentry's alert form, by
	// the field's name: the integration's alert-rule-action UI component. Issue
	// alerts only.
	Settings map[string]string

	// Target is the flag that is switched. Required.
	Target Target
	// Flag is the flag's name in Sentry's flag log: the one under which it is
	// evaluated, or Sentry cannot connect the two. Defaults to Target.Feature,
	// which is right unless that is a numeric id.
	Flag string
	// SwitchOn makes the rule switch the flag on instead of off. A resolved
	// alert that came from an edited rule never does.
	SwitchOn bool
}

func (r Rule) withDefaults() Rule {
	if len(r.When) == 0 && !r.SwitchOn {
		r.When = defaultTriggers()
	}
	r.Flag = cmp.Or(r.Flag, r.Target.Feature)
	return r
}

func (r Rule) validate() error {
	if err := r.Target.validate(); err != nil {
		return fmt.Errorf("Target: %w", err)
	}
	switch {
	case r.Alert == "" && r.AlertID == "":
		return ruleError("Alert", "it or AlertID must be set; an alert that no rule names does nothing")
	case r.Project == "":
		return ruleError("Project", "it must be set")
	case len(r.When) == 0:
		return ruleError("When", "it must be set on a rule that switches on")
	}
	for _, trigger := range r.When {
		switch trigger {
		case IssueAlertTriggered, MetricAlertCritical, MetricAlertWarning:
		case MetricAlertResolved:
			if !r.SwitchOn {
				return ruleError("When", fmt.Sprintf("it must not contain %s on a rule that switches off", trigger))
			}
		default:
			return ruleError("When", fmt.Sprintf("it contains %s, which never acts", quote(string(trigger))))
		}
	}
	return nil
}

// ruleError names the field and what it must be.
func ruleError(field, rule string) error { return fmt.Errorf("%s: %s", field, rule) }

// matches reports whether every condition holds.
func (r *Rule) matches(a *alert) bool {
	if r.Alert != "" && r.Alert != a.name || r.AlertID != "" && r.AlertID != a.ruleID {
		return false
	}
	if r.Environment != "" && r.Environment != a.environment || r.Level != "" && r.Level != a.level {
		return false
	}
	if !slices.Contains(a.projects, r.Project) || !slices.Contains(r.When, a.trigger()) {
		return false
	}
	for name, value := range r.Tags {
		if !has(a.tags, name, value) {
			return false
		}
	}
	for name, value := range r.Settings {
		if !has(a.settings, name, value) {
			return false
		}
	}
	return true
}
