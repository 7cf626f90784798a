package vwo

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sampleNow is when the alerts in testdata arrive.
var sampleNow = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func readSample(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "alerts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestDecodeEventAlert(t *testing.T) {
	got, err := decodeAlert(readSample(t, "event_alert_form"))
	if err != nil {
		t.Fatal(err)
	}
	want := alert{
		resource: resourceEventAlert, action: "triggered", installation: "7a485448-a9e2-4c85-8a3c-4f44175783c9",
		name: "Checkout failing", ruleID: "3311", id: "e4874d664c3540c1a32eab185f12c5ab", projects: []string{"4505", "shop"},
		environment: "production", level: "error",
		tags:     []pair{{"browser", "Chrome 134"}, {"environment", "production"}, {"level", "error"}},
		settings: []pair{{"flag", "new_checkout"}, {"count", "3"}, {"note", ""}},
		at:       time.Date(2026, 9, 1, 11, 59, 30, 250e6, time.UTC),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(alert{}, pair{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeMetricAlert(t *testing.T) {
	got, err := decodeAlert(readSample(t, "metric_critical"))
	if err != nil {
		t.Fatal(err)
	}
	want := alert{
		resource: resourceMetricAlert, action: "critical", installation: "7a485448-a9e2-4c85-8a3c-4f44175783c9",
		name: "Checkout error rate", ruleID: "3307", id: "91", projects: []string{"shop", "shop-mobile"},
		environment: "production", status: "20", statusMethod: "3", at: time.Date(2026, 9, 1, 11, 58, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(alert{}, pair{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeOddTags(t *testing.T) {
	got, err := decodeAlert(readSample(t, "event_alert_odd_tags"))
	want := []pair{{"level", "error"}, {"k", "v😀"}}
	if err != nil || !slices.Equal(got.tags, want) {
		t.Errorf("%v, %v", got.tags, err)
	}
}

// What does not act leaves nothing of its content in memory.
func TestDecodeKeepsNoPersonalData(t *testing.T) {
	files, err := filepath.Glob("testdata/alerts/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a, err := decodeAlert(body)
		if err != nil {
			continue
		}
		for _, hidden := range []string{"jane", "203.0.113.7", "4111", "s3cr3t", "Jane", "card declined"} {
			if strings.Contains(strings.ToLower(cmp.Diff(alert{}, a, cmp.AllowUnexported(alert{}, pair{}))), strings.ToLower(hidden)) {
				t.Errorf("%s: %q was kept", file, hidden)
			}
		}
	}
}

func TestSignedTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		`"2026-09-01T11:59:30.250000Z"`: time.Date(2026, 9, 1, 11, 59, 30, 250e6, time.UTC),
		`"2026-09-01T13:59:30+02:00"`:   time.Date(2026, 9, 1, 11, 59, 30, 0, time.UTC),
		`"2026-09-01T11:59:30"`:         time.Date(2026, 9, 1, 11, 59, 30, 0, time.UTC),
		`1566248777.5`:                  time.Date(2019, 8, 19, 21, 6, 17, 5e8, time.UTC),
		`1566248777`:                    time.Date(2019, 8, 19, 21, 6, 17, 0, time.UTC),
		`1.566248777e9`:                 time.Date(2019, 8, 19, 21, 6, 17, 0, time.UTC),
		`"1566248777"`:                  {},
		`""`:                            {},
		`null`:                          {},
		`1e300`:                         {},
		`-1e300`:                        {},
		`{"a":1}`:                       {},
		`"2026-13-01T00:00:00Z"`:        {},
		`"2026-09-01 11:59:30"`:         {},
		`true`:                          {},
		`[1566248777]`:                  {},
	} {
		a, err := decodeAlert([]byte(`{"action":"triggered","data":{"triggered_rule":"r","event":{"datetime":` + text + `}}}`))
		if err != nil || !a.at.Equal(want) {
			t.Errorf("%s gives %v, %v", text, a.at, err)
		}
	}
}

func TestProjectInURL(t *testing.T) {
	for address, want := range map[string]string{
		"https://sentry.io/api/0/projects/acme/shop/events/e4/":        "shop",
		"https://sentry.example.com:9000/api/0/projects/a/b/events/c/": "b",
		"https://sentry.io/api/0/projects/acme/shop/issues/e4/":        "",
		"https://sentry.io/prefix/api/0/projects/acme/shop/events/e4/": "",
		"/api/0/projects/acme/shop/events/e4/":                         "",
		"":                                                             "",
		"https://sentry.io/?/api/0/projects/acme/shop/events/e4/":      "",
	} {
		if got := projectInURL(address); got != want {
			t.Errorf("%s gives %q", address, got)
		}
	}
}

// FuzzDecodeAlert holds the decoder against encoding/json: both take the same
// texts, and see the same values.
func FuzzDecodeAlert(f *testing.F) {
	files, err := filepath.Glob("testdata/alerts/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, seed := range []string{
		``, ` `, `{}`, `{"a":}`, `{"a":1,}`, `[1,]`, `{"data":{"event":{"tags":[["a","b"],]}}}`, `{"action":"\ud83d\ude00\ud83d\u00e9\udc00x\u0000"}`,
		"{\"action\":\"\xff\xc0\xaf\"}", `{"action":01}`, `{"action":-0.0e+10}`, `{"action":1.}`, `{"action":+1}`, `{"action":nul}`, `{"a":"\x"}`,
		strings.Repeat("[", 600) + strings.Repeat("]", 600), `{"action":"a","Action":"b"}`, "{\"a\":\"\t\"}", `{"data":null}`, `{"data":{"event":1,"triggered_rule":"x"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := decodeAlert(body)
		var reference map[string]any
		referenceErr := json.Unmarshal(body, &reference)
		switch {
		case err == nil && referenceErr != nil:
			t.Fatalf("taken, but encoding/json says %v", referenceErr)
		case errors.Is(err, errSyntax) && referenceErr == nil:
			t.Fatal("refused, but encoding/json takes it")
		case err != nil:
			return
		}
		data, _ := reference["data"].(map[string]any)
		event, _ := data["event"].(map[string]any)
		metric, _ := data["metric_alert"].(map[string]any)
		text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
		same := func(what, got, want string) {
			if got != want {
				t.Errorf("%s is %q, encoding/json says %q", what, got, want)
			}
		}
		if _, number := reference["action"].(float64); !number {
			same("action", a.action, text(reference, "action"))
		}
		switch a.resource {
		case resourceEventAlert:
			if event == nil || metric != nil {
				t.Errorf("taken for an event alert")
			}
			same("triggered_rule", a.name, text(data, "triggered_rule"))
			if _, number := event["level"].(float64); !number {
				same("level", a.level, text(event, "level"))
			}
			var tags []pair
			list, _ := event["tags"].([]any)
			for _, entry := range list {
				parts, _ := entry.([]any)
				if len(parts) != 2 {
					continue
				}
				name, ok1 := parts[0].(string)
				value, ok2 := parts[1].(string)
				if ok1 && ok2 {
					tags = append(tags, pair{name, value})
				}
			}
			if !slices.Equal(a.tags, tags) {
				t.Errorf("tags are %q, encoding/json says %q", a.tags, tags)
			}
		case resourceMetricAlert:
			if metric == nil || event != nil {
				t.Errorf("taken for a metric alert")
			}
		}
		// Whatever it is, deciding on it does not fail, and never by accident acts.
		if kills, _ := decide(&a, sampleRules(), 15*time.Minute, sampleNow); len(kills) > 0 {
			if a.name != "Checkout failing" && a.name != "Checkout error rate" {
				t.Errorf("alert %q acts", a.name)
			}
		}
	})
}

// What the scanner skips it has checked.
func TestScannerTakesWhatJSONIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[\[\]{}:," \\tfn01.eE+\-aulrsu"]{0,30}`).Draw(t, "text")
		s := scanner{text: []byte(text)}
		err := s.skip()
		if err == nil {
			err = s.end()
		}
		if (err == nil) != json.Valid([]byte(text)) {
			t.Fatalf("%q: %v, but json.Valid is %t", text, err, err != nil)
		}
	})
}

func TestUnescapeAsJSONDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.OneOf(
			rapid.SampledFrom([]string{`\n`, `\"`, `\\`, `\/`, `\b`, `\f`, `\r`, `\t`, `\ud83d`, `\ude00`, `\u00e9`, `\uFFFD`, `\u0000`, "\xff", "\xe2\x82", "é", "😀"}),
			rapid.StringMatching(`[a-z]`),
		)).Draw(t, "parts")
		text := `"` + strings.Join(parts, "") + `"`
		var want string
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		s := scanner{text: []byte(text)}
		if got, err := s.string(); err != nil || got != want {
			t.Fatalf("%s gives %q, %v; want %q", text, got, err, want)
		}
	})
}
