package vwo

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/signing"
	"pgregory.net/rapid"
)

// sampleRules are the rules for the alerts in testdata.
func sampleRules() []Rule {
	checkout, banner := Target{"production", "new_checkout"}, Target{"production", "banner"}
	rules := []Rule{
		{Alert: "Checkout failing", Project: "shop", Environment: "production", Level: "error", Tags: map[string]string{"level": "error"}, Target: checkout},
		{Alert: "Checkout failing", AlertID: "3311", Project: "4505", Settings: map[string]string{"flag": "new_checkout"}, Target: Target{"production", "new_payment"}},
		{AlertID: "3307", Project: "shop-mobile", Environment: "production", Target: checkout},
		{Alert: "Checkout error rate", Project: "shop", When: []Trigger{MetricAlertWarning}, Target: banner},
		{Alert: "Checkout error rate", Project: "shop", When: []Trigger{MetricAlertResolved}, Target: banner, SwitchOn: true},
		// These never match anything here.
		{Alert: "Checkout error rate", Project: "shop", Level: "error", Target: Target{"production", "never"}},
		{Alert: "Checkout failing", Project: "shop", Tags: map[string]string{"level": "fatal"}, Target: Target{"production", "never"}},
		{Alert: "checkout failing", Project: "shop", Target: Target{"production", "never"}},
	}
	for i := range rules {
		rules[i] = rules[i].withDefaults()
	}
	return rules
}

type sample struct {
	File, Header, Verdict, Reason, Trigger, About string
	Flags                                         []string
	On                                            bool
}

func readSamples(t testing.TB) []sample {
	t.Helper()
	raw, err := os.ReadFile("testdata/alerts.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	if err := json.Unmarshal(raw, &samples); err != nil {
		t.Fatal(err)
	}
	if len(samples) < 45 {
		t.Fatalf("only %d samples were read", len(samples))
	}
	return samples
}

// TestSamples judges every resource and trap of the facts.
func TestSamples(t *testing.T) {
	for _, s := range readSamples(t) {
		t.Run(s.File+" as "+s.Header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The bubble's clock starts in 2000; it is set by waiting.
				time.Sleep(time.Until(sampleNow))
				keys, err := signing.NewKeys(signing.NewSecret("secret"))
				if err != nil {
					t.Fatal(err)
				}
				config := RelayConfig{Rules: sampleRules(), Installation: "7a485448-a9e2-4c85-8a3c-4f44175783c9", DryRun: true}.withDefaults()
				r := &Relay{config: config, keys: keys, memory: newMemory(config)}
				header := http.Header{}
				if s.Header != "" {
					header.Set("Sentry-Hook-Resource", s.Header)
				}
				body := readSample(t, s.File)
				a, d := r.judge(header, body)
				if d.Verdict == "" {
					d = r.act(t.Context(), &a, body, d, time.Now())
				}
				if d.Reason == ReasonDryRun {
					d.Reason = ReasonActs
				}
				if string(d.Verdict) != s.Verdict || string(d.Reason) != s.Reason {
					t.Errorf("got %s: %s; want %s: %s", d.Verdict, d.Reason, s.Verdict, s.Reason)
				}
				var flags []string
				for _, target := range d.Targets {
					flags = append(flags, target.String())
				}
				if diff := cmp.Diff(s.Flags, flags); diff != "" {
					t.Error(diff)
				}
				if s.On != (len(d.SwitchOn) > 0) {
					t.Errorf("switched on: %v", d.SwitchOn)
				}
				if s.Trigger != "" && string(d.Trigger) != s.Trigger {
					t.Errorf("trigger %q", d.Trigger)
				}
			})
		})
	}
}

// TestMatchingIsConjunction draws alerts and rules that overlap and holds the
// matcher against the plain reading of a rule's doc comment.
func TestMatchingIsConjunction(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "a", "b", "c"})
	pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pair { return pair{word.Draw(t, "name"), word.Draw(t, "value")} }), 0, 4)
	wanted := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), word, 0, 2)
	triggers := []Trigger{IssueAlertTriggered, MetricAlertCritical, MetricAlertWarning, MetricAlertResolved}
	rapid.Check(t, func(t *rapid.T) {
		trigger := rapid.SampledFrom(triggers).Draw(t, "trigger")
		kind, action, _ := strings.Cut(string(trigger), ".")
		a := alert{
			resource: resource(kind), action: action, name: word.Draw(t, "name"), ruleID: word.Draw(t, "id"),
			projects: rapid.SliceOfN(word, 0, 3).Draw(t, "projects"), environment: word.Draw(t, "environment"), level: word.Draw(t, "level"),
			tags: pairs.Draw(t, "tags"), settings: pairs.Draw(t, "settings"), at: sampleNow, statusMethod: "3", status: "20",
		}
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Rule {
			return Rule{
				Alert: word.Draw(t, "alert"), AlertID: word.Draw(t, "alert id"), Project: word.Draw(t, "project"), Environment: word.Draw(t, "environment"),
				Level: word.Draw(t, "level"), Tags: wanted.Draw(t, "tags"), Settings: wanted.Draw(t, "settings"),
				When:   rapid.SliceOfN(rapid.SampledFrom(triggers), 0, 3).Draw(t, "when"),
				Target: Target{"e", rapid.SampledFrom([]string{"f", "g"}).Draw(t, "feature")}, SwitchOn: rapid.Bool().Draw(t, "on"),
			}.withDefaults()
		}), 0, 5).Draw(t, "rules")
		rules = slices.DeleteFunc(rules, func(r Rule) bool { return r.validate() != nil })

		want := map[Target]bool{} // flag to state
		for _, r := range rules {
			holds := []bool{
				r.Alert == "" || r.Alert == a.name,
				r.AlertID == "" || r.AlertID == a.ruleID,
				slices.Contains(a.projects, r.Project),
				r.Environment == "" || r.Environment == a.environment,
				r.Level == "" || r.Level == a.level,
				slices.Contains(r.When, trigger),
			}
			for name, value := range r.Tags {
				holds = append(holds, slices.Contains(a.tags, pair{name, value}))
			}
			for name, value := range r.Settings {
				holds = append(holds, slices.Contains(a.settings, pair{name, value}))
			}
			if slices.Contains(holds, false) {
				continue
			}
			on, known := want[r.Target]
			want[r.Target] = r.SwitchOn && (!known || on)
		}
		kills, reason := decide(&a, rules, 15*time.Minute, sampleNow)
		got := map[Target]bool{}
		for _, k := range kills {
			got[k.target()] = k.Enabled
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v (%s), want %v", got, reason, want)
		}
		// A narrower rule never matches more.
		for _, r := range rules {
			narrower := r
			narrower.Tags = map[string]string{"narrow": "er"}
			if narrower.matches(&a) && !r.matches(&a) {
				t.Fatal("a condition more made the rule wider")
			}
			if r.matches(&a) && trigger == MetricAlertResolved && !r.SwitchOn {
				t.Fatal("a resolved alert switches off")
			}
		}
		// An edited rule's recovery never switches on; a test never acts.
		edited := a
		edited.statusMethod = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "method")
		edited.resource, edited.action = resourceMetricAlert, "resolved"
		if kills, _ := decide(&edited, rules, 15*time.Minute, sampleNow); len(kills) > 0 {
			t.Fatal("an edited rule's recovery acts")
		}
		test := a
		test.tags = append(slices.Clone(a.tags), pair{"sample_event", "yes"})
		if kills, _ := decide(&test, rules, 15*time.Minute, sampleNow); len(kills) > 0 {
			t.Fatal("a test notification acts")
		}
	})
}

func TestRulesAreChecked(t *testing.T) {
	good := Rule{Alert: "a", Project: "p", Target: Target{"e", "f"}}
	if err := good.withDefaults().validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Rule){
		"Alert: it or AlertID": func(r *Rule) { r.Alert = "" },
		"Project":              func(r *Rule) { r.Project = "" },
		"Target":               func(r *Rule) { r.Target.Feature = ".." },
		"When: it must be set": func(r *Rule) { r.SwitchOn = true },
		"switches off":         func(r *Rule) { r.When = []Trigger{MetricAlertResolved} },
		`"issue.created"`:      func(r *Rule) { r.When = []Trigger{"issue.created"} },
		`"metric_alert.open"`:  func(r *Rule) { r.When = []Trigger{"metric_alert.open"} },
	} {
		rule := good
		spoil(&rule)
		if err := rule.withDefaults().validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
