package changes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// products are the formats of flag products, as the documentation of Keyed shows
// them, with a document of each, written by hand.
var products = map[string]struct {
	format   changes.KeyedFormat
	name     string
	document string
	edits    []edit
}{
	"configcat": {
		changes.Keyed("/f", "").Shared("/s", "", "s"), "config_v6.json",
		`{"p": {"u": "https://cdn-global.configcat.com", "r": 0, "s": "c2FsdA=="},
		  "s": [{"n": "Beta users", "r": [{"a": "Email", "c": 16, "l": ["a91f"]}]}, {"n": "Staff", "r": [{"a": "Email", "c": 2, "l": ["@example.com"]}]}],
		  "f": {
		    "newCheckout": {"t": 0, "r": [{"c": [{"s": {"s": 1, "c": 0}}], "s": {"v": {"b": true}, "i": "3f05be89"}}], "v": {"b": false}, "i": "430bded3"},
		    "limit": {"t": 2, "v": {"i": 10}, "i": "9f1a"}}}`,
		[]edit{
			{`"v": {"b": false}`, `"v": {"b": true}`, []string{"updated newCheckout: v.b"}},
			{`"@example.com"`, `"@example.org"`, []string{"updated newCheckout: /s/1.r"}},
			{`"a91f"`, `"a92f"`, nil}, // nobody refers to it
			{`"limit"`, `"limits"`, []string{"deleted limit", "created limits"}},
		},
	},
	"flipt": {
		changes.Keyed("/flags", "key", "name", "description", "metadata").Shared("/segments", "key", "segment", "segments", "keys"), "features.yaml",
		`namespace: default
flags:
  - key: new-checkout
    name: New checkout
    type: VARIANT_FLAG_TYPE
    description: the second try
    enabled: true
    variants:
      - key: blue
      - key: green
    rules:
      - segment: staff
        distributions:
          - {variant: blue, rollout: 100}
  - key: banner
    name: Banner
    type: BOOLEAN_FLAG_TYPE
    enabled: false
    rollouts:
      - segment: {keys: [staff, beta], operator: AND_SEGMENT_OPERATOR, value: true}
segments:
  - key: staff
    match_type: ALL_MATCH_TYPE
    constraints: [{type: STRING_COMPARISON_TYPE, property: email, operator: suffix, value: "@example.com"}]
  - key: beta
    match_type: ANY_MATCH_TYPE
`,
		[]edit{
			{"enabled: true", "enabled: false", []string{"updated new-checkout: enabled"}},
			{"the second try", "the third try", nil},
			{"name: Banner", "name: Poster", nil},
			{`"@example.com"`, `"@example.org"`, []string{"updated banner: /segments/staff.constraints", "updated new-checkout: /segments/staff.constraints"}},
			{"ANY_MATCH_TYPE", "ALL_MATCH_TYPE", []string{"updated banner: /segments/beta.match_type"}},
			{"rollout: 100", "rollout: 50", []string{"updated new-checkout: rules"}},
		},
	},
	"featurevisor": {
		changes.Keyed("/features", "").Shared("/segments", "", "segments", "and", "or", "not"), "datafile.json",
		`{"schemaVersion": "2", "revision": "7",
		  "segments": {"germany": {"conditions": [{"attribute": "country", "operator": "equals", "value": "de"}]}, "mobile": {"conditions": "*"}},
		  "features": {
		    "checkout": {"bucketBy": "userId", "traffic": [{"key": "1", "segments": {"and": ["germany", {"not": ["mobile"]}]}, "percentage": 100000}]},
		    "banner": {"bucketBy": "userId", "traffic": [{"key": "1", "segments": "*", "percentage": 50000}]}}}`,
		[]edit{
			{`"revision": "7"`, `"revision": "8"`, nil},
			{`"percentage": 50000`, `"percentage": 60000`, []string{"updated banner: traffic"}},
			{`"value": "de"`, `"value": "at"`, []string{"updated checkout: /segments/germany.conditions"}},
			{`"conditions": "*"`, `"conditions": []`, []string{"updated checkout: /segments/mobile.conditions"}},
		},
	},
	"flagsmith": {
		changes.Keyed("/feature_states", "feature/name", "id", "django_id", "featurestate_uuid", "feature/id").
			Switch("enabled").Overrides("/project/segments", "feature_states/*/feature/name"), "environment-document.json",
		`{"id": 1, "api_key": "ser.xxx", "updated_at": "2026-01-01T00:00:00Z",
		  "project": {"id": 1, "name": "shop", "segments": [
		    {"id": 4, "name": "staff", "rules": [{"type": "ALL", "conditions": [{"property_": "email", "operator": "CONTAINS", "value": "@example.com"}]}],
		     "feature_states": [{"feature": {"id": 7, "name": "checkout", "type": "STANDARD"}, "enabled": true, "feature_state_value": null}]}]},
		  "feature_states": [
		    {"django_id": 21, "featurestate_uuid": "6f0c", "feature": {"id": 7, "name": "checkout", "type": "STANDARD"}, "enabled": false, "feature_state_value": null, "multivariate_feature_state_values": []},
		    {"django_id": 22, "featurestate_uuid": "6f0d", "feature": {"id": 8, "name": "limit", "type": "STANDARD"}, "enabled": true, "feature_state_value": 10, "multivariate_feature_state_values": []}]}`,
		[]edit{
			{`"enabled": false`, `"enabled": true`, []string{"updated checkout: (on or off)"}},
			{`"feature_state_value": 10`, `"feature_state_value": 11`, []string{"updated limit: feature_state_value"}},
			{`"6f0c"`, `"6f0e"`, nil},
			{`2026-01-01`, `2026-01-02`, nil},
			{`"value": "@example.com"`, `"value": "@example.org"`, []string{"updated checkout: overrides/0.rules"}},
		},
	},
	"growthbook": {
		changes.Keyed("/features", "").Shared("/savedGroups", "", "$inGroup", "$notInGroup"), "sdk-abc123.json",
		`{"status": 200, "dateUpdated": "2026-01-01T00:00:00.000Z",
		  "savedGroups": {"grp_1": ["ada"], "grp_2": ["bob"]},
		  "features": {
		    "checkout": {"defaultValue": false, "rules": [{"condition": {"id": {"$inGroup": "grp_1"}}, "force": true}]},
		    "limit": {"defaultValue": 10}}}`,
		[]edit{
			{`"defaultValue": 10`, `"defaultValue": 11`, []string{"updated limit: defaultValue"}},
			{`["ada"]`, `["eve"]`, []string{"updated checkout: /savedGroups/grp_1"}},
			{`["bob"]`, `["eve"]`, nil},
			{`2026-01-01`, `2026-01-02`, nil},
			{`,
		    "limit": {"defaultValue": 10}`, ``, []string{"deleted limit"}},
		},
	},
	"launchdarkly": {
		changes.Keyed("/flags", "", "version").Switch("on").Also("/flagValues").Shared("/segments", "", "values"), "flags.json",
		`{"flags": {"checkout": {"key": "checkout", "on": true, "version": 3, "fallthrough": {"variation": 0}, "offVariation": 1, "variations": [true, false],
		    "rules": [{"variation": 0, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["beta"]}]}]}},
		  "flagValues": {"banner": "blue"},
		  "segments": {"beta": {"key": "beta", "included": ["ada"], "version": 1}}}`,
		[]edit{
			{`"on": true`, `"on": false`, []string{"updated checkout: (on or off)"}},
			{`"version": 3`, `"version": 4`, nil},
			{`"blue"`, `"green"`, []string{"updated banner: "}},
			{`["ada"]`, `["eve"]`, []string{"updated checkout: /segments/beta.included"}},
			{`"flagValues": {"banner": "blue"},`, ``, []string{"deleted banner"}},
		},
	},
	"posthog": {
		changes.Keyed("/flags", "key", "id", "name", "version").Switch("active").Shared("/cohorts", "", "value"), "local_evaluation.json",
		`{"flags": [
		    {"id": 5, "name": "New checkout", "key": "checkout", "deleted": false, "active": true, "ensure_experience_continuity": false, "version": 2,
		     "filters": {"groups": [{"properties": [{"key": "id", "type": "cohort", "value": 98}], "rollout_percentage": 50}]}},
		    {"id": 6, "name": "", "key": "banner", "deleted": false, "active": false, "filters": {"groups": []}}],
		  "group_type_mapping": {"0": "company"},
		  "cohorts": {"98": {"type": "OR", "values": [{"key": "id", "type": "cohort", "value": 99}]}, "99": {"type": "AND", "values": []}}}`,
		[]edit{
			{`"active": true`, `"active": false`, []string{"updated checkout: (on or off)"}},
			{`"New checkout"`, `"Newest checkout"`, nil},
			{`"rollout_percentage": 50`, `"rollout_percentage": 51`, []string{"updated checkout: filters.groups"}},
			{`"type": "AND"`, `"type": "OR"`, []string{"updated checkout: /cohorts/99.type"}},
		},
	},
	"unleash": {
		changes.Keyed("/features", "name", "description", "lastSeenAt").Switch("enabled").Shared("/segments", "id", "segments"), "client-features.json",
		`{"version": 2, "features": [
		    {"name": "checkout", "type": "release", "description": "new", "enabled": true, "stale": false, "impressionData": false, "lastSeenAt": "2026-01-01T00:00:00Z",
		     "strategies": [{"name": "flexibleRollout", "constraints": [], "segments": [3], "parameters": {"rollout": "100", "stickiness": "default", "groupId": "checkout"}}], "variants": []},
		    {"name": "banner", "type": "kill-switch", "enabled": false, "strategies": [{"name": "default"}]}],
		  "segments": [{"id": 3, "name": "staff", "constraints": [{"contextName": "userId", "operator": "IN", "values": ["1"]}]}]}`,
		[]edit{
			{`"enabled": false`, `"enabled": true`, []string{"updated banner: (on or off)"}},
			{`"description": "new"`, `"description": "old"`, nil},
			{`2026-01-01`, `2026-01-02`, nil},
			{`"rollout": "100"`, `"rollout": "50"`, []string{"updated checkout: strategies"}},
			{`["1"]`, `["2"]`, []string{"updated checkout: /segments/3.constraints"}},
		},
	},
}

func TestKeyed(t *testing.T) {
	rules := map[string]string{}
	for product, p := range products {
		t.Run(product, func(t *testing.T) {
			format := p.format.Called(product)
			testEdits(t, format, p.name, p.document, p.edits)
			definitions := read(t, format, p.name, p.document)
			if definitions.Len() != 2 || len(definitions.Skipped()) != 0 {
				t.Errorf("%d flags, skipped %v", definitions.Len(), definitions.Skipped())
			}
			if other, twice := rules[format.Rules()]; twice {
				t.Errorf("the rules of %s", other)
			}
			rules[format.Rules()] = product
			for _, broken := range []string{p.document[:len(p.document)/2] + `"`, "{}", "[]", `{"error":"no"}`, "null"} {
				if strings.HasSuffix(p.name, ".yaml") && strings.HasPrefix(broken, "namespace") {
					continue // a part of a YAML document may be one itself
				}
				if _, err := format.Read(p.name, []byte(broken)); err == nil {
					t.Errorf("taken: %.80q", broken)
				}
			}
		})
	}
}

func TestKeyedPointers(t *testing.T) {
	// The document itself; a pointer into an array; escapes; wildcards.
	if got := between(t, changes.Keyed("", ""), "x.json", `{"a":1,"b":2}`, `{"a":1,"b":3}`); cmp.Diff([]string{"updated b: "}, got) != "" {
		t.Error(got)
	}
	if got := between(t, changes.Keyed("/0/~1a~0", "", "x/*/y", "z/0", "*/w"), "x.json",
		`[{"/a~":{"f":{"x":[{"y":1},{"y":2}],"z":[1,2],"v":{"w":1}}}}]`, `[{"/a~":{"f":{"x":[{"y":3},{"y":4}],"z":[3,2],"v":{"w":2}}}}]`); len(got) != 0 {
		t.Error(got)
	}
	skipped := read(t, changes.Keyed("/f", "n"), "x.json", `{"f":[{"n":"a"},{"n":""},{},1,{"n":{}}]}`)
	if skipped.Len() != 1 || len(skipped.Skipped()) != 4 {
		t.Error(skipped.Skipped())
	}
	refused(t, changes.Keyed("/f", "n"), "x.json", `{"f":[{"n":"a"},{"n":"a"}]}`, "twice")
	refused(t, changes.Keyed("/f", "n"), "x.json", `{"f":{}}`, "not as the format says")
	refused(t, changes.Keyed("/f", ""), "x.json", `{"f":[]}`, "not as the format says")
	refused(t, changes.Keyed("/f/1/2", ""), "x.json", `{"f":[]}`, "nothing at")
	refused(t, changes.Keyed("/f", ""), "x.toml", `f = [`, "not TOML")
	if read(t, changes.Keyed("/f", ""), "x.toml", "[f.a]\nb = 1\nd = 2026-01-01\n[[f.c]]\nx = 1.5").Len() != 2 {
		t.Error("TOML")
	}
}

// Parts that refer to each other in circles and chains end.
func TestKeyedPartsInCircles(t *testing.T) {
	format := changes.Keyed("/f", "").Shared("/s", "", "s")
	circle := `{"f":{"a":{"s":"x"}},"s":{"x":{"s":["y"]},"y":{"s":["x","z"]},"z":{"v":1}}}`
	if got := between(t, format, "x.json", circle, strings.Replace(circle, `"v":1`, `"v":2`, 1)); cmp.Diff([]string{`updated a: /s/z.v`}, got) != "" {
		t.Error(got)
	}
}
