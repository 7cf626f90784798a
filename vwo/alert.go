package vwo

import "time"

// resource is what a webhook is about, by Sentry's name for it.
type resource string

// The resources that can be told from a signed body.
const (
	resourceUnknown      resource = ""
	resourceEventAlert   resource = "event_alert"
	resourceMetricAlert  resource = "metric_alert"
	resourceIssue        resource = "issue"
	resourceError        resource = "error"
	resourceComment      resource = "comment"
	resourceInstallation resource = "installation"
)

// recognisable reports whether a body of the resource would be recognised.
func (r resource) recognisable() bool {
	switch r {
	case resourceEventAlert, resourceMetricAlert, resourceIssue, resourceError, resourceComment, resourceInstallation:
		return true
	}
	return false
}

// What an incident's status and status_method mean.
const (
	statusClosed        = "2"
	methodRuleTriggered = "3"
)

// alert is what the relay reads of a webhook: nothing of the event's user,
// request, message or stack.
type alert struct {
	resource     resource
	action       string
	installation string // uuid

	name     string   // of the alert rule or monitor
	ruleID   string   // of the alert rule, "" if the payload does not tell
	id       string   // of the event or the incident
	projects []string // slugs, and the id if there is one

	// Whoever can send events decides these.
	environment string
	level       string
	tags        []pair
	// settings is what was chosen in Sentry's alert form.
	settings []pair

	status, statusMethod string
	at                   time.Time // signed; zero if there is none
}

type pair struct{ name, value string }

// trigger is how rules name what fired.
func (a *alert) trigger() Trigger { return Trigger(string(a.resource) + "." + a.action) }

// has reports whether pairs have one with that name and value.
func has(pairs []pair, name, value string) bool {
	for _, p := range pairs {
		if p.name == name && p.value == value {
			return true
		}
	}
	return false
}

// identity tells alert rules apart: by id where there is one, since people edit
// names.
func (a *alert) identity() string {
	rule := "name " + a.name
	if a.ruleID != "" {
		rule = "id " + a.ruleID
	}
	identity := string(a.resource) + "\x00" + rule
	for _, p := range a.projects {
		identity += "\x00" + p
	}
	return identity
}
