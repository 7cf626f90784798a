package killswitch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// evilNames are 200 alert names made to break out of a log line, a page, a header
// or a terminal.
func evilNames() []string {
	breaks := []string{
		"\n", "\r\n", "\x00", "\x1b[2J", "\u202e", "\u2028", "\u0085", `"`, `\`, `","level":"ERROR`, "</script>", "<img src=x onerror=1>", "' OR 1=1", "${switch.alert}", "{{.}}",
		"%0d%0aX-Evil: 1", "../../..", "?x=1&y=2", "#", strings.Repeat("long ", 200),
	}
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("%sname %d%s evil-%d", breaks[i%len(breaks)], i, breaks[(i/len(breaks)+i)%len(breaks)], i))
	}
	return names
}

// TestLogsShowNoSecretsNorPeople reads everything that is written about alerts of
// every kind, whose names try to break out.
func TestLogsShowNoSecretsNorPeople(t *testing.T) {
	const secondFactor = "f00dface-treasure"
	synctest.Test(t, func(t *testing.T) {
		var log lines
		var heard reports
		store := newStore(t)
		names := evilNames()
		flags := switches{fail: func(_ context.Context, call int, _ killswitch.Switch) error {
			if call%3 == 0 {
				return killswitch.Final(errGone)
			}
			return nil
		}}
		rules := ruled("f", "g")
		for _, name := range names[:100] {
			rules = append(rules, killswitch.Rule{Alert: name, Project: "shop", Target: flagOf("evil")})
		}
		relay := newRelay(t, killswitch.Config{
			Rules: rules, Togglers: by(&flags), Logger: logTo(&log), OnReport: heard.add, CoolDown: -1, CapPerHour: -1, Store: store,
			Header: "X-Key", HeaderValues: []signing.Secret{signing.NewSecret(secondFactor)},
		})
		for i, name := range names {
			body := eventAlert([]string{"f", "g", name, name}[i%4], time.Now())
			if i%10 == 3 {
				body = body[:len(body)-5]
			}
			r := signed(body)
			r.Header.Set("X-Key", secondFactor)
			if i%7 == 0 {
				r.Header.Set("X-Key", "wrong-"+secondFactor)
			}
			deliver(relay, r)
		}
		time.Sleep(time.Minute)
		dead, err := store.List(t.Context(), testQueue, queue.Filter{States: []queue.State{queue.Dead}})
		if err != nil || len(dead) == 0 {
			t.Fatalf("%d dead, %v", len(dead), err)
		}
		out := log.String()
		for _, d := range dead {
			out += string(d.Body) + d.Reason
		}
		for _, report := range heard.all() {
			out += fmt.Sprintf("%+v %v", report, report.Err)
		}
		_, page := get(relay.ServeMetrics)
		out += page
		for _, hidden := range []string{"f00dface", "jane", "203.0.113.7", "card declined", "client-secret", "\x1b", "\u202e", "\u2028", "\x00", "\r"} {
			if strings.Contains(out, hidden) {
				t.Errorf("%q shows", hidden)
			}
		}
		if strings.Contains(out, strings.Repeat("long ", 25)) || strings.Contains(page, "evil") {
			t.Error("foreign text is not cut, or is on the page")
		}
		for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
			if !strings.HasPrefix(line, `{"time":`) || !strings.HasSuffix(line, "}") || strings.Contains(line, `"level":"ERROR"","level"`) {
				t.Errorf("a line is broken: %s", line)
			}
		}
		for _, seen := range []string{"no rule matches", "a rule matches", "the second header", "the body cannot be read", "killswitch: switched", "needs attention"} {
			if !strings.Contains(out, seen) {
				t.Errorf("the log does not say %q", seen)
			}
		}
		if n := strings.Count(out, `"decision"`); n != 200 {
			t.Errorf("%d decisions in the log", n)
		}
	})
}

// TestCallbacksThatPanic stops nothing.
func TestCallbacksThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flags := switches{fail: func(_ context.Context, call int, _ killswitch.Switch) error {
			if call == 1 {
				return killswitch.Final(errGone)
			}
			return nil
		}}
		relay := newRelay(t, killswitch.Config{
			Rules: ruled("f"), Togglers: by(&flags),
			OnReport: func(killswitch.Report) { panic("report") }, OnDecision: func(killswitch.Decision) { panic("decision") },
		})
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 202 {
			t.Errorf("status %d", status)
		}
		time.Sleep(time.Second)
		if status := deliver(relay, signed(eventAlert("f", time.Now()))); status != 200 {
			t.Errorf("status %d", status)
		}
	})
}
