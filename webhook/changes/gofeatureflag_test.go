package changes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

const goffYAML = `# flags
new-checkout:
  variations: {enabled: true, disabled: false}
  targeting:
    - name: staff
      query: |-
        email ew "@example.com"
          and beta eq true
      variation: enabled
  defaultRule:
    percentage: {enabled: 10, disabled: 90}
  disable: no
  version: "1"
  trackEvents: true
  metadata: {owner: ada@example.com}
page-size:
  variations: {small: 10, large: 100}
  defaultRule: {variation: small, query: 'ignored eq "here"'}
  experimentation: {start: 2026-01-01T00:00:00.1+02:00, end: 2026-02-01T00:00:00Z}
  scheduledRollout:
    - date: 2026-03-01T00:00:00Z
      defaultRule: {variation: large}
      disable: false
banner:
  variations: {a: A, b: B}
  bucketingKey: company
  defaultRule:
    progressiveRollout:
      initial: {variation: a, percentage: 0, date: 2026-01-01T00:00:00Z}
      end: {variation: b, percentage: 100, date: 2026-02-01T00:00:00Z}
`

const goffJSON = `{
  "banner": {"variations": {"b": "B", "a": "A"}, "bucketingKey": "company", "defaultRule": {"progressiveRollout": {
    "end": {"variation": "b", "percentage": 1e2, "date": "2026-02-01T00:00:00Z"},
    "initial": {"variation": "a", "percentage": 0.0, "date": "2026-01-01T01:00:00+01:00"}}}},
  "new-checkout": {"variations": {"enabled": true, "disabled": false}, "targeting": [
    {"name": "staff", "query": "email ew \"@example.com\"\nand beta eq true", "variation": "enabled", "disable": false}],
    "defaultRule": {"percentage": {"disabled": 90, "enabled": 10}}},
  "page-size": {"variations": {"small": 10, "large": 100}, "defaultRule": {"variation": "small"},
    "experimentation": {"start": "2025-12-31T22:00:00.1Z", "end": "2026-02-01T00:00:00Z"},
    "scheduledRollout": [{"date": "2026-03-01T00:00:00Z", "defaultRule": {"variation": "large"}, "disable": false}]}
}`

const goffTOML = `
[banner]
bucketingKey = "company"
variations = {a = "A", b = "B"}
[banner.defaultRule.progressiveRollout]
initial = {variation = "a", percentage = 0.0, date = 2026-01-01T00:00:00Z}
end = {variation = "b", percentage = 100.0, date = 2026-02-01T00:00:00Z}

[new-checkout]
variations = {enabled = true, disabled = false}
[[new-checkout.targeting]]
name = "staff"
query = 'email ew "@example.com"and beta eq true'
variation = "enabled"
[new-checkout.defaultRule.percentage]
enabled = 10.0
disabled = 90.0

[page-size]
variations = {small = 10.0, large = 100.0}
[page-size.defaultRule]
variation = "small"
[page-size.experimentation]
start = 2025-12-31T22:00:00.1Z
end = 2026-02-01T00:00:00Z
[[page-size.scheduledRollout]]
date = 2026-03-01T00:00:00Z
disable = false
defaultRule = {variation = "large"}
`

func TestGoFeatureFlag(t *testing.T) {
	testEdits(t, changes.GoFeatureFlag{}, "flags.goff.yaml", goffYAML, []edit{
		{"# flags\n", "", nil},
		{`version: "1"`, `version: "2"`, nil},
		{"trackEvents: true", "trackEvents: false", nil},
		{"ada@example.com", "bob@example.com", nil},
		{"  metadata: {owner: ada@example.com}\n", "  unknown: 1\n", nil},
		{"disable: no", "disable: false", nil},
		{"  disable: no\n", "", nil},
		{"disable: no", "disable: yes", []string{"updated new-checkout: (on or off)"}},
		{"enabled: 10,", "enabled: 20,", []string{"updated new-checkout: defaultRule.percentage.enabled"}},
		{"enabled: true,", "enabled: false,", []string{"updated new-checkout: variations.enabled"}},
		{"beta eq true", "beta eq false", []string{"updated new-checkout: targeting"}},
		{"          and", "        and", nil},
		{"name: staff", "name: stuff", []string{"updated new-checkout: targeting"}},
		{`ignored eq "here"`, `ignored eq "there"`, nil},
		{"small: 10,", "small: 11,", []string{"updated page-size: variations.small"}},
		{"small: 10,", "small: 10.0,", []string{"updated page-size: variations.small"}}, // no int for who asks for one
		{"end: 2026-02-01", "end: 2026-02-02", []string{"updated page-size: experimentation.end"}},
		{"00:00:00.1+02:00", "02:00:00.1+04:00", nil},
		{"      disable: false\n", "", []string{"updated page-size: scheduledRollout"}}, // a step that says so switches on
		{"bucketingKey: company", "bucketingKey: user", []string{"updated banner: bucketingKey"}},
		{"percentage: 100", "percentage: 50", []string{"updated banner: defaultRule.progressiveRollout.end.percentage"}},
		{"banner:", "poster:", []string{"deleted banner", "created poster"}},
		{"  variations: {a: A, b: B}\n", "", []string{"deleted banner"}}, // GO Feature Flag leaves it out
	})
}

func TestGoFeatureFlagSyntaxes(t *testing.T) {
	yaml := strings.NewReplacer("small: 10,", "small: 10.0,", "large: 100}", "large: 100.0}").Replace(goffYAML)
	first := read(t, changes.GoFeatureFlag{}, "flags", yaml)
	for name, document := range map[string]string{"flags.json": goffJSON, "flags.toml": goffTOML} {
		edits, err := changes.DiffDefinitions(first, read(t, changes.GoFeatureFlag{}, name, document))
		if err != nil || len(edits) != 0 {
			t.Errorf("%s: %+v, %v", name, edits, err)
		}
	}
	testEdits(t, changes.GoFeatureFlag{}, "flags.json", goffJSON, []edit{
		{`"disable": false}],`, `"Disable": true}],`, []string{"updated new-checkout: targeting"}},
		{`"enabled": true`, `"enabled": "true"`, []string{"updated new-checkout: variations.enabled"}},
		{`"small": 10`, `"small": 10.0`, nil}, // any number in JSON is a float
		{`email ew \"@example.com\"\nand beta eq true`, `{\"==\":[{\"var\":\"key\"},1]}`, []string{"updated new-checkout: targeting"}},
	})
	testEdits(t, changes.GoFeatureFlag{}, "flags.toml", goffTOML, []edit{
		{"enabled = 10.0", "enabled = 11.0", []string{"updated new-checkout: defaultRule.percentage.enabled"}},
		{"[new-checkout]\n", "[new-checkout] # new\ndisable = true\n", []string{"updated new-checkout: (on or off)"}},
	})
	logic := `{"a":{"variations":{"x":1},"defaultRule":{"variation":"x"},"targeting":[{"variation":"x","query":"{\"a\": 1}"}]}}`
	if got := between(t, changes.GoFeatureFlag{}, "x.json", logic, strings.Replace(logic, `{\"a\": 1}`, `{ \"a\":1.0 }`, 1)); len(got) != 0 {
		t.Error(got)
	}
}

func TestGoFeatureFlagSkips(t *testing.T) {
	skipped := read(t, changes.GoFeatureFlag{}, "x.yaml", "a: {variations: {x: 1}}\nb: null\nc: {variations: {x: 1}, defaultRule: {variation: x}}\n'': {}\n").Skipped()
	want := []string{"", "a", "b"}
	got := []string{}
	for _, s := range skipped {
		got = append(got, s.Flag)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGoFeatureFlagRefuses(t *testing.T) {
	secret := "hunter2hunter2"
	for _, bad := range []struct{ name, document, reason string }{
		{"x.yaml", "a: {disable: " + secret + "}", "line 1: cannot unmarshal"},
		{"x.yaml", "a: {}\na: {}", "already defined"},
		{"x.yaml", "- a", "cannot unmarshal"},
		{"x.yaml", "# nothing but a comment", "empty"},
		{"x.yaml", "a: {variations: {x: .nan}, defaultRule: {}}", "not finite"},
		{"x.yaml", "a: {variations: {x: 1}, defaultRule: {percentage: {x: .nan}}}", "not finite"},
		{"x.json", `{"a":{"disable":"` + secret + `"}}`, "a string is not"},
		{"x.json", `{"a":{"disable":true,"DISABLE":true}}`, "twice"},
		{"x.json", `{"a":{},"a":{}}`, "twice"},
		{"x.json", `{"a":`, "breaks off"},
		{"x.json", `{} {}`, "follows"},
		{"x.json", "\xef\xbb\xbf{}", "byte order mark"},
		{"x.json", `{"a":{"variations":{"x":` + strings.Repeat("[", 100_000), "nested"},
		{"x.json", `{"a":{"variations":{"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `},"defaultRule":{}}}`, "nested"},
		{"x.toml", "[a]\ndisable = '" + secret + "'", "type"},
		{"x.toml", "[a]\n[a]", "twice"},
		{"x.toml", "[a", "line 1"},
		{"x.toml", "a = " + strings.Repeat("[", 1_000_000), "nested"},
		{"x.toml", "[" + strings.Repeat("a.", 1000) + "a]", "dots"},
		{"x.toml", "a." + strings.Repeat("a.", 1_000_000) + "a = 1", "dots"},
		{"x.toml", strings.Repeat("# much\n", 1_000_000), "bytes"},
		{"x.toml", "[a]\ndefaultRule = {percentage = {x = nan}}\nvariations = {x = 1}", "not finite"},
	} {
		refused(t, changes.GoFeatureFlag{}, bad.name, bad.document, bad.reason)
		if _, err := (changes.GoFeatureFlag{}).Read(bad.name, []byte(bad.document)); err != nil && strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%v shows a value", err)
		}
	}
}
