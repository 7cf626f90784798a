package killswitch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// Trigger names what can make a rule act: Sentry's name of the webhook's
// resource, a dot, and the action.
type Trigger string

// The triggers that a [Rule] can name. Everything else that Sentry sends never
// acts.
const (
	// IssueAlertTriggered is an issue alert that has fired.
	IssueAlertTriggered Trigger = "event_alert.triggered"
	// ActivityAlertTriggered is an alert on a change of an issue's state, which
	// Sentry has since 2026. Never by default: see [Rule.Activity].
	ActivityAlertTriggered Trigger = "activity_alert.triggered"
	// MetricAlertCritical is a metric alert or monitor over its critical
	// threshold.
	MetricAlertCritical Trigger = "metric_alert.critical"
	// MetricAlertWarning is one over its warning threshold.
	MetricAlertWarning Trigger = "metric_alert.warning"
	// MetricAlertOpen is a monitor that has opened an incident without saying how
	// bad it is. Never by default.
	MetricAlertOpen Trigger = "metric_alert.open"
	// MetricAlertResolved is one that has recovered. Sentry sends it for every
	// metric alert, and that cannot be turned off there. Only a rule that
	// switches on can name it.
	MetricAlertResolved Trigger = "metric_alert.resolved"
)

// canAct lists the triggers, those of metric alerts last.
var canAct = []Trigger{
	IssueAlertTriggered, ActivityAlertTriggered, MetricAlertCritical, MetricAlertWarning, MetricAlertOpen, MetricAlertResolved,
}

func (t Trigger) isMetric() bool { return strings.HasPrefix(string(t), string(alert.MetricAlert)+".") }

// Evaluated is how a flag must have come out in the event that an alert is about.
type Evaluated string

// What [Rule.Evaluated] can be.
const (
	// EvaluatedAny asks nothing of the event.
	EvaluatedAny Evaluated = ""
	// EvaluatedOn wants the flag in the event with the result true.
	EvaluatedOn Evaluated = "on"
	// EvaluatedOff wants it with the result false.
	EvaluatedOff Evaluated = "off"
)

// Rule says which alert may switch which flag. All of its conditions must hold.
//
// Alert, AlertID, Project, Activity and what was chosen in Sentry's form come
// from people with access to Sentry. Environment, Level, Tags and Evaluated come
// from the event, and whoever holds a public DSN, which every browser and app
// that reports to Sentry shows, can send events of any level, environment, tag
// and flag. Such fields only ever narrow a rule. Prefer metric alerts: one forged
// event does not cross a threshold. The same people can keep an issue alert from
// acting: Sentry raises it for an event of theirs that the rule does not match, or
// that looks like a test notification, and may then be silent about the issue for
// a while.
type Rule struct {
	// Alert is the name, exactly as in Sentry: the alert's for issue alerts and
	// activity alerts, the monitor's (or metric alert rule's) for metric ones.
	// People can edit it; the rule then matches nothing, which is reported if the
	// new name is almost the same. Alert or AlertID is required.
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
	// IssueType is the type of the issue, as [alert.Alert] has it: an issue alert
	// that is about a cron monitor, an uptime monitor or a metric acts only under
	// a rule that says so. Metric alerts have none. Defaults to
	// [alert.IssueTypeError].
	IssueType string
	// Activity, if not empty, is what has happened to the issue of an activity
	// alert: "status_regression", "status_escalating". Such an alert fires when a
	// person resolves an issue, too, so name it.
	Activity string

	// Environment, if not empty, is the Sentry environment: of the event, or the
	// one that a metric alert watches. One that watches all has none.
	Environment string
	// Level, if not empty, is the level of the event or issue: "error", say.
	// Metric alerts have none, so that such a rule never matches them.
	Level string
	// Tags are tags that the event must have, by name. Only issue alerts have
	// any.
	Tags map[string]string
	// Settings are values that must have been chosen in Sentry's alert form, by
	// the field's name: the integration's alert-rule-action UI component. Metric
	// alerts have none.
	Settings map[string]string
	// Evaluated, if set, lets an issue alert act only if the event that it is
	// about shows that Flag came out so: in its contexts.flags, which package
	// flagtrack and Sentry's other SDKs write, as a boolean. Names are compared as
	// Sentry shows them. An event that does not have the flag does not act, and
	// is reported, because lists of flags are cut (to 100, as a rule). Metric
	// alerts have no event: filter the monitor instead, by
	// flags["new-checkout"]:true.
	Evaluated Evaluated

	// Toggler names the one of [Config.Togglers] that switches the flag. May be
	// empty if there is only one.
	Toggler string
	// Target is the flag that is switched, in the toggler's words. Required.
	Target Target
	// Flag is the flag's name in the application: the one under which it is
	// evaluated, or Sentry cannot connect the two. The flag log has the switch
	// under the name that Sentry shows of it. Defaults to Target.Flag, which is
	// right unless that is an id.
	Flag string
	// SwitchOn makes the rule switch the flag on instead of off.
	SwitchOn bool
}

func (r Rule) withDefaults() Rule {
	if len(r.When) == 0 && !r.SwitchOn {
		r.When = []Trigger{IssueAlertTriggered, MetricAlertCritical}
	}
	r.When, r.Tags, r.Settings = slices.Clone(r.When), maps.Clone(r.Tags), maps.Clone(r.Settings)
	r.IssueType = cmp.Or(r.IssueType, alert.IssueTypeError)
	r.Flag = flagname.Shown(cmp.Or(r.Flag, r.Target.Flag))
	r.Target.Attributes = maps.Clone(r.Target.Attributes)
	return r
}

// Validate checks the rule as [NewRelay] does. Its error wraps
// [ErrInvalidConfig] and names the field.
func (r Rule) Validate() error {
	if err := r.withDefaults().validate(); err != nil {
		return fmt.Errorf("%w: Rule.%w", ErrInvalidConfig, err)
	}
	return nil
}

func (r Rule) validate() error {
	if err := r.Target.Validate(); err != nil {
		return fmt.Errorf("Target: %w", err)
	}
	switch {
	case r.Alert == "" && r.AlertID == "":
		return ruleError("Alert", "it or AlertID must be set; an alert that no rule names does nothing")
	case r.Project == "":
		return ruleError("Project", "it must be set")
	case len(r.When) == 0:
		return ruleError("When", "it must be set on a rule that switches on")
	case r.Evaluated != EvaluatedAny && r.Evaluated != EvaluatedOn && r.Evaluated != EvaluatedOff:
		return fmt.Errorf("Evaluated: it must be %q, %q or empty", EvaluatedOn, EvaluatedOff)
	}
	for _, trigger := range r.When {
		switch {
		case !slices.Contains(canAct, trigger):
			return ruleError("When", fmt.Sprintf("it contains %s, which never acts; what can is %v", visible.Quote(string(trigger)), canAct))
		case trigger == MetricAlertResolved && !r.SwitchOn:
			return ruleError("When", fmt.Sprintf("it must not contain %s on a rule that switches off", trigger))
		}
	}
	return nil
}

// ruleError names the field and what it must be.
func ruleError(field, rule string) error { return fmt.Errorf("%s: %s", field, rule) }

// Warnings says what of the rule can never hold, in full sentences: conditions
// that the alerts which it names cannot meet. A rule with a warning may be legal
// and deaf all the same.
func (r Rule) Warnings() []string {
	r = r.withDefaults()
	var warnings []string
	var metric, other []Trigger
	for _, trigger := range r.When {
		if trigger.isMetric() {
			metric = append(metric, trigger)
		} else {
			other = append(other, trigger)
		}
	}
	var lacking []string // what metric alerts do not have
	for field, set := range map[string]bool{
		"Level": r.Level != "", "Tags": len(r.Tags) > 0, "Settings": len(r.Settings) > 0, "Evaluated": r.Evaluated != EvaluatedAny,
		"Activity": r.Activity != "", "IssueType": r.IssueType != alert.IssueTypeError,
	} {
		if set {
			lacking = append(lacking, field)
		}
	}
	slices.Sort(lacking)
	if !isSlug(r.Project) {
		warnings = append(warnings, fmt.Sprintf("it never matches: the Project %s is no slug, which has lower-case letters, digits, - and _; see the project's settings", visible.Quote(r.Project)))
	}
	if r.Alert != strings.TrimSpace(r.Alert) {
		warnings = append(warnings, fmt.Sprintf("it never matches: the Alert %s has white space around it, which Sentry leaves out", visible.Quote(r.Alert)))
	}
	if len(metric) > 0 && len(lacking) > 0 {
		which := "it never matches"
		if len(other) > 0 {
			which = "it never matches a metric alert"
		}
		warnings = append(warnings, fmt.Sprintf("%s: metric alerts have no %s", which, strings.Join(lacking, ", no ")))
		if r.Evaluated != EvaluatedAny {
			warnings = append(warnings, fmt.Sprintf(
				`a metric alert has no event that shows a flag: filter the monitor by flags["%s"]:%t instead of setting Evaluated`, r.Flag, r.Evaluated == EvaluatedOn))
		}
	}
	activity, issue := slices.Contains(r.When, ActivityAlertTriggered), slices.Contains(r.When, IssueAlertTriggered)
	if activity && (len(r.Tags) > 0 || r.Evaluated != EvaluatedAny || r.Environment != "") {
		warnings = append(warnings, "it never matches an activity alert: that has no event, so no Tags, no Environment and nothing Evaluated")
	}
	switch {
	case activity && r.Activity == "":
		warnings = append(warnings, "an activity alert fires at any change of an issue that the alert names, a person's \"resolved\" included: set Activity")
	case issue && r.Activity != "":
		warnings = append(warnings, "it never matches an issue alert: only activity alerts have an Activity")
	}
	if r.Level != "" && !slices.Contains(levels, r.Level) {
		warnings = append(warnings, fmt.Sprintf("it never matches: the Level %s is none of Sentry's, %s", visible.Quote(r.Level), strings.Join(levels, ", ")))
	}
	if issue && !isIssueType(r.IssueType) {
		warnings = append(warnings, fmt.Sprintf("it never matches an issue alert: the IssueType %s is none of %s, nor Sentry's number of a type", visible.Quote(r.IssueType), strings.Join(issueTypes, ", ")))
	}
	if r.Activity != "" && !strings.HasPrefix(r.Activity, "status_") {
		warnings = append(warnings, fmt.Sprintf("the Activity %s is no name that Sentry is known to send, as status_regression, status_escalating and status_resolved are", visible.Quote(r.Activity)))
	}
	if r.Environment != strings.TrimSpace(r.Environment) || strings.ContainsAny(r.Environment, "/\r\n\f") {
		warnings = append(warnings, fmt.Sprintf("it never matches: no Environment in Sentry is called %s, with white space around it, a slash or a line break", visible.Quote(r.Environment)))
	}
	if strings.EqualFold(r.Environment, "all") || strings.EqualFold(r.Environment, "all environments") {
		warnings = append(warnings, fmt.Sprintf("the Environment %s is a name: leave it empty to take any", visible.Quote(r.Environment)))
	}
	return warnings
}

// NeverMatches reports whether there is no alert that the rule matches: all of
// its triggers, or its name, are of a kind that its conditions cannot meet.
// [Rule.Warnings] says why.
func (r Rule) NeverMatches() bool {
	r = r.withDefaults()
	if !isSlug(r.Project) || r.Alert != strings.TrimSpace(r.Alert) || r.Level != "" && !slices.Contains(levels, r.Level) ||
		r.Environment != strings.TrimSpace(r.Environment) || strings.ContainsAny(r.Environment, "/\r\n\f") {
		return true
	}
	event := len(r.Tags) > 0 || r.Evaluated != EvaluatedAny
	return !slices.ContainsFunc(r.When, func(t Trigger) bool {
		switch {
		case t.isMetric():
			return !event && r.Level == "" && len(r.Settings) == 0 && r.Activity == "" && r.IssueType == alert.IssueTypeError
		case t == ActivityAlertTriggered:
			return !event && r.Environment == ""
		}
		return r.Activity == "" && isIssueType(r.IssueType)
	})
}

// levels are what Sentry makes of any level that it is sent.
var levels = []string{"fatal", "error", "warning", "info", "debug", "sample"}

// issueTypes are the names of types that an issue alert can have.
var issueTypes = []string{alert.IssueTypeError, alert.IssueTypeCron, alert.IssueTypeUptime, alert.IssueTypeMetric}

// isIssueType reports whether an issue alert can be about such an issue.
func isIssueType(name string) bool {
	_, err := strconv.ParseUint(name, 10, 64)
	return err == nil || name == "occurrence" || slices.Contains(issueTypes, name)
}

// isSlug reports whether a project can be called so, or have that id.
func isSlug(project string) bool {
	return !strings.ContainsFunc(project, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// matches reports whether every condition holds, and whether all but Evaluated
// do and the event does not have the flag. It says the same as explain, without
// saying why.
func (r *Rule) matches(a *alert.Alert) (matches, absent bool) {
	if r.Alert != "" && r.Alert != a.Name || r.AlertID != "" && r.AlertID != a.RuleID {
		return false, false
	}
	if !slices.Contains(a.Projects, r.Project) || !slices.Contains(r.When, Trigger(a.Trigger())) {
		return false, false
	}
	if r.Environment != "" && r.Environment != a.Environment || r.Level != "" && r.Level != a.Level || r.Activity != "" && r.Activity != a.Activity {
		return false, false
	}
	if r.issueType(a) != r.IssueType {
		return false, false
	}
	for name, value := range r.Tags {
		if !slices.Contains(a.Tags, alert.Pair{Name: name, Value: value}) {
			return false, false
		}
	}
	for name, value := range r.Settings {
		if !slices.Contains(a.Settings, alert.Pair{Name: name, Value: value}) {
			return false, false
		}
	}
	result := r.evaluated(a)
	return result == r.Evaluated || r.Evaluated == EvaluatedAny, result == EvaluatedAny && r.Evaluated != EvaluatedAny
}

// issueType is the alert's. A metric alert has none, which is right for a rule
// that asks for nothing special.
func (r *Rule) issueType(a *alert.Alert) string {
	if a.Resource == alert.MetricAlert {
		return alert.IssueTypeError
	}
	return a.IssueType
}

// evaluated returns how the rule's flag came out in the event, EvaluatedAny if
// the event does not show it as a boolean.
func (r *Rule) evaluated(a *alert.Alert) Evaluated {
	if r.Evaluated == EvaluatedAny {
		return EvaluatedAny
	}
	for i := len(a.Flags) - 1; i >= 0; i-- { // the newest is last
		if flagname.Shown(a.Flags[i].Name) != r.Flag {
			continue
		}
		switch a.Flags[i].Result {
		case true:
			return EvaluatedOn
		case false:
			return EvaluatedOff
		}
		break
	}
	return EvaluatedAny
}
