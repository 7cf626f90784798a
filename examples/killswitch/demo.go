package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// demoWithin is how long the demonstration may take.
const demoWithin = 28 * time.Second

const (
	demoSecret       = "the-client-secret-of-the-demo-integration"
	demoInstallation = "7a485448-a9e2-4c85-8a3c-4f44175783c9"
	demoEnvironment  = "production"
)

// demoRules are the rules of the demonstration, as in a configuration file.
func demoRules() []fileRule {
	rule := func(alert, feature string) fileRule {
		r := fileRule{Alert: alert, Project: "shop"}
		r.Target.Environment, r.Target.Feature = demoEnvironment, feature
		return r
	}
	checkout := rule("Checkout failing", "new_checkout")
	checkout.Environment, checkout.Level = demoEnvironment, "error"
	search := rule("Search too slow", "fast_search")
	banner := rule("Banner errors", "summer_banner")
	banner.When = []vwo.Trigger{vwo.MetricAlertCritical, vwo.MetricAlertWarning}
	bannerBack := fileRule{Alert: "Banner errors", Project: "shop", When: []vwo.Trigger{vwo.MetricAlertResolved}}
	bannerBack.On.Environment, bannerBack.On.Feature = demoEnvironment, "summer_banner"
	return []fileRule{checkout, search, rule("Payment errors", "new_payment"), banner, bannerBack}
}

// wantStates are the flags, and how the storm is to leave them.
var wantStates = map[string]bool{
	"new_checkout": false, "fast_search": false, "new_payment": false, "summer_banner": true, "recommendations": true, "dark_mode": true,
}

// playDemo is -demo: the program as it is, between a stand-in of VWO, a stand-in
// of Sentry's flag log, and somebody who posts alerts as Sentry does.
func playDemo(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	d, err := startDemo(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Sentry and VWO are stand-ins on loopback: nothing leaves this machine. VWO is slow at first, then down, then back.")
	fmt.Fprintln(out)
	tally, failed := d.storm(ctx, out)
	failed = errors.Join(failed, d.settle(ctx, wantRecords))
	fmt.Fprintln(out)
	d.printResults(out)
	failed = errors.Join(failed, d.verify(), d.stop(context.WithoutCancel(ctx)))
	if failed != nil {
		fmt.Fprintf(out, "\nnot as it should be:\n%v\n", failed)
	}
	fmt.Fprintf(out, "\nkillswitch: %d alerts, %d acted, %d ignored, %d refused\n", tally.alerts, tally.acted, tally.ignored, tally.refused)
	return failed
}

type demo struct {
	service  *service
	vwo      *vwotest.Server
	sentry   *webhooktest.Server
	server   *httptest.Server
	secret   signing.Secret
	dir      string
	decision atomic.Pointer[vwo.Decision]
	reports  atomic.Int64
	started  time.Time
}

func startDemo(ctx context.Context) (*demo, error) {
	var features []string
	for feature := range wantStates {
		features = append(features, feature)
	}
	dir, err := os.MkdirTemp("", "killswitch-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{
		vwo:    vwotest.NewServer(vwotest.Config{Environments: []string{demoEnvironment}, Features: features, Interval: time.Second / 2}),
		sentry: webhooktest.NewServer(webhooktest.Config{}), //nolint:contextcheck // it lives until it is closed
		secret: signing.NewSecret(demoSecret), dir: dir, started: time.Now(),
	}
	d.vwo.SetFaults(d.badStart())
	var c config
	c.Rules = demoRules()
	c.Store = filepath.Join(dir, "killswitch.db")
	c.VWO.BaseURL = d.vwo.URL
	c.Sentry.Installation = demoInstallation
	c.vwoToken = vwo.NewToken(d.vwo.Token())
	c.clientSecrets = []signing.Secret{d.secret}
	c.flagsURL, c.flagsSecrets = d.sentry.URL(), []signing.Secret{d.sentry.Secret()}
	d.service, err = newService(ctx, c, options{
		onDecision: func(decision vwo.Decision) { d.decision.Store(&decision) },
		onReport: func(report vwo.Report) {
			// A slow disk is no fault of the demonstration: the switch is done from
			// memory.
			if !errors.Is(report.Err, vwo.ErrStore) {
				d.reports.Add(1)
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	d.server = httptest.NewUnstartedServer(d.service.handler("/sentry"))
	_ = d.server.Listener.Close()
	d.server.Listener = listener
	d.server.Start()
	return d, nil
}

// badStart makes VWO's first answers bad ones.
func (d *demo) badStart() func(*http.Request) vwotest.Fault {
	faults := []vwotest.Fault{{Delay: 1500 * time.Millisecond}, {Status: http.StatusBadGateway}, {Break: true}}
	var n atomic.Int64
	return func(*http.Request) vwotest.Fault {
		if i := int(n.Add(1)) - 1; i < len(faults) {
			return faults[i]
		}
		return vwotest.Fault{}
	}
}

// settle waits until every switch is done, and so many are recorded.
func (d *demo) settle(ctx context.Context, records int) error {
	for {
		stats, err := d.service.relay.Stats(ctx)
		if err != nil {
			return err
		}
		if stats.Waiting == 0 && len(d.sentry.Changes()) >= records {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d switches wait and %d of %d are recorded: %w", stats.Waiting, len(d.sentry.Changes()), records, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wantRecords is how many switches the storm makes: one per alert that acts.
const wantRecords = 5

// verify compares what became of the flags and of the flag log with what should
// have.
func (d *demo) verify() error {
	var failed error
	for feature, want := range wantStates {
		if got := d.vwo.Enabled(demoEnvironment, feature); got != want {
			failed = errors.Join(failed, fmt.Errorf("flag %s is %s", feature, onOff(got)))
		}
	}
	if n := len(d.sentry.Changes()); n != wantRecords {
		failed = errors.Join(failed, fmt.Errorf("%d switches are in the flag log, want %d", n, wantRecords))
	}
	if n := d.reports.Load(); n != 0 {
		failed = errors.Join(failed, fmt.Errorf("%d reports of trouble", n))
	}
	return failed
}

func (d *demo) stop(ctx context.Context) error {
	var failed error
	if d.server != nil {
		d.server.Close()
	}
	if d.service != nil {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		failed = d.service.close(ctx)
	}
	d.vwo.Close()
	d.sentry.Close()
	return errors.Join(failed, os.RemoveAll(d.dir))
}

func (d *demo) printResults(out io.Writer) {
	fmt.Fprintln(out, "VWO's flags afterwards, with what Sentry's flag log shows:")
	byFlag := map[string][]webhook.Change{}
	for _, change := range d.sentry.Changes() {
		byFlag[change.Flag] = append(byFlag[change.Flag], change)
	}
	for _, feature := range []string{"new_checkout", "fast_search", "new_payment", "summer_banner", "recommendations", "dark_mode"} {
		fmt.Fprintf(out, "  %-16s %-4s", feature, onOff(d.vwo.Enabled(demoEnvironment, feature)))
		for _, change := range byFlag[feature] {
			fmt.Fprintf(out, "  %s by %q", change.Action, change.CreatedBy.ID)
		}
		fmt.Fprintln(out)
	}
}

func onOff(enabled bool) string {
	if enabled {
		return "on"
	}
	return "off"
}
