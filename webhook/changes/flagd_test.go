package changes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

const flagdJSON = `{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "metadata": {"team": "shop", "version": "1"},
  "flags": {
    "checkout": {
      "state": "ENABLED",
      "variants": {"on": true, "off": false},
      "defaultVariant": "off",
      "targeting": {"if": [{"$ref": "staff"}, "on", null]},
      "metadata": {"owner": "ada@example.com"}
    },
    "limits": {
      "state": "ENABLED",
      "variants": {"low": {"max": 1.0}, "high": {"max": 1e3}},
      "defaultVariant": "low",
      "targeting": {}
    },
    "banner": {
      "state": "DISABLED",
      "variants": {"a": "A", "b": "B"},
      "defaultVariant": "a",
      "targeting": {"if": [{"and": [{"$ref": "beta"}, true]}, "a", "b"]}
    }
  },
  "$evaluators": {
    "staff": {"ends_with": [{"var": "email"}, "@example.com"]},
    "beta": {"or": [{"$ref": "staff"}, {"in": ["x", {"var": "groups"}]}]},
    "unused": {"==": [1, 1]}
  }
}`

const flagdYAML = `# definitions
$schema: https://flagd.dev/schema/v0/flags.json
metadata: {team: shop, version: "2"}
flags:
  banner:
    targeting: {if: [{and: [{$ref: beta}, true]}, a, b]}
    defaultVariant: a
    variants: {b: B, a: A}
    state: DISABLED
  limits:
    state: ENABLED
    variants:
      low: {max: 1}
      high: {max: 1000}
    defaultVariant: low
  checkout:
    state: ENABLED
    variants: &onOff
      "on": true
      "off": false
    defaultVariant: "off"
    targeting:
      if:
        - $ref: staff
        - "on"
        - null
$evaluators:
  staff: {ends_with: [{var: email}, "@example.com"]}
  beta: {or: [{$ref: staff}, {in: [x, {var: groups}]}]}
  unused: {"==": [1, 2]}
`

const flagdArray = `{"flags": [
  {"key": "checkout", "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on", "metadata": {"flagSetId": "web"}},
  {"key": "checkout", "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "metadata": {"flagSetId": "app"}},
  {"key": "banner", "state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"},
  {"state": "ENABLED"}
], "metadata": {"flagSetId": "common"}}`

func TestFlagd(t *testing.T) {
	testEdits(t, changes.Flagd{}, "shop.json", flagdJSON, []edit{
		{`"state": "ENABLED"`, `"state": "DISABLED"`, []string{"updated checkout: (on or off)"}},
		{`"state": "ENABLED",`, ``, nil}, // anything but DISABLED is on
		{`"on": true`, `"on": 1`, []string{"updated checkout: variants.on"}},
		{`"defaultVariant": "off"`, `"defaultVariant": "on"`, []string{"updated checkout: defaultVariant"}},
		{`"defaultVariant": "off",`, ``, []string{"updated checkout: defaultVariant"}},
		{`"defaultVariant": "off",`, `"defaultVariant": "off", "description": "x", "default": 1,`, nil},
		{`"on", null]`, `"on", "off"]`, []string{"updated checkout: targeting"}},
		{`"targeting": {}`, `"targeting": null`, nil},
		{`"max": 1.0`, `"max": 1`, nil},
		{`"max": 1.0`, `"max": 1.5`, []string{"updated limits: variants.low.max"}},
		{`"checkout"`, `"check-out"`, []string{"created check-out", "deleted checkout"}},
		{`ada@example.com`, `bob@example.com`, nil},
		{`"version": "1"`, `"version": "2"`, nil},
		{`"team": "shop"`, `"flagSetId": "shop"`, []string{"updated banner: metadata.flagSetId", "updated checkout: metadata.flagSetId", "updated limits: metadata.flagSetId"}},
		// An evaluator counts for whoever refers to it, also through another.
		{`"@example.com"`, `"@example.org"`, []string{"updated banner", "updated checkout"}},
		{`"x", {"var": "groups"}`, `"y", {"var": "groups"}`, []string{"updated banner"}},
		{`[1, 1]`, `[1, 2]`, nil},
		{`{"$ref": "staff"}, "on"`, `{"ends_with": [{"var": "email"}, "@example.com"]}, "on"`, nil}, // the same, written out
		{`"staff": {`, `"stuff": {`, []string{"updated banner", "updated checkout"}},
		// What Go's encoding/json takes for the names.
		{`"state": "DISABLED"`, `"State": "DISABLED"`, nil},
		{`"flags"`, `"FLAGS"`, nil},
	})
	if got := between(t, changes.Flagd{}, "shop", flagdJSON, flagdJSON+"\n\n"); len(got) != 0 {
		t.Error(got)
	}
}

func TestFlagdYAML(t *testing.T) {
	asJSON, asYAML := read(t, changes.Flagd{}, "shop.json", flagdJSON), read(t, changes.Flagd{}, "shop.yaml", flagdYAML)
	if edits, err := changes.DiffDefinitions(asJSON, asYAML); err != nil || len(edits) != 0 {
		t.Errorf("%+v, %v", edits, err)
	}
	testEdits(t, changes.Flagd{}, "shop.yaml", flagdYAML, []edit{
		{"# definitions\n", "", nil},
		{`"on": true`, `on: true`, nil},
		{`"on": true`, `"on": yes`, []string{"updated checkout: variants.on"}}, // a text, in YAML 1.2
		{`defaultVariant: low`, `defaultVariant: high`, []string{"updated limits: defaultVariant"}},
		{"    state: ENABLED\n    variants: &onOff\n      \"on\": true\n      \"off\": false\n", "    variants: {\"on\": true, \"off\": false}\n", nil},
	})
	// Names that are numbers are texts in flagd.
	if d := read(t, changes.Flagd{}, "x.yml", "flags: {1: {variants: {2: 3}, defaultVariant: '2'}}"); d.Len() != 1 {
		t.Error(d.Len())
	}
}

func TestFlagdArray(t *testing.T) {
	testEdits(t, changes.Flagd{}, "shop.json", flagdArray, []edit{
		{`"defaultVariant": "on", "metadata"`, `"defaultVariant": "off", "metadata"`, []string{"updated checkout: defaultVariant"}},
		{`"defaultVariant": "off", "metadata"`, `"defaultVariant": "on", "metadata"`, []string{"updated checkout: next definition: defaultVariant"}},
		{`"flagSetId": "app"`, `"flagSetId": "ios"`, []string{"updated checkout: next definition: metadata.flagSetId"}},
		{`{"state": "ENABLED"}`, `{"key": "new"}`, []string{"created new"}},
	})
	if skipped := read(t, changes.Flagd{}, "", flagdArray).Skipped(); cmp.Diff([]changes.Skipped{{Reason: "flags[3] has no key"}}, skipped) != "" {
		t.Error(skipped)
	}
	app := changes.Flagd{FlagSet: "app"}
	testEdits(t, app, "shop.json", flagdArray, []edit{
		{`"defaultVariant": "on", "metadata"`, `"defaultVariant": "off", "metadata"`, nil},
		{`"defaultVariant": "off", "metadata"`, `"defaultVariant": "on", "metadata"`, []string{"updated checkout: defaultVariant"}},
		{`"flagSetId": "app"`, `"flagSetId": "ios"`, []string{"deleted checkout"}},
	})
	if app.Rules() == (changes.Flagd{}).Rules() {
		t.Error("the flag set is not among the rules")
	}
}

// The resource of the OpenFeature operator holds the same document.
func TestFlagdResource(t *testing.T) {
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(flagdYAML), "\n", "\n    ")
	resource := "apiVersion: core.openfeature.dev/v1beta1\nkind: FeatureFlag\nmetadata: {name: shop, flagSetId: x}\nspec:\n  flagSpec:\n" + indented + "\n"
	edits, err := changes.DiffDefinitions(read(t, changes.Flagd{}, "shop.json", flagdJSON), read(t, changes.Flagd{}, "crd.yaml", resource))
	if err != nil || len(edits) != 0 {
		t.Errorf("%+v, %v", edits, err)
	}
	refused(t, changes.Flagd{}, "crd.yaml", "kind: FeatureFlag\nspec: {}\n", "flagSpec")
	// kubectl applies several, among others, and prints them as a list.
	other := func(state string) string {
		return "kind: FeatureFlag\nmetadata: {name: other}\nspec: {flagSpec: {flags: {other: {state: " + state + "}}}}\n"
	}
	several := func(state string) string {
		return "kind: ConfigMap\ndata: {x: FeatureFlag}\n---\n" + resource + "---\n" + other(state) + "---\n"
	}
	list := func(state string) string {
		items := "- " + strings.ReplaceAll(strings.TrimSpace(other(state)), "\n", "\n  ") + "\n- " + strings.ReplaceAll(strings.TrimSpace(resource), "\n", "\n  ")
		return "kind: List\nitems:\n" + items + "\n"
	}
	for name, c := range map[string]struct {
		before, after string
		want          int
	}{
		"documents":         {resource, several("ENABLED"), 1},
		"a list":            {several("ENABLED"), list("ENABLED"), 0},
		"one of documents":  {several("ENABLED"), several("DISABLED"), 1},
		"one of a list":     {list("ENABLED"), list("DISABLED"), 1},
		"documents of none": {"flags: {a: {}}\n", "flags: {a: {}}\n---\nflags: {b: {}}\n", 0},
	} {
		edits, err := changes.DiffDefinitions(read(t, changes.Flagd{}, "crd.yaml", c.before), read(t, changes.Flagd{}, "crd.yaml", c.after))
		if err != nil || len(edits) != c.want {
			t.Errorf("%s: %+v, %v", name, edits, err)
		}
	}
	refused(t, changes.Flagd{}, "crd.yaml", resource+"---\nkind: FeatureFlag\nmetadata: {name: broken}\nspec: {}\n", "broken")
	refused(t, changes.Flagd{}, "crd.yaml", resource+"---\nkind: [\n", "line")
}

func TestFlagdRefuses(t *testing.T) {
	for document, reason := range map[string]string{
		`{"flags":{"a":{"state":1}}}`:                                       "a text belongs",
		`{"flags":{"a":{"variants":[]}}}`:                                   "variants",
		`{"flags":{"a":{"metadata":[]}}}`:                                   "not an object",
		`{"flags":{"a":[]}}`:                                                "not an object",
		`{"flags":{"a":{"defaultVariant":"x"}}}`:                            "defaultVariant",
		`{"flags":{"a":{},"a":{}}}`:                                         `"a" twice`,
		"{\"flags\":{\n\"a\":{\"x\":[{\"y\":1,\"z\":2,\n\"\\u0079\":3}]}}}": `line 3 gives "y" twice`,
		`{"flags":{"a":{"state":"ENABLED","State":""}}}`:                    "different case",
		`{"flags":[{"key":"a"},{"key":"a"}]}`:                               "twice",
		`{"flags":[1]}`:                                                     "flags[0]",
		`{"flags":1}`:                                                       "neither",
		`{"flags":{}} {}`:                                                   "follows",
		`[]`:                                                                "not an object",
		`{}`:                                                                `no "flags"`,
		`{"flags":{}`:                                                       "breaks off",
		`{"flags":{"a":{"variants":{"x":NaN}}}}`:                            "line 1",
		`{"flags":{"a":{"variants":{"x":1e999}}}}`:                          "not finite",
		"\xef\xbb\xbf" + `{"flags":{}}`:                                     "byte order mark",
		"{\"flags\":{\"\xff\":{}}}":                                         "UTF-8",
		`{"flags":{},"$evaluators":{"a":{}}}`:                               "empty",
		`{"flags":{},"$evaluators":[]}`:                                     "$evaluators",
		`{"flags":{},"metadata":1}`:                                         "metadata",
		`{"flags":{},` + "\n\n" + `}`:                                       "line 1 is not JSON",
		"{\"flags\":" + strings.Repeat(`{"a":`, 2000):                       "nested",
		"{\"flags\":" + strings.Repeat(`[`, 100_000):                        "nested",
		"{\"flags\":[" + strings.Repeat("0,", 4_000_000) + "]":              "values",
	} {
		if raceEnabled && len(document) > 1<<20 {
			continue // a minute
		}
		refused(t, changes.Flagd{}, "shop.json", document, reason)
	}
	for document, reason := range map[string]string{
		"flags: {a: {}, a: {}}":               "already defined",
		"flags: {1: {}, '1': {}}":             "already defined",
		"flags: {a: {variants: {x: .nan}}}":   "not finite",
		"flags: {a: {variants: {x: .inf}}}":   "not finite",
		"flags: {a: &a {variants: {x: *a}}}":  "contains itself",
		"flags: [" + strings.Repeat("[", 1e5): "depth",
		"flags: {a: " + strings.Repeat("{a: ", 2000) + "1" + strings.Repeat("}", 2000) + "}": "nested",
		"flags: [" + strings.Repeat("0,", 4e6) + "]":                                         "values",
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n" +
			"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nflags: [*g,*g,*g,*g,*g,*g,*g,*g,*g]": "aliasing",
		"flags: {a: {state: [":            "line 1",
		"\t":                              "cannot start any token",
		"flags: {a: {state: !!binary x}}": "value",
	} {
		if raceEnabled && len(document) > 1<<20 {
			continue
		}
		refused(t, changes.Flagd{}, "shop.yaml", document, reason)
	}
}

// Evaluators that refer to each other many times over, or in circles, cost
// neither memory nor time.
func TestFlagdEvaluatorsThatExplode(t *testing.T) {
	if raceEnabled {
		t.Skip("64 MiB, byte by byte")
	}
	var document strings.Builder
	document.WriteString(`{"flags":{"a":{"targeting":{"$ref":"e0"}}},"$evaluators":{`)
	for i := range 40 {
		name, next := string(rune('a'+i/10))+string(rune('0'+i%10)), string(rune('a'+(i+1)/10))+string(rune('0'+(i+1)%10))
		document.WriteString(`"` + name + `":{"or":[{"$ref":"` + next + `"},{"$ref":"` + next + `"}]},`)
	}
	document.WriteString(`"e0":{"$ref":"a0"}}}`)
	_, err := read(t, changes.Flagd{}, "x.json", document.String()).Snapshot()
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
	circle := `{"flags":{"a":{"targeting":{"$ref":"x"}}},"$evaluators":{"x":{"!":[{"$ref":"y"}]},"y":{"!":[{"$ref":"x"}]}}}`
	if got := between(t, changes.Flagd{}, "x.json", circle, strings.Replace(circle, `"y":{"!"`, `"y":{"!!"`, 1)); cmp.Diff([]string{"updated a"}, got) != "" {
		t.Error(got)
	}
}
