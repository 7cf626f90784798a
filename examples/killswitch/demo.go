package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// demoWithin is how long the demonstration may take.
const demoWithin = 28 * time.Second

const (
	demoSecret       = "the-client-secret-of-the-demo-integration"
	demoInstallation = "7a485448-a9e2-4c85-8a3c-4f44175783c9"
	demoEnvironment  = "production"
	demoBurst        = 30
)

// demoTarget is a flag of the demonstration's VWO.
func demoTarget(flag string) *killswitch.Target {
	return &killswitch.Target{Flag: flag, Attributes: map[string]string{"environment": demoEnvironment}}
}

// demoRules are the rules of the demonstration, as in a configuration file.
func demoRules() []fileRule {
	rules := []fileRule{
		{Alert: "Checkout failing", Project: "shop", Evaluated: killswitch.EvaluatedOn, Off: demoTarget("new_checkout")},
		{Alert: "Search too slow", Project: "shop", Off: demoTarget("fast_search")},
		{Alert: "Search too slow", Project: "shop", When: []killswitch.Trigger{killswitch.MetricAlertResolved}, On: demoTarget("fast_search")},
		{Alert: "Payment errors", Project: "shop", Off: demoTarget("new_payment")},
	}
	for _, flag := range flagNames(demoBurst) {
		rules = append(rules, fileRule{Alert: flag, Project: "shop", Off: demoTarget(flag)})
	}
	return rules
}

// flagNames are the flags of a burst, and the names of the alerts that switch
// them.
func flagNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("flag_%d", i))
	}
	return names
}

// playDemo is -demo: the program as it is, between a stand-in of VWO, a stand-in
// of Sentry's flag log, and somebody who posts alerts as Sentry does.
func playDemo(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	d, err := startDemo(ctx, out)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Sentry and VWO are stand-ins on loopback: nothing leaves this machine.")
	fmt.Fprintln(out)
	failed := errors.Join(d.play(ctx), d.stop(context.WithoutCancel(ctx)))
	if failed != nil {
		fmt.Fprintf(out, "\nnot as it should be:\n%v\n", failed)
	}
	fmt.Fprintf(out, "\nkillswitch: %d alerts, %d acted, %d ignored, %d refused\n", d.alerts, d.acted, d.ignored, d.refused)
	return failed
}

type demo struct {
	out     io.Writer
	service *service
	vwo     *vwotest.Server
	sentry  *webhooktest.Server
	server  *httptest.Server
	dir     string
	started time.Time
	events  int

	mu                              sync.Mutex
	last                            killswitch.Decision
	reports                         []killswitch.Report
	alerts, acted, ignored, refused int
}

func startDemo(ctx context.Context, out io.Writer) (*demo, error) {
	dir, err := os.MkdirTemp("", "killswitch-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{
		vwo: vwotest.NewServer(vwotest.Config{
			Environments: []string{demoEnvironment}, Features: append(flagNames(demoBurst), "new_checkout", "fast_search", "new_payment"),
		}),
		sentry: webhooktest.NewServer(webhooktest.Config{}), //nolint:contextcheck // it lives until it is closed
		out:    out, dir: dir, started: time.Now(),
	}
	c := config{env: func(string) string { return d.vwo.Token() }}
	c.Path, c.Rules, c.Store = "/sentry", demoRules(), filepath.Join(dir, "killswitch.db")
	c.Togglers = demoTogglers(d.vwo.URL)
	c.env = func(name string) string { return map[string]string{"VWO_TOKEN": d.vwo.Token()}[name] }
	c.Sentry.Installation = demoInstallation
	c.clientSecrets = []signing.Secret{signing.NewSecret(demoSecret)}
	c.flagsURL, c.flagsSecrets = d.sentry.URL(), []signing.Secret{d.sentry.Secret()}
	d.service, err = newService(ctx, c, options{unlimited: true, onDecision: d.decided, onReport: d.reported})
	if err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	d.server = httptest.NewUnstartedServer(d.service.handler())
	_ = d.server.Listener.Close()
	d.server.Listener = listener
	d.server.Start()
	return d, nil
}

// demoTogglers are a configuration's, with VWO at an address.
func demoTogglers(address string) map[string]fileToggler {
	var all map[string]fileToggler
	raw, err := json.Marshal(map[string]any{"vwo": map[string]any{"vwo": map[string]string{"base_url": address}}})
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		panic("killswitch: " + err.Error()) // strings
	}
	return all
}

func (d *demo) decided(decision killswitch.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = decision
	d.alerts++
	switch decision.Verdict {
	case killswitch.Acted:
		d.acted++
	case killswitch.Ignored:
		d.ignored++
	default:
		d.refused++
	}
}

func (d *demo) reported(report killswitch.Report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, report)
}

// play plays what happens, and returns what is not as it should be.
func (d *demo) play(ctx context.Context) error {
	on, off := `{"flag":"new_checkout","result":true}`, `{"flag":"new_checkout","result":false}`
	failed := errors.Join(
		d.one(ctx, "an error with the flag off", d.event("Checkout failing", off, ""), nil, killswitch.Ignored, killswitch.ReasonNoRule),
		d.one(ctx, "an error without the flag", d.event("Checkout failing", "", ""), nil, killswitch.Ignored, killswitch.ReasonFlagAbsent),
		d.one(ctx, "an error with the flag on", d.event("Checkout failing", on, ""), nil, killswitch.Acted, killswitch.ReasonActs),
		d.isNow("new_checkout", false),
		d.one(ctx, "the same alert about the next error", d.event("Checkout failing", on, ""), nil, killswitch.Ignored, killswitch.ReasonCoolingDown),
		d.one(ctx, "a test notification", d.event("Payment errors", "", `,["sample_event","yes"]`), nil, killswitch.Ignored, killswitch.ReasonTest),
		d.one(ctx, "the alert was renamed", d.event("payment error", "", ""), nil, killswitch.Ignored, killswitch.ReasonNoRule),
		d.one(ctx, "an alert that no rule names", d.event("Something else", "", ""), nil, killswitch.Ignored, killswitch.ReasonNoRule),
		d.forged(ctx),
		d.burst(ctx),
		d.outage(ctx),
		d.restore(ctx),
		d.settle(ctx),
	)
	fmt.Fprintln(d.out, "\nWhat a person was told:")
	for _, report := range d.reports {
		fmt.Fprintf(d.out, "  %.110s\n", report.Err)
	}
	fmt.Fprintln(d.out, "\nSentry's flag log, without the burst:")
	for _, change := range d.sentry.Changes() {
		if !strings.HasPrefix(change.Flag, "flag_") {
			fmt.Fprintf(d.out, "  %-14s %s by %q\n", change.Flag, change.Action, change.CreatedBy.ID)
		}
	}
	return failed
}

// one posts one request, and prints what was made of it.
func (d *demo) one(ctx context.Context, what string, body []byte, spoil func(http.Header), verdict killswitch.Verdict, reason killswitch.Reason) error {
	decision, err := d.post(ctx, body, spoil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Fprintf(d.out, "%5.1fs  %-44s %-8s %s\n", time.Since(d.started).Seconds(), what, decision.Verdict, decision.Reason)
	if decision.Note != "" {
		fmt.Fprintf(d.out, "        %s\n", decision.Note)
	}
	if decision.Verdict != verdict || decision.Reason != reason {
		return fmt.Errorf("%s: %s (%s), want %s (%s)", what, decision.Verdict, decision.Reason, verdict, reason)
	}
	return nil
}

func (d *demo) forged(ctx context.Context) error {
	good := d.event("Payment errors", "", "")
	sign := func(secret string, body []byte) func(http.Header) {
		return func(h http.Header) { h.Set(signing.HookHeader, signatureOf(secret, body)) }
	}
	return errors.Join(
		d.one(ctx, "forged: no signature", good, func(h http.Header) { h.Del(signing.HookHeader) }, killswitch.Refused, killswitch.ReasonUnsigned),
		d.one(ctx, "forged: signed with a guess", good, sign("a guess", good), killswitch.Refused, killswitch.ReasonForged),
		d.one(ctx, "forged: the empty body's signature", good, sign(demoSecret, nil), killswitch.Refused, killswitch.ReasonForged),
		d.one(ctx, "forged: an empty body, signed", nil, nil, killswitch.Refused, killswitch.ReasonEmpty),
		d.one(ctx, "forged: a header that contradicts the body", good, func(h http.Header) { h.Set("Sentry-Hook-Resource", "metric_alert") },
			killswitch.Refused, killswitch.ReasonContradicted),
		d.one(ctx, "signed for another installation", bytes.Replace(good, []byte(demoInstallation), []byte("another"), 1), nil,
			killswitch.Refused, killswitch.ReasonInstallation),
	)
}

// burst has thirty alerts arrive at once.
func (d *demo) burst(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, demoBurst)
	for i, flag := range flagNames(demoBurst) {
		body := d.event(flag, "", "")
		all.Go(func() { _, errs[i] = d.post(ctx, body, nil) })
	}
	all.Wait()
	off := 0
	for _, flag := range flagNames(demoBurst) {
		if d.isNow(flag, false) == nil {
			off++
		}
	}
	fmt.Fprintf(d.out, "%5.1fs  %-44s %-8s %d flags are off\n", time.Since(d.started).Seconds(), "a burst of 30 alerts", killswitch.Acted, off)
	if off != demoBurst {
		errs = append(errs, fmt.Errorf("a burst: %d of %d flags are off", off, demoBurst))
	}
	return errors.Join(errs...)
}

// outage has VWO fail, come back, and the incident end.
func (d *demo) outage(ctx context.Context) error {
	d.vwo.SetFault(vwotest.Fault{Status: http.StatusBadGateway})
	failed := d.one(ctx, "a monitor is critical, and VWO is down", demoMetric("Search too slow", "critical", 1, time.Now()), nil, killswitch.Acted, killswitch.ReasonActs)
	failed = errors.Join(failed, d.isNow("fast_search", true))
	d.vwo.SetFault(vwotest.Fault{})
	failed = errors.Join(failed, d.until(ctx, "fast_search", false))
	fmt.Fprintf(d.out, "%5.1fs  %-44s fast_search is off\n", time.Since(d.started).Seconds(), "VWO is back")
	failed = errors.Join(failed, d.one(ctx, "the incident is over", demoMetric("Search too slow", "resolved", 1, time.Now()), nil, killswitch.Acted, killswitch.ReasonActs))
	return errors.Join(failed, d.until(ctx, "fast_search", true))
}

// restore has a person restore a flag, which ends the cool-down.
func (d *demo) restore(ctx context.Context) error {
	var text strings.Builder
	failed := restore(ctx, d.service.parts, []string{"-by", "Ada Lovelace", "-force", "new_checkout"}, &text)
	fmt.Fprintf(d.out, "%5.1fs  killswitch restore -by \"Ada Lovelace\" -force new_checkout\n        %s", time.Since(d.started).Seconds(), text.String())
	return errors.Join(failed, d.isNow("new_checkout", true),
		d.one(ctx, "the alert again, within its cool-down", d.event("Checkout failing", `{"flag":"new_checkout","result":true}`, ""), nil,
			killswitch.Acted, killswitch.ReasonActs),
		d.isNow("new_checkout", false))
}

func (d *demo) isNow(flag string, want bool) error {
	if got := d.vwo.Enabled(demoEnvironment, flag); got != want {
		return fmt.Errorf("flag %s is on=%t", flag, got)
	}
	return nil
}

func (d *demo) until(ctx context.Context, flag string, want bool) error {
	for d.isNow(flag, want) != nil {
		if !pause(ctx, 20*time.Millisecond) {
			return d.isNow(flag, want)
		}
	}
	return nil
}

// demoRecords is how many switches are made, by alerts and by the person.
const demoRecords = demoBurst + 5

// settle waits until every switch is done and recorded.
func (d *demo) settle(ctx context.Context) error {
	for {
		stats, err := d.service.relay.Stats(ctx)
		if err != nil {
			return err
		}
		if stats.Waiting == 0 && len(d.sentry.Changes()) >= demoRecords {
			break
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%d switches wait and %d of %d are recorded: %w", stats.Waiting, len(d.sentry.Changes()), demoRecords, ctx.Err())
		}
	}
	if n := len(d.sentry.Changes()); n != demoRecords {
		return fmt.Errorf("%d records, want %d", n, demoRecords)
	}
	return nil
}

func (d *demo) stop(ctx context.Context) error {
	var failed error
	if d.server != nil {
		d.server.Close()
	}
	if d.service != nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		failed = d.service.close(ctx)
	}
	d.vwo.Close()
	d.sentry.Close()
	return errors.Join(failed, os.RemoveAll(d.dir))
}

// post sends one request, as Sentry does, and returns what was decided last.
func (d *demo) post(ctx context.Context, body []byte, spoil func(http.Header)) (killswitch.Decision, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.server.URL+"/sentry", bytes.NewReader(body))
	if err != nil {
		return killswitch.Decision{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(signing.HookHeader, signatureOf(demoSecret, body))
	if spoil != nil {
		spoil(request.Header)
	}
	response, err := d.server.Client().Do(request)
	if err != nil {
		return killswitch.Decision{}, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last, nil
}

func signatureOf(secret string, body []byte) string {
	signature, err := signing.Sign(signing.NewSecret(secret), body)
	if err != nil {
		return "" // no secret here is empty
	}
	return signature
}

// event is an issue alert about a new error with such flags and tags.
func (d *demo) event(alert, flags, tags string) []byte {
	d.events++
	return demoEvent(alert, "shop", flags, tags, d.events, time.Now())
}

// demoEvent is an issue alert as Sentry sends it, without what is not needed.
func demoEvent(alert, project, flags, tags string, i int, at time.Time) []byte {
	return fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"%s"},"data":{"event":{"event_id":"%032x","project":4505,`+
		`"url":"https://sentry.io/api/0/projects/acme/%s/events/%032x/","level":"error","environment":"production","contexts":{"flags":{"values":[%s]}},`+
		`"tags":[["level","error"],["environment","production"]%s],"title":"PaymentError: card declined","datetime":"%s"},`+
		`"triggered_rule":"%s"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}`,
		demoInstallation, i, project, i, flags, tags, at.UTC().Format(time.RFC3339Nano), alert)
}

// demoMetric is a metric alert as the present server sends it: of an end it says
// the minute, and status_method 2.
func demoMetric(alert, action string, i int, at time.Time) []byte {
	when, closed, status, method := at.UTC().Format(time.RFC3339Nano), "null", 20, 3
	if action == "resolved" {
		closed, status, method = `"`+at.UTC().Truncate(time.Minute).Format(time.RFC3339)+`"`, 2, 2
	}
	return fmt.Appendf(nil, `{"action":"%s","installation":{"uuid":"%s"},"data":{"metric_alert":{"id":"%d","title":"%s","status":%d,"status_method":%d,`+
		`"projects":["shop"],"date_started":"%s","date_detected":"%s","date_closed":%s,"alert_rule":{"id":"%d","name":"%s","environment":"production"}}},`+
		`"actor":{"type":"application","id":"sentry","name":"Sentry"}}`,
		action, demoInstallation, i, alert, status, method, when, when, closed, len(alert), alert)
}
