package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
)

// wave is a number of requests of one kind, and what is to become of each.
type wave struct {
	what  string
	count int
	body  func(i int) []byte
	spoil func(body []byte, header http.Header) []byte // nil for what Sentry sends
	want  vwo.Verdict
}

type tally struct{ alerts, acted, ignored, refused int }

func (t *tally) count(verdict vwo.Verdict) {
	t.alerts++
	switch verdict {
	case vwo.Acted:
		t.acted++
	case vwo.Ignored:
		t.ignored++
	default:
		t.refused++
	}
}

// waves are the storm, in its order.
func (d *demo) waves() []wave {
	now := time.Now()
	fresh := func(alert, project, tags string, at time.Time) func(int) []byte {
		return func(i int) []byte { return demoEvent(alert, project, tags, i, at) }
	}
	metric := func(alert, action string, method int) func(int) []byte {
		return func(i int) []byte { return demoMetric(alert, action, method, i, time.Now()) }
	}
	first := demoEvent("Checkout failing", "shop", "", 0, now)
	same := func(int) []byte { return first }
	payment := func(int) []byte { return demoEvent("Payment errors", "shop", "", 7, now) }
	sign := d.sign
	set := func(f func(string) string) func([]byte, http.Header) []byte {
		return func(body []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, f(h.Get(signing.HookHeader)))
			return body
		}
	}
	return []wave{
		{"issue alert of a rule", 1, same, nil, vwo.Acted},
		{"issue alert of another rule", 1, payment, nil, vwo.Acted},
		{"metric alert, critical", 1, metric("Search too slow", "critical", 3), nil, vwo.Acted},
		{"metric alert, warning, which its rule allows", 1, metric("Banner errors", "warning", 3), nil, vwo.Acted},

		{"the same body again", 60, same, nil, vwo.Ignored},
		{"the same alert about another event", 60, fresh("Checkout failing", "shop", "", now), nil, vwo.Ignored},
		{"metric alert, warning", 60, metric("Search too slow", "warning", 3), nil, vwo.Ignored},
		{"metric alert, resolved", 60, metric("Search too slow", "resolved", 3), nil, vwo.Ignored},
		{"metric alert, resolved because the rule was edited", 60, metric("Banner errors", "resolved", 2), nil, vwo.Ignored},
		{"test notification", 60, fresh("Checkout failing", "shop", `,["sample_event","yes"]`, now), nil, vwo.Ignored},
		{"about the kill switch's own report", 60, fresh("Checkout failing", "shop", `,["`+vwo.ReportTag+`","yes"]`, now), nil, vwo.Ignored},
		{"alert that no rule names", 60, fresh("Something else", "shop", "", now), nil, vwo.Ignored},
		{"alert of another project", 60, fresh("Checkout failing", "blog", "", now), nil, vwo.Ignored},
		{"alert from an hour ago", 60, fresh("Checkout failing", "shop", "", now.Add(-time.Hour)), nil, vwo.Ignored},
		{"issue that was resolved", 60, demoIssue, nil, vwo.Ignored},
		{"resource that nobody knows", 60, demoUnknown, nil, vwo.Ignored},

		{"forged: no signature", 20, payment, func(body []byte, h http.Header) []byte { h.Del(signing.HookHeader); return body }, vwo.Refused},
		{"forged: signed with another secret", 20, payment, func(body []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, sign(signing.NewSecret("a guess"), body))
			return body
		}, vwo.Refused},
		{"forged: another flag in a signed body", 20, payment, func(body []byte, _ http.Header) []byte {
			return bytes.Replace(body, []byte("Payment errors"), []byte("Search too slow"), 1)
		}, vwo.Refused},
		{"forged: signature in upper case", 20, payment, set(strings.ToUpper), vwo.Refused},
		{"forged: the empty body's signature", 20, payment, func(body []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, sign(d.secret, nil))
			return body
		}, vwo.Refused},
		{"forged: an empty body, signed", 20, func(int) []byte { return nil }, nil, vwo.Refused},
		{"forged: a header that contradicts the body", 20, payment, func(body []byte, h http.Header) []byte {
			h.Set("Sentry-Hook-Resource", "metric_alert")
			return body
		}, vwo.Refused},
		{"signed for another installation", 20, func(i int) []byte {
			return bytes.Replace(demoEvent("Checkout failing", "shop", "", i, now), []byte(demoInstallation), []byte("another"), 1)
		}, nil, vwo.Refused},

		{"metric alert, resolved, with a rule that switches on", 1, metric("Banner errors", "resolved", 3), nil, vwo.Acted},
	}
}

// storm posts everything and prints a line per kind.
func (d *demo) storm(ctx context.Context, out io.Writer) (tally, error) {
	var all tally
	var failed error
	fmt.Fprintf(out, "%6s  %-52s %5s %6s %8s %8s  %s\n", "", "what arrives", "count", "acted", "ignored", "refused", "why")
	waves := d.waves()
	for n, w := range waves {
		if n == len(waves)-1 { // the flag is switched on again when it has been off
			failed = errors.Join(failed, d.settle(ctx, wantRecords-1))
		}
		var one tally
		var why vwo.Reason
		for i := range w.count {
			decision, err := d.post(ctx, w, i)
			if err != nil {
				return all, errors.Join(failed, fmt.Errorf("%s: %w", w.what, err))
			}
			one.count(decision.Verdict)
			all.count(decision.Verdict)
			why = decision.Reason
			if decision.Verdict != w.want {
				failed = errors.Join(failed, fmt.Errorf("%s: %s (%s), want %s", w.what, decision.Verdict, decision.Reason, w.want))
			}
		}
		fmt.Fprintf(out, "%5.1fs  %-52s %5d %6d %8d %8d  %s\n", time.Since(d.started).Seconds(), w.what, one.alerts, one.acted, one.ignored, one.refused, why)
	}
	return all, failed
}

// post sends one request, as Sentry does, and returns what was decided.
func (d *demo) post(ctx context.Context, w wave, i int) (vwo.Decision, error) {
	body := w.body(i)
	header := http.Header{"Content-Type": {"application/json"}, signing.HookHeader: {d.sign(d.secret, body)}}
	if w.spoil != nil {
		body = w.spoil(body, header)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.server.URL+"/sentry", bytes.NewReader(body))
	if err != nil {
		return vwo.Decision{}, err
	}
	request.Header = header
	d.decision.Store(nil)
	response, err := d.server.Client().Do(request)
	if err != nil {
		return vwo.Decision{}, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	decision := d.decision.Load()
	switch {
	case decision == nil:
		return vwo.Decision{}, errors.New("nothing was decided")
	case decision.Status != response.StatusCode:
		return vwo.Decision{}, fmt.Errorf("answered %d, decided %d", response.StatusCode, decision.Status)
	}
	return *decision, checkStatus(decision)
}

// checkStatus holds the answer against the verdict.
func checkStatus(d *vwo.Decision) error {
	want := map[vwo.Verdict][]int{vwo.Acted: {200, 202}, vwo.Ignored: {200}, vwo.Refused: {401}}[d.Verdict]
	for _, status := range want {
		if d.Status == status {
			return nil
		}
	}
	return fmt.Errorf("%s was answered %d", d.Verdict, d.Status)
}

func (d *demo) sign(secret signing.Secret, body []byte) string {
	signature, err := signing.Sign(secret, body)
	if err != nil {
		return "" // no secret here is empty
	}
	return signature
}

// demoEvent is an issue alert as Sentry sends it, without what is not needed.
func demoEvent(alert, project, tags string, i int, at time.Time) []byte {
	return fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"%s"},"data":{"event":{"event_id":"%032x","project":4505,`+
		`"url":"https://sentry.io/api/0/projects/acme/%s/events/%032x/","level":"error","environment":"production",`+
		`"tags":[["level","error"],["environment","production"]%s],"title":"PaymentError: card declined","datetime":"%s"},`+
		`"triggered_rule":"%s"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}`,
		demoInstallation, i+1, project, i+1, tags, at.UTC().Format(time.RFC3339Nano), alert)
}

// demoMetric is a metric alert.
func demoMetric(alert, action string, method, i int, at time.Time) []byte {
	when, closed, status := at.UTC().Format(time.RFC3339Nano), "null", map[string]int{"critical": 20, "warning": 10, "resolved": 2}[action]
	if action == "resolved" {
		closed = `"` + when + `"`
	}
	return fmt.Appendf(nil, `{"action":"%s","installation":{"uuid":"%s"},"data":{"metric_alert":{"id":"%d","title":"%s","status":%d,"status_method":%d,`+
		`"projects":["shop"],"date_started":"%s","date_detected":"%s","date_closed":%s,"alert_rule":{"id":"%d","name":"%s","environment":"production"}}},`+
		`"actor":{"type":"application","id":"sentry","name":"Sentry"}}`,
		action, demoInstallation, i+1, alert, status, method, when, when, closed, len(alert), alert)
}

func demoIssue(i int) []byte {
	return fmt.Appendf(nil, `{"action":"resolved","installation":{"uuid":"%s"},"data":{"issue":{"id":"%d","project":{"slug":"shop"}}},"actor":{}}`, demoInstallation, i)
}

func demoUnknown(i int) []byte {
	return fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"%s"},"data":{"prophecy":{"id":"%d"}},"actor":{}}`, demoInstallation, i)
}
