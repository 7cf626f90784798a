package changes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// BenchmarkDiff finds the 10 of 10,000 flags that changed between two documents.
// xParse is its time against that of parsing both, with the same parser, into
// what Go makes of any document.
func BenchmarkDiff(b *testing.B) {
	for _, c := range []struct {
		name   string
		flags  int
		format changes.Format
		make   func(i int, changed bool) string
		begin  string
		end    string
		parse  func([]byte) error
	}{
		{"flagd.json", 10_000, changes.Flagd{}, benchFlagd, `{"$evaluators":{"staff":{"ends_with":[{"var":"email"},"@example.com"]}},"flags":{`, `"z":{}}}`, parseJSONAny},
		{"flagd.yaml", 1_000, changes.Flagd{}, benchFlagdYAML, "flags:\n", "", parseYAMLAny},
		{"goff.yaml", 1_000, changes.GoFeatureFlag{}, benchGoffYAML, "z: {}\n", "", parseYAMLAny},
		{"goff.json", 10_000, changes.GoFeatureFlag{}, benchGoff, "{", `"z":{}}`, parseJSONAny},
		{"goff.toml", 1_000, changes.GoFeatureFlag{}, benchGoffTOML, "", "", parseTOMLAny},
		{"keyed.json", 10_000, changes.Keyed("/features", "name", "description").Shared("/segments", "id", "segments"), benchUnleash, `{"segments":[{"id":1,"constraints":[]}],"features":[`, `{"name":"z"}]}`, parseJSONAny},
	} {
		var documents [2][]byte
		for n := range documents {
			var document strings.Builder
			document.WriteString(c.begin)
			for i := range c.flags {
				document.WriteString(c.make(i, n == 1 && i%(c.flags/10) == 7))
			}
			document.WriteString(c.end)
			documents[n] = []byte(document.String())
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(documents[0]) + len(documents[1])))
			diff := func() {
				if found := benchDiff(b, c.format, c.name, documents); found != 10 {
					b.Fatalf("%d edits", found)
				}
			}
			parse := func() {
				for _, document := range documents {
					if err := c.parse(document); err != nil {
						b.Fatal(err)
					}
				}
			}
			for b.Loop() {
				diff()
			}
			b.ReportMetric(benchratio.Of(diff, parse, 1), "xParse")
		})
	}
}

func benchDiff(b *testing.B, format changes.Format, name string, documents [2][]byte) int {
	var snapshots [2]changes.Snapshot
	for n, document := range documents {
		definitions, err := format.Read(name, document)
		if err != nil {
			b.Fatal(err)
		}
		if snapshots[n], err = definitions.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
	return len(changes.Diff(snapshots[0], snapshots[1]))
}

func parseJSONAny(document []byte) error {
	var parsed any
	return json.Unmarshal(document, &parsed)
}

func parseYAMLAny(document []byte) error {
	var parsed any
	return yaml.Unmarshal(document, &parsed)
}

func parseTOMLAny(document []byte) error {
	var parsed any
	return toml.Unmarshal(document, &parsed)
}

// rollout is the share of a flag that was changed, and of one that was not.
func rollout(changed bool) int {
	if changed {
		return 11
	}
	return 10
}

func benchFlagd(i int, changed bool) string {
	return fmt.Sprintf(`"flag-%d":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","metadata":{"owner":"team-%d"},
	"targeting":{"if":[{"$ref":"staff"},"on",{"in":[{"var":"country"},["de","at","ch"]]},{"fractional":[{"cat":[{"var":"$flagd.flagKey"},{"var":"email"}]},["on",%d],["off",90]]},"off"]}},
`, i, i%7, rollout(changed))
}

func benchFlagdYAML(i int, changed bool) string {
	return fmt.Sprintf(`  flag-%d:
    state: ENABLED
    variants: {"on": true, "off": false}
    defaultVariant: "off"
    metadata: {owner: team-%d}
    targeting:
      if:
        - in: [{var: country}, [de, at, ch]]
        - fractional: [{var: email}, ["on", %d], ["off", 90]]
        - "off"
`, i, i%7, rollout(changed))
}

func benchGoff(i int, changed bool) string {
	return fmt.Sprintf(`"flag-%d":{"variations":{"on":true,"off":false},"targeting":[{"name":"staff","query":"email ew \"@example.com\"","variation":"on"},
	{"query":"country in [\"de\",\"at\"]","percentage":{"on":50,"off":50}}],"defaultRule":{"percentage":{"on":%d,"off":90}},"metadata":{"owner":"team-%d"},"version":"1"},
`, i, rollout(changed), i%7)
}

func benchGoffYAML(i int, changed bool) string {
	return fmt.Sprintf(`flag-%d:
  variations: {"on": true, "off": false}
  targeting:
    - name: staff
      query: email ew "@example.com"
      variation: "on"
  defaultRule:
    percentage: {"on": %d, "off": 90}
  metadata: {owner: team-%d}
`, i, rollout(changed), i%7)
}

func benchGoffTOML(i int, changed bool) string {
	return fmt.Sprintf(`[flag-%d]
variations = {on = true, off = false}
targeting = [{name = "staff", query = 'email ew "@example.com"', variation = "on"}]
defaultRule = {percentage = {on = %d.0, off = 90.0}}
metadata = {owner = "team-%d"}
`, i, rollout(changed), i%7)
}

func benchUnleash(i int, changed bool) string {
	return fmt.Sprintf(`{"name":"flag-%d","type":"release","description":"what it is for, number %d","enabled":true,"stale":false,"impressionData":false,
	"strategies":[{"name":"flexibleRollout","constraints":[{"contextName":"country","operator":"IN","values":["de","at","ch"]}],"segments":[1],"parameters":{"rollout":"%d","stickiness":"default"}}],"variants":[]},
`, i, i, rollout(changed))
}
