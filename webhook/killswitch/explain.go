package killswitch

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/visible"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// Condition is one condition of a rule, held against an alert.
type Condition struct {
	// Field is the field of [Rule]: "Alert", "Project", "Tags[browser]", …
	Field string
	// Want is what the rule asks for, Got what the alert has. Both may be foreign
	// text: cut to 100 code points and quoted.
	Want, Got string
	// Holds says whether the condition does.
	Holds bool
}

// String says whether the condition holds and why: `Project: want "shop", got
// "blog"`.
func (c Condition) String() string {
	if c.Holds {
		return fmt.Sprintf("%s: %s", c.Field, c.Want)
	}
	return fmt.Sprintf("%s: want %s, got %s", c.Field, c.Want, c.Got)
}

// Explain holds an alert against the rule, condition by condition: the rule
// matches if all hold. Only conditions that the rule sets are listed.
func (r Rule) Explain(a *alert.Alert) []Condition {
	r = r.withDefaults()
	return r.explain(a)
}

// Conditions says what the rule asks for, without an alert: "Project: "shop"".
func (r Rule) Conditions() []string {
	r = r.withDefaults()
	var all []string
	for _, c := range r.explain(&alert.Alert{}) {
		if c.Field != "IssueType" || r.IssueType != alert.IssueTypeError {
			all = append(all, c.Field+": "+c.Want)
		}
	}
	return all
}

func (r *Rule) explain(a *alert.Alert) []Condition {
	var conditions []Condition
	add := func(field, want, got string, holds bool) {
		conditions = append(conditions, Condition{Field: field, Want: want, Got: got, Holds: holds})
	}
	same := func(field, want, got string) { add(field, visible.Quote(want), visible.Quote(got), want == got) }
	if r.Alert != "" {
		same("Alert", r.Alert, a.Name)
	}
	if r.AlertID != "" {
		same("AlertID", r.AlertID, a.RuleID)
	}
	add("Project", visible.Quote(r.Project), quoteAll(a.Projects), slices.Contains(a.Projects, r.Project))
	trigger := Trigger(a.Trigger())
	var when []string
	for _, t := range r.When {
		when = append(when, string(t))
	}
	add("When", strings.Join(when, " or "), visible.Quote(string(trigger)), slices.Contains(r.When, trigger))
	if got := r.issueType(a); got != r.IssueType || r.IssueType != alert.IssueTypeError {
		same("IssueType", r.IssueType, got)
	}
	for _, one := range []struct{ field, want, got string }{
		{"Activity", r.Activity, a.Activity}, {"Environment", r.Environment, a.Environment}, {"Level", r.Level, a.Level},
	} {
		if one.want != "" {
			same(one.field, one.want, one.got)
		}
	}
	for _, pairs := range []struct {
		field string
		want  map[string]string
		got   []alert.Pair
	}{{"Tags", r.Tags, a.Tags}, {"Settings", r.Settings, a.Settings}} {
		for _, name := range slices.Sorted(maps.Keys(pairs.want)) {
			var values []string
			for _, p := range pairs.got {
				if p.Name == name {
					values = append(values, p.Value)
				}
			}
			add(pairs.field+"["+name+"]", visible.Quote(pairs.want[name]), quoteAll(values), slices.Contains(values, pairs.want[name]))
		}
	}
	if r.Evaluated != EvaluatedAny {
		got, result := "the event does not show "+visible.Quote(r.Flag)+" as a boolean", r.evaluated(a)
		if result != EvaluatedAny {
			got = string(result)
		}
		add("Evaluated", string(r.Evaluated), got, result == r.Evaluated)
	}
	return conditions
}

// Explanation is what a relay would make of an alert, and why.
type Explanation struct {
	// Decision is the relay's, as if the alert were new and nothing was decided
	// before: no cool-down, no cap, no repeat.
	Decision Decision
	// Rules are the conditions of each rule.
	Rules [][]Condition
}

// Explain says what a relay with these rules and this [Config.MaxAge] (0 for its
// default) makes of an alert that arrives at the time now. It switches nothing.
func Explain(a *alert.Alert, rules []Rule, maxAge time.Duration, now time.Time) Explanation {
	config := Config{Rules: rules, MaxAge: maxAge}.withDefaults()
	e := Explanation{Decision: Decision{Verdict: Ignored, Status: http.StatusOK}}
	e.Decision.describe(a)
	kills, reason := decide(a, config.Rules, config.MaxAge, now)
	switch e.Decision.Reason = reason; reason {
	case ReasonTest:
		e.Decision.Note = namedBy(config.Rules, a)
	case ReasonNoRule:
		e.Decision.Note, _ = closest(config.Rules, a)
	}
	if reason == ReasonActs {
		for _, one := range kills {
			e.Decision = e.Decision.about([]*admission{{asked: one}})
		}
	}
	for i := range config.Rules {
		e.Rules = append(e.Rules, config.Rules[i].explain(a))
	}
	return e
}

func quoteAll(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	var quoted []string
	for _, v := range values[:min(len(values), 5)] {
		quoted = append(quoted, visible.Quote(v))
	}
	return strings.Join(quoted, ", ")
}

// closest finds the rule that an alert, which none matches, comes closest to,
// and says what it fails at. It is empty if no rule is anywhere near: neither the
// name nor the id agrees, not even almost.
func closest(rules []Rule, a *alert.Alert) (text string, nearlyNamed bool) {
	best, fewest, nearest := -1, 0, 0
	var failed []Condition
	for i := range rules {
		rule := &rules[i]
		far, nearly := nearlySame(rule.Alert, a.Name)
		if rule.Alert != a.Name && !nearly && (rule.AlertID == "" || rule.AlertID != a.RuleID) {
			continue
		}
		fails := slices.DeleteFunc(rule.explain(a), func(c Condition) bool { return c.Holds })
		if best < 0 || len(fails) < fewest || len(fails) == fewest && far < nearest {
			best, fewest, nearest, failed = i, len(fails), far, fails
			nearlyNamed = nearly && rule.Alert != a.Name
		}
	}
	if best < 0 {
		return "", false
	}
	var texts []string
	for _, c := range failed {
		texts = append(texts, c.String())
	}
	return fmt.Sprintf("rule %d comes closest; %s", best+1, strings.Join(texts, "; ")), nearlyNamed
}

// namedBy lists the rules, counted from 1, that name the alert.
func namedBy(rules []Rule, a *alert.Alert) string {
	var found []string
	for i := range rules {
		if rules[i].Alert == a.Name && a.Name != "" || rules[i].AlertID != "" && rules[i].AlertID == a.RuleID {
			on := "off"
			if rules[i].SwitchOn {
				on = "on"
			}
			found = append(found, fmt.Sprintf("rule %d, which switches %s %s", i+1, rules[i].Target, on))
		}
	}
	if len(found) > 0 {
		return "an alert of this name meets " + strings.Join(found, ", and ")
	}
	text, _ := closest(rules, a)
	if text == "" {
		return "no rule names this alert"
	}
	return "no rule names this alert exactly: " + text
}

// nearlySame reports whether two names are the same but for case, white space
// and punctuation, or up to two letters, and how many letters it is.
func nearlySame(a, b string) (letters int, nearly bool) {
	fold := func(s string) []rune {
		var kept []rune
		for _, r := range strings.ToLower(visible.First(s, maxQuoted)) {
			if !strings.ContainsRune(" \t-_.:/", r) {
				kept = append(kept, r)
			}
		}
		return kept
	}
	x, y := fold(a), fold(b)
	if len(x) == 0 || len(y) == 0 {
		return max(len(x), len(y)), false
	}
	letters = distance(x, y)
	return letters, letters <= min(2, min(len(x), len(y))/4)
}

// distance is how many letters have to be changed, added or left out to make one
// of the other.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
