package alert_test

import (
	"fmt"

	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// An issue alert brings the flags that were evaluated before the error.
func ExampleParse() {
	body := []byte(`{
		"action": "triggered",
		"installation": {"uuid": "7a485448-a9e2-4c85-8a3c-4f44175783c9"},
		"data": {
			"event": {
				"event_id": "e4874d664c3540c1a32eab185f12c5ab",
				"project": 4505,
				"url": "https://acme.sentry.io/api/0/projects/acme/shop/events/e4874d664c3540c1a32eab185f12c5ab/",
				"level": "error",
				"environment": "production",
				"tags": [["browser", "Chrome 134"], ["level", "error"]],
				"datetime": "2026-09-01T11:59:30.250000Z",
				"contexts": {"flags": {"values": [{"flag": "new-checkout", "result": true}]}}
			},
			"triggered_rule": "Checkout failing"
		}
	}`)
	a, err := alert.Parse(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, found := a.Flag("new-checkout")
	fmt.Println(a.Trigger(), a.Name, a.Projects, a.IssueType)
	fmt.Println("new-checkout:", result, found)
	// Output:
	// event_alert.triggered Checkout failing [4505 shop] error
	// new-checkout: true true
}

// A monitor that has recovered, as the present server says it.
func ExampleParse_metricAlert() {
	body := []byte(`{
		"action": "resolved",
		"data": {
			"metric_alert": {
				"id": "91", "status": 2, "status_method": 2, "projects": ["shop"],
				"date_started": "2026-09-01T11:59:20.120000Z",
				"date_closed": "2026-09-01T11:59:00Z",
				"alert_rule": {"id": "3307", "name": "Checkout error rate", "environment": null}
			},
			"description_title": "Resolved: Checkout error rate"
		}
	}`)
	a, err := alert.Parse(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Trigger(), a.Name, a.Incident.Status == alert.StatusClosed)
	fmt.Println("closed:", a.Incident.Closed.Format("15:04:05"), "in order by:", a.At.Format("15:04:05"))
	// Output:
	// metric_alert.resolved Checkout error rate true
	// closed: 11:59:00 in order by: 11:59:20
}
