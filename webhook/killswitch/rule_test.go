package killswitch_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// sampleNow is when the alerts in testdata arrive.
var sampleNow = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// sampleRules are the rules for the alerts in testdata.
func sampleRules() []killswitch.Rule {
	checkout, banner, never := flagOf("new_checkout"), flagOf("banner"), flagOf("never")
	return []killswitch.Rule{
		{Alert: "Checkout failing", Project: "shop", Environment: "production", Level: "error", Tags: map[string]string{"level": "error"}, Target: checkout},
		{Alert: "Checkout failing", AlertID: "3311", Project: "4505", Settings: map[string]string{"flag": "new_checkout"}, Target: flagOf("new_payment")},
		{AlertID: "3307", Project: "shop-mobile", Environment: "production", Target: checkout},
		{Alert: "Checkout error rate", Project: "shop", When: []killswitch.Trigger{killswitch.MetricAlertWarning}, Target: banner},
		{Alert: "Checkout error rate", Project: "shop", When: []killswitch.Trigger{killswitch.MetricAlertResolved}, Target: banner, SwitchOn: true},
		// These never match anything here.
		{Alert: "Checkout error rate", Project: "shop", Level: "error", Target: never},
		{Alert: "Checkout failing", Project: "shop", Tags: map[string]string{"level": "fatal"}, Target: never},
		{Alert: "checkout failing", Project: "shop", Target: never},
	}
}

type sample struct {
	File, Header, Verdict, Reason, Trigger, About string
	Flags                                         []string
	On                                            bool
}

// TestSamples judges every resource and trap of Sentry's alerts.
func TestSamples(t *testing.T) {
	raw, err := os.ReadFile("testdata/alerts.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	if err := json.Unmarshal(raw, &samples); err != nil || len(samples) < 45 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	for _, s := range samples {
		t.Run(s.File+" as "+s.Header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The bubble's clock starts in 2000; it is set by waiting.
				time.Sleep(time.Until(sampleNow))
				var decided decisions
				relay := newRelay(t, killswitch.Config{
					Secrets: []signing.Secret{clientSecret}, Rules: sampleRules(), Togglers: by(&switches{}), DryRun: true, OnDecision: decided.add,
					Installation: "7a485448-a9e2-4c85-8a3c-4f44175783c9",
				})
				body, err := os.ReadFile(filepath.Join("../alert/testdata/alerts", s.File+".json"))
				if err != nil {
					t.Fatal(err)
				}
				r := signed(body)
				if s.Header != "" {
					r.Header.Set("Sentry-Hook-Resource", s.Header)
				}
				deliver(relay, r)
				d := decided.last()
				if d.Reason == killswitch.ReasonDryRun {
					d.Reason = killswitch.ReasonActs
				}
				if string(d.Verdict) != s.Verdict || string(d.Reason) != s.Reason {
					t.Errorf("got %s: %s (%s); want %s: %s", d.Verdict, d.Reason, d.Note, s.Verdict, s.Reason)
				}
				var flags []string
				for _, target := range d.Targets {
					flags = append(flags, target.String())
				}
				if diff := cmp.Diff(s.Flags, flags); diff != "" {
					t.Error(diff)
				}
				if s.On != (len(d.SwitchOn) > 0) || s.Trigger != "" && string(d.Trigger) != s.Trigger {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

// TestEvaluated lets only the error that carries the flag act.
func TestEvaluated(t *testing.T) {
	for name, tc := range map[string]struct {
		flags   string // contexts.flags.values; "-" is none at all
		acts    bool
		reason  killswitch.Reason
		reports int
	}{
		"on":              {`{"flag":"new-checkout","result":true}`, true, killswitch.ReasonActs, 0},
		"on among others": {`{"flag":"x","result":false},{"flag":"new-checkout","result":true},{"flag":"y","result":true}`, true, killswitch.ReasonActs, 0},
		"on since":        {`{"flag":"new-checkout","result":false},{"flag":"new-checkout","result":true}`, true, killswitch.ReasonActs, 0},
		"off":             {`{"flag":"new-checkout","result":false}`, false, killswitch.ReasonNoRule, 0},
		"off since":       {`{"flag":"new-checkout","result":true},{"flag":"new-checkout","result":false}`, false, killswitch.ReasonNoRule, 0},
		"another case":    {`{"flag":"New-Checkout","result":true}`, false, killswitch.ReasonFlagAbsent, 1},
		"a text":          {`{"flag":"new-checkout","result":"true"}`, false, killswitch.ReasonFlagAbsent, 1},
		"cut":             {`null,{"flag":"x","result":true}`, false, killswitch.ReasonFlagAbsent, 1},
		"empty":           {``, false, killswitch.ReasonFlagAbsent, 1},
		"absent":          {`-`, false, killswitch.ReasonFlagAbsent, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var flags switches
				var decided decisions
				var heard reports
				relay := newRelay(t, killswitch.Config{
					Rules:    []killswitch.Rule{{Alert: "a", Project: "shop", Target: flagOf("17"), Flag: "new-checkout", Evaluated: killswitch.EvaluatedOn}},
					Togglers: by(&flags), OnDecision: decided.add, OnReport: heard.add,
				})
				body := eventAlert("a", time.Now())
				if tc.flags != "-" {
					body = withFlags(body, tc.flags)
				}
				expect(t, relay, &decided, body, 200, tc.reason)
				if (flags.count() == 1) != tc.acts || len(heard.all()) != tc.reports {
					t.Errorf("%d switches, reports %v", flags.count(), heard.all())
				}
			})
		})
	}
	t.Run("names as Sentry shows them", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var flags switches
			relay := newRelay(t, killswitch.Config{
				Rules:    []killswitch.Rule{{Alert: "a", Project: "shop", Target: flagOf("my flag"), Evaluated: killswitch.EvaluatedOff}},
				Togglers: by(&flags),
			})
			deliver(relay, signed(withFlags(eventAlert("a", time.Now()), `{"flag":"my_flag-a84e63b3","result":false}`)))
			if flags.count() != 1 {
				t.Error("it did not act")
			}
		})
	})
}

// TestOccurrences acts on an issue that is no error only if the rule says so.
func TestOccurrences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for number, kind := range map[string]string{"4001": alert.IssueTypeCron, "7001": alert.IssueTypeUptime, "8001": alert.IssueTypeMetric} {
			var flags switches
			var decided decisions
			rules := ruled("f", "g")
			rules[1].IssueType = kind
			relay := newRelay(t, killswitch.Config{Rules: rules, Togglers: by(&flags), OnDecision: decided.add})
			occurrence := func(name string) []byte {
				return bytes.Replace(eventAlert(name, time.Now()), []byte(`"level":"error",`), []byte(`"level":"error","occurrence":{"type":`+number+`},`), 1)
			}
			expect(t, relay, &decided, occurrence("f"), 200, killswitch.ReasonNoRule)
			if d := decided.last(); !strings.Contains(d.Note, `rule 1 comes closest; IssueType: want "error", got "`+kind+`"`) {
				t.Errorf("%s", d.Note)
			}
			expect(t, relay, &decided, occurrence("g"), 200, killswitch.ReasonActs)
			expect(t, relay, &decided, eventAlert("g", time.Now()), 200, killswitch.ReasonNoRule)
		}
	})
}

// TestNeverByDefault has what acts only if a rule lists it.
func TestNeverByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		activity := func(what string) []byte {
			return []byte(`{"action":"triggered","data":{"alert":{"id":"9","title":"f"},"activity":{"type":"` + what + `"},"issue":{"id":"1","issueType":"error","lastSeen":"` +
				time.Now().UTC().Format(time.RFC3339) + `","project":{"id":"4505","slug":"shop"}}}}`)
		}
		var flags switches
		var decided decisions
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnDecision: decided.add})
		expect(t, relay, &decided, activity("status_regression"), 200, killswitch.ReasonNoRule)
		expect(t, relay, &decided, metricAlert("f", "open", time.Now()), 200, killswitch.ReasonNoRule)
		rules := ruled("f")
		rules[0].When, rules[0].Activity = []killswitch.Trigger{killswitch.ActivityAlertTriggered}, "status_regression"
		rules = append(rules, killswitch.Rule{Alert: "g", Project: "shop", When: []killswitch.Trigger{killswitch.MetricAlertOpen}, Target: flagOf("g")})
		relay = newRelay(t, killswitch.Config{Rules: rules, Togglers: by(&flags), OnDecision: decided.add})
		expect(t, relay, &decided, activity("status_resolved"), 200, killswitch.ReasonNoRule)
		expect(t, relay, &decided, activity("status_regression"), 200, killswitch.ReasonActs)
		expect(t, relay, &decided, metricAlert("g", "open", time.Now()), 200, killswitch.ReasonActs)
	})
}

// TestMatchedAndDidNotAct is told to a person; what no rule matches is not.
func TestMatchedAndDidNotAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for reason, body := range map[killswitch.Reason][]byte{
			killswitch.ReasonOld:    eventAlert("f", time.Now().Add(-16*time.Minute)),
			killswitch.ReasonFuture: eventAlert("f", time.Now().Add(6*time.Minute)),
			killswitch.ReasonNoTime: bytes.Replace(eventAlert("f", time.Now()), []byte(`"datetime"`), []byte(`"other"`), 1),
			killswitch.ReasonClosed: bytes.Replace(metricAlert("f", "critical", time.Now()), []byte(`"status":20`), []byte(`"status":2`), 1),
			killswitch.ReasonNoRule: eventAlert("something else", time.Now()),
			killswitch.ReasonTest:   bytes.Replace(eventAlert("f", time.Now()), []byte(`[["level","error"]]`), []byte(`[["sample_event","yes"]]`), 1),
		} {
			var flags switches
			var decided decisions
			var heard reports
			relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnDecision: decided.add, OnReport: heard.add})
			expect(t, relay, &decided, body, 200, reason)
			deliver(relay, signed(append(body, ' '))) // not over and over
			want := 1
			if reason == killswitch.ReasonNoRule || reason == killswitch.ReasonTest {
				want = 0
			}
			if list := heard.all(); len(list) != want || want == 1 && (list[0].Reason != reason || list[0].Target.Flag != "f" || list[0].Alert != "f") {
				t.Errorf("%s: reports %v", reason, list)
			}
			if reason == killswitch.ReasonTest && !strings.Contains(decided.last().Note, "meets rule 1, which switches f environment=production off") {
				t.Errorf("%s", decided.last().Note)
			}
		}
	})
}

// TestNearlyNamed reports an alert that was renamed, or misspelt in the rule.
func TestNearlyNamed(t *testing.T) {
	for name, nearly := range map[string]bool{
		"checkout error rate": true, "Checkout  error rate": true, "Checkout-error-rate": true, "Checkout eror rate": true, "Checkout error rates": true,
		"Checkout": false, "Payment error rate": false, "": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			var flags switches
			var decided decisions
			var heard reports
			relay := newRelay(t, killswitch.Config{Rules: ruled("Checkout error rate"), Togglers: by(&flags), OnDecision: decided.add, OnReport: heard.add})
			expect(t, relay, &decided, eventAlert(name, time.Now()), 200, killswitch.ReasonNoRule)
			if n := heard.about(killswitch.ErrNearlyNamed); (n == 1) != nearly || flags.count() > 0 {
				t.Errorf("%q: %d reports, note %s", name, n, decided.last().Note)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	a, err := alert.Parse(withFlags(eventAlert("Checkout failing", sampleNow), `{"flag":"x","result":true}`))
	if err != nil {
		t.Fatal(err)
	}
	rule := killswitch.Rule{
		Alert: "Checkout failing", Project: "blog", Level: "error", Tags: map[string]string{"browser": "Chrome"}, Target: flagOf("x"), Evaluated: killswitch.EvaluatedOn,
	}
	e := killswitch.Explain(&a, []killswitch.Rule{rule}, 0, sampleNow.Add(time.Minute))
	var got []string
	for _, c := range e.Rules[0] {
		got = append(got, c.String())
	}
	want := []string{
		`Alert: "Checkout failing"`, `Project: want "blog", got "4505", "shop"`, `When: event_alert.triggered or metric_alert.critical`,
		`Level: "error"`, `Tags[browser]: want "Chrome", got none`, `Evaluated: on`,
	}
	if diff := cmp.Diff(want, got); diff != "" || e.Decision.Reason != killswitch.ReasonNoRule {
		t.Errorf("%s\n%+v", diff, e.Decision)
	}
}

// TestMatchingIsConjunction draws alerts and rules that overlap: a rule matches
// if all that it asks for holds, explained or not, and off wins.
func TestMatchingIsConjunction(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "a", "b", "c"})
	pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) alert.Pair {
		return alert.Pair{Name: word.Draw(t, "name"), Value: word.Draw(t, "value")}
	}), 0, 4)
	wanted := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), word, 0, 2)
	triggers := []killswitch.Trigger{killswitch.IssueAlertTriggered, killswitch.MetricAlertCritical, killswitch.MetricAlertWarning, killswitch.MetricAlertResolved}
	rapid.Check(t, func(t *rapid.T) {
		trigger := rapid.SampledFrom(triggers).Draw(t, "trigger")
		kind, action, _ := strings.Cut(string(trigger), ".")
		a := alert.Alert{
			Resource: alert.Resource(kind), Action: action, Name: word.Draw(t, "name"), RuleID: word.Draw(t, "id"),
			Projects: rapid.SliceOfN(word, 0, 3).Draw(t, "projects"), Environment: word.Draw(t, "environment"), Level: word.Draw(t, "level"),
			IssueType: rapid.SampledFrom([]string{"error", "metric_issue"}).Draw(t, "type"),
			Tags:      pairs.Draw(t, "tags"), Settings: pairs.Draw(t, "settings"), At: sampleNow,
		}
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) killswitch.Rule {
			return killswitch.Rule{
				Alert: word.Draw(t, "alert"), AlertID: word.Draw(t, "alert id"), Project: word.Draw(t, "project"), Environment: word.Draw(t, "environment"),
				Level: word.Draw(t, "level"), Tags: wanted.Draw(t, "tags"), Settings: wanted.Draw(t, "settings"),
				When:   rapid.SliceOfN(rapid.SampledFrom(triggers), 0, 3).Draw(t, "when"),
				Target: flagOf(rapid.SampledFrom([]string{"f", "g"}).Draw(t, "feature")), SwitchOn: rapid.Bool().Draw(t, "on"),
			}
		}), 0, 5).Draw(t, "rules")
		rules = slices.DeleteFunc(rules, func(r killswitch.Rule) bool { return r.Validate() != nil })
		want := map[string]bool{} // flag to state
		for _, r := range rules {
			when := r.When
			if len(when) == 0 {
				when = triggers[:2]
			}
			holds := []bool{
				r.Alert == "" || r.Alert == a.Name,
				r.AlertID == "" || r.AlertID == a.RuleID,
				slices.Contains(a.Projects, r.Project),
				r.Environment == "" || r.Environment == a.Environment,
				r.Level == "" || r.Level == a.Level,
				slices.Contains(when, trigger),
				a.Resource == alert.MetricAlert || a.IssueType == "error",
			}
			for name, value := range r.Tags {
				holds = append(holds, slices.Contains(a.Tags, alert.Pair{Name: name, Value: value}))
			}
			for name, value := range r.Settings {
				holds = append(holds, slices.Contains(a.Settings, alert.Pair{Name: name, Value: value}))
			}
			matches := !slices.Contains(holds, false)
			if explained := !slices.ContainsFunc(r.Explain(&a), func(c killswitch.Condition) bool { return !c.Holds }); explained != matches {
				t.Fatalf("explained %t, is %t: %v", explained, matches, r.Explain(&a))
			}
			if matches {
				on, known := want[r.Target.String()]
				want[r.Target.String()] = r.SwitchOn && (!known || on)
			}
		}
		got := map[string]bool{}
		d := killswitch.Explain(&a, rules, 0, sampleNow).Decision
		for _, target := range d.Targets {
			got[target.String()] = false
		}
		for _, target := range d.SwitchOn {
			got[target.String()] = true
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v (%s), want %v", got, d.Reason, want)
		}
	})
}

func TestRulesAreChecked(t *testing.T) {
	good := killswitch.Rule{Alert: "a", Project: "p", Target: flagOf("f")}
	if err := good.Validate(); err != nil || len(good.Warnings()) > 0 {
		t.Fatal(err, good.Warnings())
	}
	for want, spoil := range map[string]func(*killswitch.Rule){
		"Alert: it or AlertID": func(r *killswitch.Rule) { r.Alert = "" },
		"Project":              func(r *killswitch.Rule) { r.Project = "" },
		"Target":               func(r *killswitch.Rule) { r.Target.Flag = "" },
		"When: it must be set": func(r *killswitch.Rule) { r.SwitchOn = true },
		"switches off":         func(r *killswitch.Rule) { r.When = []killswitch.Trigger{killswitch.MetricAlertResolved} },
		`"issue.created"`:      func(r *killswitch.Rule) { r.When = []killswitch.Trigger{"issue.created"} },
		"Evaluated":            func(r *killswitch.Rule) { r.Evaluated = "true" },
	} {
		rule := good
		spoil(&rule)
		if err := rule.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, deaf := range map[string]func(*killswitch.Rule){
		"it never matches: metric alerts have no Level": func(r *killswitch.Rule) {
			r.Level, r.When = "error", []killswitch.Trigger{killswitch.MetricAlertCritical}
		},
		"never matches a metric alert":                   func(r *killswitch.Rule) { r.Tags = map[string]string{"a": "b"} },
		`flags["f"]:true`:                                func(r *killswitch.Rule) { r.Evaluated = killswitch.EvaluatedOn },
		"leave it empty":                                 func(r *killswitch.Rule) { r.Environment = "All" },
		"is no slug":                                     func(r *killswitch.Rule) { r.Project = "My Shop" },
		"white space around it":                          func(r *killswitch.Rule) { r.Alert += " " },
		"it never matches: the Level \"eror\"":           func(r *killswitch.Rule) { r.Level = "eror" },
		"it never matches: the Level \"Error\"":          func(r *killswitch.Rule) { r.Level = "Error" },
		"it never matches an issue alert: the IssueType": func(r *killswitch.Rule) { r.IssueType = "cron" },
		"it never matches: no Environment in Sentry":     func(r *killswitch.Rule) { r.Environment = "production " },
		"slash or a line break":                          func(r *killswitch.Rule) { r.Environment = "eu/production" },
		"the Activity \"regression\" is no name": func(r *killswitch.Rule) {
			r.Activity, r.When = "regression", []killswitch.Trigger{killswitch.ActivityAlertTriggered}
		},
		"it never matches an activity alert": func(r *killswitch.Rule) {
			r.Environment, r.When = "production", []killswitch.Trigger{killswitch.ActivityAlertTriggered}
		},
		"it never matches an issue alert": func(r *killswitch.Rule) {
			r.Activity, r.When = "status_regression", []killswitch.Trigger{killswitch.IssueAlertTriggered}
		},
		"set Activity": func(r *killswitch.Rule) { r.When = []killswitch.Trigger{killswitch.ActivityAlertTriggered} },
	} {
		rule := good
		deaf(&rule)
		if warnings := strings.Join(rule.Warnings(), "\n"); !strings.Contains(warnings, want) {
			t.Errorf("%s: %s", want, warnings)
		}
		partly := want == "never matches a metric alert" || want == `flags["f"]:true`
		if never := strings.Contains(strings.Join(rule.Warnings(), "\n"), "it never matches") && !partly; rule.NeverMatches() != never {
			t.Errorf("%s: never matches %t", want, !never)
		}
	}
}

// TestNeverDeafInSilence reads the health and the metrics of a relay that hears
// nothing but wrong signatures, and then a right one.
func TestNeverDeafInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flags switches
		var heard reports
		relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), OnReport: heard.add, Store: newStore(t)})
		if code, text := get(relay.ServeHealth); code != 200 || text != "ok\n" {
			t.Errorf("%d %s", code, text)
		}
		for range 8 {
			r := signed(eventAlert("f", time.Now()))
			r.Header.Set(signing.HookHeader, strings.Repeat("a", 64))
			deliver(relay, r)
		}
		if heard.about(killswitch.ErrBadSignatures) != 1 {
			t.Errorf("reports: %v", heard.all())
		}
		if code, text := get(relay.ServeHealth); code != 503 || !strings.HasPrefix(text, "page: 8 requests in a row") {
			t.Errorf("%d %s", code, text)
		}
		if code, text := get(relay.ServeLive); code != 200 || text != "ok\n" { // a restart does not help
			t.Errorf("%d %s", code, text)
		}
		deliver(relay, signed(eventAlert("f", time.Now())))
		time.Sleep(100 * time.Millisecond)
		if code, _ := get(relay.ServeHealth); code != 200 {
			t.Errorf("%d", code)
		}
		_, text := get(relay.ServeMetrics)
		for _, line := range []string{
			`killswitch_alerts_total{verdict="refused",reason="the signature is wrong"} 8`, `killswitch_alerts_total{verdict="acted",reason="a rule matches"} 1`,
			"killswitch_bad_signatures 0", "killswitch_store_up 1", "killswitch_switched_off 1", "killswitch_last_acted_timestamp_seconds 9.466848e+08", "# TYPE killswitch_alerts_total counter",
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no %q in\n%s", line, text)
			}
		}
		closed(t, relay)
		if code, text := get(relay.ServeLive); code != 503 || !strings.HasPrefix(text, "restart: ") {
			t.Errorf("%d %s", code, text)
		}
	})
}

// TestDeafForOtherReasons has a second header, or the installation, changed in
// Sentry: every alert is refused, though its signature may be right.
func TestDeafForOtherReasons(t *testing.T) {
	for name, c := range map[string]struct {
		config killswitch.Config
		spoil  func(r *http.Request)
		err    error
		page   string
	}{
		"header": {
			killswitch.Config{Header: "X-Key", HeaderValues: []signing.Secret{signing.NewSecret("new")}},
			func(r *http.Request) { r.Header.Set("X-Key", "old") }, killswitch.ErrBadHeaders, "page: 6 requests in a row had a wrong second header",
		},
		"no signature": {
			killswitch.Config{}, func(r *http.Request) {
				r.Header.Del(signing.HookHeader)
				r.Header.Set("Content-Type", "application/json; charset=utf-8")
			}, killswitch.ErrUnsigned, "page: 6 requests in a row had no signature",
		},
		"installation": {
			killswitch.Config{Installation: "a uuid of before", Header: "X-Key", HeaderValues: []signing.Secret{signing.NewSecret("new")}},
			func(*http.Request) {}, killswitch.ErrOtherInstallation, "page: 6 alerts in a row were for another installation",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var flags switches
				var heard reports
				config := c.config
				config.Rules, config.Togglers, config.OnReport = ruled("f"), by(&flags), heard.add
				relay := newRelay(t, config)
				for range 6 {
					r := signed(eventAlert("f", time.Now()))
					r.Header.Set("X-Key", "new")
					c.spoil(r)
					if status := deliver(relay, r); status != http.StatusUnauthorized {
						t.Errorf("status %d", status)
					}
				}
				if heard.about(c.err) != 1 {
					t.Errorf("reports: %v", heard.all())
				}
				if code, text := get(relay.ServeHealth); code != 503 || !strings.HasPrefix(text, c.page) {
					t.Errorf("%d %s", code, text)
				}
			})
		})
	}
}

// TestNearestName has several rules whose names are almost the alert's.
func TestNearestName(t *testing.T) {
	rules := ruled("Alert 101", "Alert 301", "Alert 311")
	for i := range rules {
		rules[i].Alert = []string{"Alert 101", "Alert 301", "Alert 311"}[i]
	}
	a, err := alert.Parse(eventAlert("alert 301 ", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if e := killswitch.Explain(&a, rules, 0, time.Now()); !strings.HasPrefix(e.Decision.Note, "rule 2 comes closest") {
		t.Error(e.Decision.Note)
	}
}

func get(handler http.HandlerFunc) (int, string) {
	w := newRecorder()
	handler(w, newGet())
	return w.Code, w.Body.String()
}
