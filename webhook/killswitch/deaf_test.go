package killswitch_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// TestStrangersAreNoProxy has somebody look for holes with forms and empty
// requests: nothing of Sentry's was lost.
func TestStrangersAreNoProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard reports
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&switches{}), OnReport: heard.add})
		for i := range 20 {
			r := signed([]byte("a=b"))
			r.Header.Del(signing.HookHeader)
			r.Header.Set("Content-Type", []string{"", "application/x-www-form-urlencoded", "text/plain"}[i%3])
			if status := deliver(relay, r); status != http.StatusUnauthorized {
				t.Errorf("status %d", status)
			}
		}
		if code, text := get(relay.ServeHealth); code != 200 || len(heard.all()) > 0 {
			t.Errorf("%d %s, %v", code, text, heard.all())
		}
	})
}

// TestSomeSignaturesAreWrong has a proxy that changes one body in ten: there is
// never a run of wrong signatures, and a kill in ten is lost.
func TestSomeSignaturesAreWrong(t *testing.T) {
	for gap, want := range map[time.Duration]int{time.Minute: 1, time.Hour: 0} {
		synctest.Test(t, func(t *testing.T) {
			var heard reports
			relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&switches{}), OnReport: heard.add, CapPerHour: -1})
			for i := range 60 {
				time.Sleep(gap / 10)
				r := signed(eventAlert("f", time.Now()))
				if i%10 == 9 {
					r.Header.Set(signing.HookHeader, strings.Repeat("a", 64))
				}
				deliver(relay, r)
			}
			if heard.about(killswitch.ErrSomeBadSignatures) != want || heard.about(killswitch.ErrBadSignatures) > 0 {
				t.Errorf("one wrong signature each %v: %v", gap, heard.all())
			}
			if code, text := get(relay.ServeHealth); code != 200 {
				t.Errorf("%d %s", code, text)
			}
		})
	}
}

// TestUnreadableAlertsAreReported has Sentry sign what nothing can be made of:
// that is told to a person, once an hour, as no rule can match it.
func TestUnreadableAlertsAreReported(t *testing.T) {
	tags := strings.Repeat(`["a","b"],`, alert.MaxElements) + `["a","b"]`
	many := strings.Replace(string(eventAlert("f", time.Now())), `"tags":[["level","error"]]`, `"tags":[`+tags+`]`, 1)
	for name, body := range map[string]string{
		"too many tags":          many,
		"no JSON":                "<html>",
		"twice the same key":     `{"action":"triggered","action":"triggered"}`,
		"the header contradicts": string(metricAlert("f", "critical", time.Now())),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard reports
				relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&switches{}), OnReport: heard.add})
				send := func() {
					r := signed([]byte(body))
					r.Header.Set("Sentry-Hook-Resource", "event_alert")
					deliver(relay, r)
				}
				for i := range 4 {
					send()
					time.Sleep(time.Minute)
					if n := heard.about(killswitch.ErrUnreadable); n != 1 {
						t.Errorf("%d reports after %d alerts: %v", n, i+1, heard.all())
					}
				}
				time.Sleep(time.Hour)
				send()
				if n := heard.about(killswitch.ErrUnreadable); n != 2 {
					t.Errorf("%d reports an hour later", n)
				}
				if text := fmt.Sprint(heard.all()); strings.Contains(text, "jane.doe") {
					t.Error("it tells of a person: " + text)
				}
			})
		})
	}
}

// TestDryRunLeavesNothingBehind has a dry run go on for an hour and end: nothing
// waits, nobody is told to switch anything by hand.
func TestDryRunLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard reports
		relay := newRelay(t, killswitch.Config{Rules: ruledBack("f", "g"), Togglers: by(&switches{}), OnReport: heard.add, DryRun: true})
		for _, body := range [][]byte{
			eventAlert("f", time.Now()), metricAlert("g", "critical", time.Now()), metricAlert("g", "resolved", time.Now().Add(time.Second)),
		} {
			if status := deliver(relay, signed(body)); status != 200 {
				t.Errorf("status %d", status)
			}
		}
		time.Sleep(time.Hour)
		if code, text := get(relay.ServeHealth); code != 200 {
			t.Errorf("%d %s", code, text)
		}
		if stats, err := relay.Stats(t.Context()); err != nil || stats.Waiting > 0 || stats.SwitchedOff > 0 {
			t.Errorf("%+v, %v", stats, err)
		}
		closed(t, relay)
		if all := heard.all(); len(all) > 0 {
			t.Errorf("reports: %v", all)
		}
	})
}
