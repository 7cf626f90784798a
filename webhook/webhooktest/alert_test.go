package webhooktest_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

var clientSecret = signing.NewSecret("the-client-secret-of-an-integration")

// received verifies an alert as a relay does, and decodes it.
func received(t *testing.T, r *http.Request) map[string]any {
	t.Helper()
	keys, err := signing.NewKeys(clientSecret)
	if err != nil {
		t.Fatal(err)
	}
	body, err := signing.VerifyRequest(r, signing.HookHeader, keys, 0)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(string(body), func(r rune) bool { return r >= 0x80 }) {
		t.Errorf("Sentry sends ASCII only: %s", body)
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// at goes down to a member.
func at(v any, path ...string) any {
	for _, name := range path {
		v, _ = v.(map[string]any)
		v = v.(map[string]any)[name]
	}
	return v
}

func TestIssueAlert(t *testing.T) {
	now := time.Date(2026, 9, 1, 11, 59, 30, 250e6, time.UTC)
	r, err := webhooktest.NewAlertRequest(t.Context(), "https://relay.example.com/hook", clientSecret, webhooktest.IssueAlert{
		Rule: "größer 🚩 <b>", Project: "shop", ProjectID: 4505, EventID: "e4874d664c3540c1a32eab185f12c5ab", Environment: "production",
		Flags: map[string]bool{"new-checkout": true, "dark": false}, Settings: map[string]string{"flag": "new-checkout"},
		TestNotification: true, At: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != http.MethodPost || r.Header.Get("Sentry-Hook-Resource") != "event_alert" || r.Header.Get("Request-ID") == "" ||
		r.Header.Get("Sentry-Hook-Timestamp") == "" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", r.Method, r.Header)
	}
	v := received(t, r)
	want := map[string]any{
		"event_id": "e4874d664c3540c1a32eab185f12c5ab", "project": 4505.0, "issue_id": "1", "level": "error", "platform": "go",
		"url":         "https://sentry.io/api/0/projects/acme/shop/events/e4874d664c3540c1a32eab185f12c5ab/",
		"web_url":     "https://sentry.io/organizations/acme/issues/1/events/e4874d664c3540c1a32eab185f12c5ab/",
		"environment": "production", "title": "Error: webhooktest", "culprit": "",
		"tags":     []any{[]any{"level", "error"}, []any{"environment", "production"}, []any{"sample_event", "yes"}},
		"contexts": map[string]any{"flags": map[string]any{"type": "flags", "values": []any{map[string]any{"flag": "dark", "result": false}, map[string]any{"flag": "new-checkout", "result": true}}}},
		"datetime": "2026-09-01T11:59:30.250000Z", "timestamp": 1788263970.0,
	}
	if diff := cmp.Diff(want, at(v, "data", "event")); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if v["action"] != "triggered" || at(v, "data", "triggered_rule") != "größer 🚩 <b>" {
		t.Errorf("action %v, rule %v", v["action"], at(v, "data", "triggered_rule"))
	}
	if diff := cmp.Diff([]any{map[string]any{"name": "flag", "value": "new-checkout"}}, at(v, "data", "issue_alert", "settings")); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestAlertsByDefaultAreNewAndDistinct(t *testing.T) {
	seen := map[any]bool{}
	for range 3 {
		r, err := webhooktest.NewAlertRequest(t.Context(), "/", clientSecret, webhooktest.IssueAlert{})
		if err != nil {
			t.Fatal(err)
		}
		v := received(t, r)
		if r, err = webhooktest.NewAlertRequest(t.Context(), "/", clientSecret, webhooktest.MetricAlert{}); err != nil {
			t.Fatal(err)
		}
		incident := at(received(t, r), "data", "metric_alert", "id")
		if seen[incident] {
			t.Errorf("incident %v once more", incident)
		}
		seen[incident] = true
		id := at(v, "data", "event", "event_id")
		when, err := time.Parse(time.RFC3339, at(v, "data", "event", "datetime").(string))
		if seen[id] || err != nil || time.Since(when).Abs() > time.Minute {
			t.Errorf("event %v at %v, %v", id, when, err)
		}
		seen[id] = true
	}
}

func TestMetricAlert(t *testing.T) {
	started, closed := time.Date(2026, 9, 1, 11, 58, 20, 120e6, time.UTC), time.Date(2026, 9, 1, 11, 59, 50, 0, time.UTC)
	for action, want := range map[string][4]any{ // status, method, closed, title
		"":         {20.0, 3.0, nil, "Critical: errors"},
		"critical": {20.0, 3.0, nil, "Critical: errors"},
		"warning":  {10.0, 3.0, nil, "Warning: errors"},
		"open":     {1.0, 3.0, nil, "Open: errors"},
		"resolved": {2.0, 2.0, "2026-09-01T11:59:00.000000Z", "Resolved: errors"},
	} {
		r, err := webhooktest.NewAlertRequest(t.Context(), "/", clientSecret, webhooktest.MetricAlert{
			Action: action, Monitor: "errors", IncidentID: 91, Projects: []string{"shop"}, Started: started, Closed: closed,
		})
		if err != nil {
			t.Fatal(err)
		}
		v := received(t, r)
		alert := at(v, "data", "metric_alert")
		got := [4]any{at(alert, "status"), at(alert, "status_method"), at(alert, "date_closed"), at(v, "data", "description_title")}
		if got != want || at(alert, "id") != "91" || at(alert, "alert_rule", "name") != "errors" || at(alert, "date_started") != "2026-09-01T11:58:20.120000Z" ||
			r.Header.Get("Sentry-Hook-Resource") != "metric_alert" || action != "" && v["action"] != action {
			t.Errorf("%q: %v, want %v: %v", action, got, want, v)
		}
	}
}

func TestAlertRequestFails(t *testing.T) {
	if _, err := webhooktest.NewAlertRequest(t.Context(), "/", signing.Secret{}, webhooktest.IssueAlert{}); !errors.Is(err, signing.ErrEmptySecret) {
		t.Errorf("no secret: %v", err)
	}
	if _, err := webhooktest.NewAlertRequest(t.Context(), "::", clientSecret, webhooktest.IssueAlert{}); err == nil {
		t.Error("no URL is no error")
	}
	for _, alert := range []webhooktest.Alert{nil, webhooktest.MetricAlert{Action: "panic"}} {
		if _, err := webhooktest.NewAlertRequest(t.Context(), "/", clientSecret, alert); err == nil {
			t.Errorf("%v is no error", alert)
		}
	}
}

// A relay is tested over a socket and without one alike.
func TestAlertRequestBothWays(t *testing.T) {
	accepted := 0
	relay := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		received(t, r)
		accepted++
	})
	server := httptest.NewServer(relay)
	defer server.Close()
	for range 2 {
		r, err := webhooktest.NewAlertRequest(t.Context(), server.URL, clientSecret, webhooktest.MetricAlert{})
		if err != nil {
			t.Fatal(err)
		}
		if accepted == 0 {
			relay.ServeHTTP(httptest.NewRecorder(), r)
			continue
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if accepted != 2 {
		t.Errorf("%d of 2 accepted", accepted)
	}
}

func TestMetricAlertsProjects(t *testing.T) {
	for _, projects := range [][]string{nil, {"shop", "shop-api"}} {
		r, err := webhooktest.NewAlertRequest(t.Context(), "https://relay.example.com/hook", clientSecret, webhooktest.MetricAlert{Projects: projects})
		if err != nil {
			t.Fatal(err)
		}
		want := []any{"webhooktest"}
		if projects != nil {
			want = []any{"shop", "shop-api"}
		}
		v := received(t, r)
		if diff := cmp.Diff(want, at(v, "data", "metric_alert", "projects")); diff != "" {
			t.Errorf("projects (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, at(v, "data", "metric_alert", "alert_rule", "projects")); diff != "" {
			t.Errorf("the rule's projects (-want +got):\n%s", diff)
		}
	}
}
