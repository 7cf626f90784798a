package alert_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata/parsed.json anew; read the difference before you commit it")

func readSample(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "alerts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func sampleNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/alerts/*.json")
	if err != nil || len(files) < 70 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	return names
}

func parse(t testing.TB, body []byte) alert.Alert {
	t.Helper()
	a, err := alert.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var causes = map[string]error{
	"too large": alert.ErrTooLarge, "malformed": alert.ErrMalformed, "duplicate key": alert.ErrDuplicateKey, "too many": alert.ErrTooMany,
}

func causeOf(err error) string {
	for name, cause := range causes {
		if errors.Is(err, cause) {
			return name
		}
	}
	return "none of the documented errors: " + fmt.Sprint(err)
}

// parsed is a line of testdata/parsed.json: what a body says, or why it cannot
// be read.
type parsed struct {
	Alert *alert.Alert
	Error string
}

// TestSamples holds every resource and every trap of Sentry's payloads against
// what was read in them by eye.
func TestSamples(t *testing.T) {
	got := map[string]parsed{}
	for _, name := range sampleNames(t) {
		a, err := alert.Parse(readSample(t, name))
		if err != nil {
			got[name] = parsed{Error: causeOf(err)}
			continue
		}
		got[name] = parsed{Alert: &a}
	}
	if *update {
		writeParsed(t, got)
	}
	text, err := os.ReadFile("testdata/parsed.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]parsed
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// writeParsed writes a line per alert, without what is empty.
func writeParsed(t *testing.T, all map[string]parsed) {
	t.Helper()
	text := []byte("{")
	for i, name := range slices.Sorted(maps.Keys(all)) {
		line, err := jsonv2.Marshal(all[name], jsonv2.OmitZeroStructFields(true), jsonv2.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "\n%q: %s", name, line)
	}
	if err := os.WriteFile("testdata/parsed.json", append(text, "\n}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Nothing that tells of a person is kept, whatever the resource.
func TestKeepsNoPersonalData(t *testing.T) {
	for _, name := range sampleNames(t) {
		a, err := alert.Parse(readSample(t, name))
		if err != nil {
			continue
		}
		kept := strings.ToLower(cmp.Diff(alert.Alert{}, a))
		for _, hidden := range []string{"jane", "203.0.113.7", "4111", "s3cr3t", "card declined", "4711"} {
			if strings.Contains(kept, hidden) {
				t.Errorf("%s: %q was kept", name, hidden)
			}
		}
	}
}

func TestTimes(t *testing.T) {
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
		`1e999`:                         {},
		`{"a":1}`:                       {},
		`"2026-13-01T00:00:00Z"`:        {},
		`"2026-09-01 11:59:30"`:         {},
		`true`:                          {},
		`[1566248777]`:                  {},
	} {
		a := parse(t, []byte(`{"action":"triggered","data":{"triggered_rule":"r","event":{"datetime":`+text+`}}}`))
		if !a.At.Equal(want) {
			t.Errorf("%s gives %v", text, a.At)
		}
	}
}

// Sentry's own time of arrival counts before the sender's.
func TestReceivedComesFirst(t *testing.T) {
	a := parse(t, []byte(`{"data":{"triggered_rule":"r","event":{"timestamp":10,"datetime":"1970-01-01T00:00:20Z","received":30}}}`))
	if a.At.Unix() != 30 {
		t.Error(a.At)
	}
}

func TestProjectFromURL(t *testing.T) {
	for address, want := range map[string]string{
		"https://sentry.io/api/0/projects/acme/shop/events/e4/":        "shop",
		"https://sentry.io/api/0/projects/acme/shop/events/e4":         "shop",
		"https://sentry.example.com:9000/api/0/projects/a/b/events/c/": "b",
		"https://sentry.io/api/0/projects/acme/shop/issues/e4/":        "",
		"https://sentry.io/api/0/projects/acme/shop/events":            "",
		"https://sentry.io/prefix/api/0/projects/acme/shop/events/e4/": "",
		"/api/0/projects/acme/shop/events/e4/":                         "",
		"":                                                             "",
		"https://sentry.io/?/api/0/projects/acme/shop/events/e4/":      "",
	} {
		a := parse(t, fmt.Appendf(nil, `{"data":{"triggered_rule":"r","event":{"url":%q}}}`, address))
		if got := strings.Join(a.Projects, " "); got != want {
			t.Errorf("%s gives %q", address, got)
		}
	}
}

// An incident that opens and closes within one minute ends when it began, and a
// later one begins after that.
func TestOrderOfAnIncident(t *testing.T) {
	opened := parse(t, readSample(t, "metric_2026_critical"))
	opened.Incident.Started = opened.Incident.Started.Add(time.Minute) // 11:59:20.12, as the one that closes
	closed := parse(t, readSample(t, "metric_2026_resolved_within_a_minute"))
	if closed.Incident.Closed.After(closed.Incident.Started) {
		t.Fatal("the sample closes after it began")
	}
	if closed.At.Before(opened.Incident.At()) {
		t.Errorf("it ends at %v, before it began at %v", closed.At, opened.Incident.At())
	}
}

func TestLimits(t *testing.T) {
	event := func(fields string) []byte { return []byte(`{"data":{"triggered_rule":"r","event":{` + fields + `}}}`) }
	many := func(n int, element string) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, c := range map[string]struct {
		body []byte
		want error
	}{
		"a large body":         {event(`"x":"` + strings.Repeat("x", alert.MaxBody-48) + `"`), nil},
		"a larger body":        {event(`"x":"` + strings.Repeat("x", alert.MaxBody-47) + `"`), alert.ErrTooLarge},
		"deep":                 {event(`"x":` + deep(alert.MaxDepth-3)), nil},
		"too deep":             {event(`"x":` + deep(alert.MaxDepth-2)), alert.ErrMalformed},
		"many tags":            {event(`"tags":` + many(alert.MaxElements, `["a","b"]`)), nil},
		"too many tags":        {event(`"tags":` + many(alert.MaxElements+1, `["a","b"]`)), alert.ErrTooMany},
		"too many odd tags":    {event(`"tags":` + many(alert.MaxElements+1, `null`)), alert.ErrTooMany},
		"a long tag":           {event(`"tags":[` + many(alert.MaxElements+1, `null`) + `]`), alert.ErrTooMany},
		"many flags":           {event(`"contexts":{"flags":{"values":` + many(alert.MaxElements, `{"flag":"a","result":true}`) + `}}`), nil},
		"too many flags":       {event(`"contexts":{"flags":{"values":` + many(alert.MaxElements+1, `{"flag":"a","result":true}`) + `}}`), alert.ErrTooMany},
		"too many settings":    {[]byte(`{"data":{"triggered_rule":"r","event":{},"issue_alert":{"settings":` + many(alert.MaxElements+1, `{}`) + `}}}`), alert.ErrTooMany},
		"too many projects":    {[]byte(`{"data":{"metric_alert":{"projects":` + many(alert.MaxElements+1, `"a"`) + `}}}`), alert.ErrTooMany},
		"many of another kind": {event(`"breadcrumbs":` + many(5000, `{}`)), nil},
	} {
		if _, err := alert.Parse(c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever stands in a body, its errors do not show it.
func TestErrorsCarryNothingOfTheBody(t *testing.T) {
	const secret = "s3cr3t"
	sample := readSample(t, "event_alert_flags")
	for _, body := range []string{
		`{"` + secret + `":1,"` + secret + `":2}`,
		`{"data":{"` + secret + `":{"a":1,"a":2}}}`,
		`{"` + secret + `":` + strings.Repeat("[", alert.MaxDepth) + strings.Repeat("]", alert.MaxDepth) + `}`,
		secret, `"` + secret + `"`, `{"action":"` + secret + `"`, `{"action":` + secret + `}`, `{"action":"` + secret + "\x01" + `"}`,
		`{"data":{"event":{"tags":[` + strings.Repeat(`["`+secret+`",""],`, alert.MaxElements) + `0]}}}`,
		`{} ` + secret,
	} {
		if _, err := alert.Parse([]byte(body)); err == nil || strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
			t.Errorf("%.60s: %v", body, err)
		} else if causeOf(err) == "" {
			t.Errorf("%.60s: %v", body, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		body := append([]byte(nil), sample...)
		at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
		body[at] = rapid.Byte().Draw(t, "byte")
		_, err := alert.Parse(body)
		if err == nil {
			return
		}
		for _, hidden := range []string{secret, "jane", "new-checkout", "Checkout failing", "contexts", "event"} {
			if strings.Contains(err.Error(), hidden) {
				t.Fatalf("%v", err)
			}
		}
		if strings.HasPrefix(causeOf(err), "none") {
			t.Fatal(err)
		}
	})
}

func TestNamesOfMetricsAndAlerts(t *testing.T) {
	for name, want := range map[string]struct{ trigger, name, key string }{
		"event_alert":                {"event_alert.triggered", "Checkout failing", "event_alert\x00e4874d664c3540c1a32eab185f12c5ab\x00Checkout failing"},
		"metric_2026_critical":       {"metric_alert.critical", "Checkout error rate", "metric_alert\x0091\x00critical"},
		"activity_alert_regression":  {"activity_alert.triggered", "Checkout failing", ""},
		"activity_alert_escalating":  {"activity_alert.triggered", "Checkout failing", ""},
		"metric_null":                {"metric_alert.critical", "", ""},
		"issue_created_2026":         {"issue.created", "", ""},
		"seer":                       {"", "", ""},
		"two_kinds":                  {"", "", ""},
		"comment_updated":            {"comment.updated", "", ""},
		"installation_deleted":       {"installation.deleted", "", ""},
		"event_alert_null":           {"event_alert.triggered", "Checkout failing", ""},
		"event_alert_metric_issue":   {"event_alert.triggered", "Checkout failing", "event_alert\x00e4874d664c3540c1a32eab185f12c5ab\x00Checkout failing"},
		"metric_rule_null":           {"metric_alert.critical", "Checkout error rate", "metric_alert\x0091\x00critical"},
		"event_alert_half_surrogate": {"event_alert.triggered", "Checkout failing", "event_alert\x00e4874d664c3540c1a32eab185f12c5ab\x00Checkout failing"},
	} {
		a := parse(t, readSample(t, name))
		if a.Trigger() != want.trigger || a.Name != want.name || a.Key() != want.key {
			t.Errorf("%s: %q %q %q", name, a.Trigger(), a.Name, a.Key())
		}
	}
}

func TestLookUps(t *testing.T) {
	a := parse(t, readSample(t, "event_alert_flags"))
	for name, want := range map[string]any{"new-checkout": true, "guest-checkout": true, "price-tier": "gold", "ratio": 0.25, "cut": nil, "odd": nil} {
		if got, found := a.Flag(name); !found || got != want {
			t.Errorf("%s: %v, %t", name, got, found)
		}
	}
	for _, name := range []string{"New-Checkout", "", "7", "checkout"} {
		if got, found := a.Flag(name); found {
			t.Errorf("%q: %v", name, got)
		}
	}
	if value, found := a.Tag("browser"); !found || value != "Chrome 134" {
		t.Error(value, found)
	}
	form := parse(t, readSample(t, "event_alert_form"))
	if value, found := form.Setting("count"); !found || value != "3" {
		t.Error(value, found)
	}
	if _, found := form.Setting("other"); found {
		t.Error("a setting that is not there")
	}
	test := parse(t, readSample(t, "event_alert_test"))
	if !test.IsTest() || a.IsTest() {
		t.Error("the test notification is not told apart")
	}
}

// TestKinds draws which parts a body has, in any order, and expects the one
// resource that they can mean.
func TestKinds(t *testing.T) {
	parts := map[string]string{
		"event": `"event":{}`, "rule": `"triggered_rule":"r"`, "metric": `"metric_alert":{}`, "issue": `"issue":{}`,
		"activity": `"activity":{}`, "error": `"error":{}`, "comment": `"comment":""`, "installation": `"installation":{}`, "other": `"run_id":1`,
	}
	names := []string{"event", "rule", "metric", "issue", "activity", "error", "comment", "installation", "other"}
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID[string]).Draw(t, "parts")
		has := map[string]bool{}
		var texts []string
		for _, name := range chosen {
			has[name] = true
			texts = append(texts, parts[name])
		}
		var meant []alert.Resource
		for _, kind := range []struct {
			there    bool
			resource alert.Resource
		}{
			{has["event"], alert.EventAlert},
			{has["metric"], alert.MetricAlert},
			{has["activity"], alert.ActivityAlert},
			{has["issue"] && !has["activity"], alert.Issue},
			{has["error"], alert.Error},
			{has["comment"], alert.Comment},
			{has["installation"], alert.Installation},
		} {
			if kind.there {
				meant = append(meant, kind.resource)
			}
		}
		want := alert.Unknown
		if len(meant) == 1 && (meant[0] != alert.EventAlert || has["rule"]) {
			want = meant[0]
		}
		a, err := alert.Parse([]byte(`{"data":{` + strings.Join(texts, ",") + `}}`))
		if err != nil || a.Resource != want {
			t.Fatalf("%v gives %q, %v; want %q", chosen, a.Resource, err, want)
		}
	})
}

// FuzzParse holds the parser against encoding/json: what the one reads the other
// does, and where both read, they see the same values.
func FuzzParse(f *testing.F) {
	for _, name := range sampleNames(f) {
		f.Add(readSample(f, name))
	}
	for _, seed := range []string{
		``, ` `, `{"a":}`, `{"a":1,}`, `[1,]`, `{"data":{"event":{"tags":[["a","b"],]}}}`, `{"action":"\ud83d\ude00\ud83d\u00e9\udc00x\u0000"}`,
		"{\"action\":\"\xff\xc0\xaf\"}", `{"action":01}`, `{"action":-0.0e+10}`, `{"action":1.}`, `{"action":nul}`, `{"a":"\x"}`,
		strings.Repeat("[", 600) + strings.Repeat("]", 600), `{"action":"a","Action":"b"}`, "{\"a\":\"\t\"}", `{"data":{"event":1,"triggered_rule":"x"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := alert.Parse(body)
		var reference map[string]any
		referenceErr := json.Unmarshal(body, &reference)
		if err != nil {
			if strings.HasPrefix(causeOf(err), "none") {
				t.Fatal(err)
			}
			if errors.Is(err, alert.ErrMalformed) && referenceErr == nil && reference != nil && !tooDeep(body) {
				t.Fatalf("refused, but encoding/json takes it: %v", err)
			}
			return
		}
		if referenceErr != nil {
			t.Fatalf("taken, but encoding/json says %v", referenceErr)
		}
		data, _ := reference["data"].(map[string]any)
		event, _ := data["event"].(map[string]any)
		text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
		same := func(what, got, want string) {
			if got != want {
				t.Errorf("%s is %q, encoding/json says %q", what, got, want)
			}
		}
		if _, number := reference["action"].(float64); !number {
			same("action", a.Action, text(reference, "action"))
		}
		if a.Resource != alert.EventAlert {
			return
		}
		same("triggered_rule", a.Name, text(data, "triggered_rule"))
		var tags []alert.Pair
		list, _ := event["tags"].([]any)
		for _, entry := range list {
			parts, _ := entry.([]any)
			if len(parts) != 2 {
				continue
			}
			name, ok1 := parts[0].(string)
			value, ok2 := parts[1].(string)
			if ok1 && ok2 {
				tags = append(tags, alert.Pair{Name: name, Value: value})
			}
		}
		if diff := cmp.Diff(tags, a.Tags); diff != "" {
			t.Errorf("tags: %s", diff)
		}
		var flags []alert.Flag
		contexts, _ := event["contexts"].(map[string]any)
		context, _ := contexts["flags"].(map[string]any)
		list, _ = context["values"].([]any)
		for _, entry := range list {
			members, _ := entry.(map[string]any)
			if name, ok := members["flag"].(string); ok {
				switch members["result"].(type) {
				case map[string]any, []any:
					members["result"] = nil
				}
				flags = append(flags, alert.Flag{Name: name, Result: members["result"]})
			}
		}
		if len(flags) != len(a.Flags) || len(flags) > 0 && !cmp.Equal(flags, a.Flags) {
			t.Errorf("flags: %s", cmp.Diff(flags, a.Flags))
		}
	})
}

// tooDeep counts brackets wherever they stand, which is no less than the depth.
func tooDeep(body []byte) bool {
	return strings.Count(string(body), "[")+strings.Count(string(body), "{") > alert.MaxDepth
}
