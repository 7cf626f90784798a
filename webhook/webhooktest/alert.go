package webhooktest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"

	"github.com/sentryflags/sentryflags-go/signing"
)

// Alert is an alert as Sentry sends it to an internal integration: an
// [IssueAlert] or a [MetricAlert].
type Alert interface {
	// payload returns the resource, the action and the data of the webhook.
	payload() (resource, action string, data object)
}

// object is a JSON object.
type object = map[string]any

// IssueAlert is what Sentry sends when an issue alert (event_alert) fires. Its
// zero value is one that has just fired for an error.
type IssueAlert struct {
	// Rule is the alert's name. Defaults to "webhooktest".
	Rule string
	// Organization and Project are slugs. They default to [DefaultOrganization]
	// and "webhooktest".
	Organization, Project string
	// ProjectID is the project's number. Defaults to 1.
	ProjectID int64
	// EventID is the event's, 32 digits in hex. Defaults to one made up, so that
	// no alert is a repeat of another.
	EventID string
	// Environment and Level are the event's. Environment defaults to none, Level
	// to "error".
	Environment, Level string
	// Title is the issue's. Defaults to "Error: webhooktest".
	Title string
	// Flags are the flags that were evaluated before the error; sent in the order
	// of their names.
	Flags map[string]bool
	// Settings are what was chosen in the alert's form, if the integration has a
	// UI component for it.
	Settings map[string]string
	// TestNotification makes it one of Sentry's test notifications, which are
	// signed like any other: the sample event, whose tags hold sample_event: yes.
	TestNotification bool
	// At is the event's time. Defaults to now.
	At time.Time
}

func (a IssueAlert) payload() (resource, action string, data object) {
	organization, project := cmp.Or(a.Organization, DefaultOrganization), cmp.Or(a.Project, "webhooktest")
	id, level := cmp.Or(a.EventID, randomID()), cmp.Or(a.Level, "error")
	at := orNow(a.At)
	tags := [][]string{{"level", level}}
	if a.Environment != "" {
		tags = append(tags, []string{"environment", a.Environment})
	}
	if a.TestNotification {
		tags = append(tags, []string{"sample_event", "yes"})
	}
	contexts := object{}
	if a.Flags != nil {
		values := []object{}
		for _, flag := range slices.Sorted(maps.Keys(a.Flags)) {
			values = append(values, object{"flag": flag, "result": a.Flags[flag]})
		}
		contexts["flags"] = object{"type": "flags", "values": values}
	}
	rule := cmp.Or(a.Rule, "webhooktest")
	data = object{
		"event": object{
			"event_id": id, "project": cmp.Or(a.ProjectID, 1), "issue_id": "1",
			"url":     fmt.Sprintf("https://sentry.io/api/0/projects/%s/%s/events/%s/", organization, project, id),
			"web_url": fmt.Sprintf("https://sentry.io/organizations/%s/issues/1/events/%s/", organization, id),
			"level":   level, "platform": "go", "environment": orNull(a.Environment), "tags": tags,
			"title": cmp.Or(a.Title, "Error: webhooktest"), "culprit": "", "contexts": contexts,
			"datetime":  sentryTime(at),
			"timestamp": json.Number(strconv.FormatFloat(float64(at.Unix()), 'f', 1, 64)),
		},
		"triggered_rule": rule,
	}
	if a.Settings != nil {
		settings := []object{}
		for _, name := range slices.Sorted(maps.Keys(a.Settings)) {
			settings = append(settings, object{"name": name, "value": a.Settings[name]})
		}
		data["issue_alert"] = object{"id": "1", "title": rule, "sentry_app_id": 1, "settings": settings}
	}
	return "event_alert", "triggered", data
}

// MetricAlert is what Sentry sends when a monitor or a metric alert
// (metric_alert) changes its state, in the form of the server of 2026. Its zero
// value is one that has just become critical.
type MetricAlert struct {
	// Action is "critical", "warning", "open" or "resolved". Defaults to
	// "critical".
	Action string
	// Monitor is the monitor's name. Defaults to "webhooktest".
	Monitor string
	// IncidentID is the incident's number, which all its actions share. Defaults
	// to one made up, so that no alert is a repeat of another: set it to send
	// several of one incident.
	IncidentID int64
	// Organization is a slug. Defaults to [DefaultOrganization].
	Organization string
	// Projects are the slugs of the projects. Defaults to "webhooktest".
	Projects []string
	// Environment is the one that is watched. Defaults to all.
	Environment string
	// Started is when the incident began. Defaults to now.
	Started time.Time
	// Closed is when a resolved one ended, which Sentry cuts to the minute.
	// Defaults to now.
	Closed time.Time
}

// incidentStatus is Sentry's number for each state.
var incidentStatus = map[string]int{"open": 1, "resolved": 2, "warning": 10, "critical": 20}

func (a MetricAlert) payload() (resource, action string, data object) {
	action = cmp.Or(a.Action, "critical")
	name, started := cmp.Or(a.Monitor, "webhooktest"), sentryTime(orNow(a.Started))
	projects := a.Projects
	if len(projects) == 0 {
		projects = []string{"webhooktest"}
	}
	id := strconv.FormatInt(cmp.Or(a.IncidentID, 1+mathrand.Int64N(1<<40)), 10)
	var closed any
	method := 3 // a threshold was crossed
	if action == "resolved" {
		closed, method = sentryTime(orNow(a.Closed).Truncate(time.Minute)), 2
	}
	title := fmt.Sprintf("%c%s: %s", action[0]-'a'+'A', action[1:], name)
	return "metric_alert", action, object{
		"metric_alert": object{
			"id": id, "identifier": id, "title": name, "status": incidentStatus[action], "status_method": method,
			"projects": projects, "date_started": started, "date_detected": started, "date_created": started, "date_closed": closed,
			"alert_rule": object{
				"id": "1", "name": name, "query": "", "aggregate": "count()", "environment": orNull(a.Environment),
				"triggers": []any{}, "projects": projects,
			},
		},
		"description_title": title, "description_text": "",
		"web_url": fmt.Sprintf("https://sentry.io/organizations/%s/alerts/rules/details/1/?alert=%s", cmp.Or(a.Organization, DefaultOrganization), id),
	}
}

// NewAlertRequest returns the request with which Sentry sends an alert to a
// relay of yours, signed with the integration's Client Secret. Send it with an
// http.Client, or hand it to an http.Handler. Sentry makes one attempt, waits
// about a second and does not retry.
//
// It fails for an empty secret, a URL that cannot be parsed, no alert, and an
// action that Sentry does not have.
func NewAlertRequest(ctx context.Context, url string, secret signing.Secret, alert Alert) (*http.Request, error) {
	if alert == nil {
		return nil, errors.New("webhooktest: the alert is nil")
	}
	if m, ok := alert.(MetricAlert); ok && m.Action != "" && incidentStatus[m.Action] == 0 {
		return nil, fmt.Errorf("webhooktest: MetricAlert.Action: %q is none of critical, warning, open and resolved", m.Action)
	}
	resource, action, data := alert.payload()
	body := pythonJSON(object{
		"action": action, "installation": object{"uuid": "7a485448-a9e2-4c85-8a3c-4f44175783c9"}, "data": data,
		"actor": object{"type": "application", "id": "sentry", "name": "Sentry"},
	})
	signature, err := signing.Sign(secret, body)
	if err != nil {
		return nil, fmt.Errorf("webhooktest: sign the alert: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("webhooktest: make the alert's request: %w", err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Request-ID": randomID(), "Sentry-Hook-Resource": resource,
		"Sentry-Hook-Timestamp": strconv.FormatInt(time.Now().Unix(), 10), signing.HookHeader: signature,
	} {
		request.Header.Set(name, value)
	}
	return request, nil
}

// pythonJSON encodes as Sentry does: ASCII only, nothing else escaped. A relay
// that verifies what it has decoded and encoded anew finds another signature.
func pythonJSON(v any) []byte {
	var ascii []byte
	for _, r := range encodeJSON(v) {
		switch {
		case r < 0x80:
			ascii = append(ascii, byte(r))
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			ascii = fmt.Appendf(ascii, `\u%04x\u%04x`, high, low)
		default:
			ascii = fmt.Appendf(ascii, `\u%04x`, r)
		}
	}
	return ascii
}

func randomID() string {
	var id [16]byte
	_, _ = io.ReadFull(rand.Reader, id[:]) // never fails
	return hex.EncodeToString(id[:])
}

func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func sentryTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
