package alert

import (
	"strings"
	"time"
)

// Resource is what a webhook is about, by Sentry's name for it.
type Resource string

// The resources that can be told from a body. The actions of each, as of 2026,
// are those of Sentry's SentryAppEventType.
const (
	// Unknown is a resource that cannot be told: one that is not listed here
	// (seer, preprod_artifact), or a body that could be of two.
	Unknown Resource = ""
	// EventAlert is an issue alert. Its one action is "triggered".
	EventAlert Resource = "event_alert"
	// MetricAlert is a metric alert or monitor. Its actions are "critical",
	// "warning", "resolved" and "open".
	MetricAlert Resource = "metric_alert"
	// ActivityAlert is an alert on a change of an issue's state, which Sentry
	// sends since 2026. Its one action is "triggered"; [Alert.Activity] has what
	// happened.
	ActivityAlert Resource = "activity_alert"
	// Issue is any change of any issue, if the integration subscribes to issues.
	// Its actions are "created", "resolved", "assigned", "archived" (older:
	// "ignored") and "unresolved".
	Issue Resource = "issue"
	// Error is any error event, if the integration subscribes to errors. Its one
	// action is "created".
	Error Resource = "error"
	// Comment is a comment on an issue: "created", "updated" and "deleted".
	Comment Resource = "comment"
	// Installation is the integration's own: "created" and "deleted".
	Installation Resource = "installation"
)

// The issue types that [Alert.IssueType] can have, by Sentry's slugs. Others,
// such as those of performance issues, are there as Sentry's number for them in
// decimal: "1006" is an N+1 query.
const (
	IssueTypeError  = "error"
	IssueTypeCron   = "monitor_check_in_failure" // a cron monitor missed a check-in
	IssueTypeUptime = "uptime_domain_failure"    // an uptime monitor found a host down
	IssueTypeMetric = "metric_issue"             // a metric monitor crossed a threshold
)

// Alert is what a webhook of Sentry's says. A field that the resource does not
// have, or that has another form than Sentry documents, is empty.
type Alert struct {
	Resource Resource
	// Action is what happened to the resource: "triggered", "critical", ...
	Action string
	// Installation is the uuid of the integration's installation.
	Installation string

	// Name is the alert's name for EventAlert and ActivityAlert, and the
	// monitor's for MetricAlert. People edit it.
	Name string
	// RuleID is the id of what Name names. An issue alert tells it only when the
	// integration has an alert-rule-action UI component.
	RuleID string
	// ID is the id of the event, the incident or the issue.
	ID string
	// Projects are the projects that the alert is about: for an event its id and
	// its slug, for an issue the same, for a metric alert the slugs of all.
	Projects []string

	// Environment is the event's, or the one that the metric alert watches. An
	// event's comes from whoever sends events.
	Environment string
	// Level is the event's or the issue's: "error", say. An event's comes from
	// whoever sends events.
	Level string
	// IssueType is the type of the issue: [IssueTypeError] for an event without
	// an occurrence, else what the occurrence or the issue says, and "occurrence"
	// if that cannot be read. Not every event alert is about an error: cron,
	// uptime and metric issues send the same resource. Empty for MetricAlert.
	IssueType string
	// Tags are the event's, in the order of the body. They come from whoever
	// sends events.
	Tags []Pair
	// Flags are the feature flags that were evaluated before the event, in the
	// order of its contexts.flags: the newest is last. Nil if the event has no
	// such list. SDKs keep a limited number of flags (100 as a rule), so that one
	// that is missing may have been evaluated all the same. They come from
	// whoever sends events.
	Flags []Flag
	// Settings are what was chosen in Sentry's alert form, by the field's name:
	// the integration's alert-rule-action UI component. They come from people
	// with access to Sentry.
	Settings []Pair

	// Activity is what happened to the issue of an ActivityAlert, by Sentry's
	// name: "status_regression", "status_escalating", "status_resolved", ...
	Activity string
	// Incident is what a MetricAlert says of its incident; nil for every other
	// resource, and when Sentry sent null because its own database was slow.
	Incident *Incident
	// Summary is Sentry's one line about a MetricAlert: "Critical: Checkout error
	// rate". It is there even when Incident is not.
	Summary string
	// WebURL is the page in Sentry that shows the event, issue or incident.
	WebURL string

	// At is the time in the body by which alerts can be ordered and their age
	// told; zero if there is none. For an event it is when Sentry received it,
	// else the sender's own time. For an issue it is when it was last seen. For a
	// metric alert it is [Incident.At].
	At time.Time
}

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// Flag is the result of an evaluation.
type Flag struct {
	// Name is the flag's name as Sentry shows it.
	Name string
	// Result is a bool, as Sentry's SDKs write it, a string or a float64, and nil
	// for anything else.
	Result any
}

// Incident is the state of a metric alert.
type Incident struct {
	Status IncidentStatus
	Method StatusMethod
	// Started, Detected and Created are when it began; zero if the body does not
	// tell. The present server tells no other time of an alert that is critical
	// after it was a warning.
	Started, Detected, Created time.Time
	// Closed is when it ended: zero while it is open, and in some bodies of older
	// servers afterwards, too. The present server cuts it to the minute, so that
	// an incident of a few seconds has Closed before Started.
	Closed time.Time
}

// IncidentStatus is Sentry's number for the state of an incident.
type IncidentStatus int

// The states of an incident (Sentry's IncidentStatus).
const (
	StatusOpen     IncidentStatus = 1
	StatusClosed   IncidentStatus = 2
	StatusWarning  IncidentStatus = 10
	StatusCritical IncidentStatus = 20
)

// StatusMethod is Sentry's number for how an incident got its state.
type StatusMethod int

// How an incident got its state (Sentry's IncidentStatusMethod).
const (
	// MethodManual means that a person set it.
	MethodManual StatusMethod = 1
	// MethodRuleUpdated means, on older servers, that the alert rule was edited.
	// The present one sends it for every incident that is closed, whatever closed
	// it.
	MethodRuleUpdated StatusMethod = 2
	// MethodRuleTriggered means that the threshold was crossed, in either
	// direction.
	MethodRuleTriggered StatusMethod = 3
)

// At returns the latest of the incident's times, Closed included: what happened
// last. That puts the end of an incident at its beginning, not before it, when
// the server has cut Closed to the minute; of two alerts about one incident with
// the same time, the one whose Closed is set is the later.
func (i *Incident) At() time.Time {
	at := i.Closed
	for _, t := range [...]time.Time{i.Started, i.Detected, i.Created} {
		if t.After(at) {
			at = t
		}
	}
	return at
}

// Trigger returns the resource and the action as Sentry joins them:
// "event_alert.triggered". It is empty if the resource is not known.
func (a *Alert) Trigger() string {
	if a.Resource == Unknown {
		return ""
	}
	return string(a.Resource) + "." + a.Action
}

// Tag returns the value of the event's first tag with that name.
func (a *Alert) Tag(name string) (value string, found bool) { return first(a.Tags, name) }

// Setting returns the value of the first field with that name in Sentry's alert
// form.
func (a *Alert) Setting(name string) (value string, found bool) { return first(a.Settings, name) }

func first(pairs []Pair, name string) (string, bool) {
	for _, p := range pairs {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Flag returns the newest result of the flag with that name, which is compared
// letter by letter with the name that Sentry shows.
func (a *Alert) Flag(name string) (result any, found bool) {
	for i := len(a.Flags) - 1; i >= 0; i-- {
		if a.Flags[i].Name == name {
			return a.Flags[i].Result, true
		}
	}
	return nil, false
}

// IsTest reports whether the alert is one of Sentry's test notifications ("Send
// Test Notification"): signed and real, but about the sample event, whose tags
// hold sample_event: yes. Whoever can send events can make theirs look like one.
func (a *Alert) IsTest() bool {
	for _, t := range a.Tags {
		if t == (Pair{"sample_event", "yes"}) {
			return true
		}
	}
	return false
}

// Key returns what a repeat of the alert has in common with it: the event and
// the alert's name, or the incident and the action. Sentry itself sends no
// delivery id. It is empty for other resources and where the id is missing; the
// body's own digest is then all that there is.
func (a *Alert) Key() string {
	if a.ID == "" {
		return ""
	}
	switch a.Resource {
	case EventAlert:
		return strings.Join([]string{string(a.Resource), a.ID, a.Name}, "\x00")
	case MetricAlert:
		return strings.Join([]string{string(a.Resource), a.ID, a.Action}, "\x00")
	}
	return ""
}
