package parity

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	ffclient "github.com/thomaspoignant/go-feature-flag"
	"github.com/thomaspoignant/go-feature-flag/modules/core/ffcontext"
	"go.yaml.in/yaml/v3"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

type fixed []byte

func (f fixed) Retrieve(context.Context) ([]byte, error) { return f, nil }

func goffEvaluate(t *testing.T, name string, document []byte, flags []string) (map[string][]outcome, error) {
	t.Helper()
	client, err := ffclient.New(ffclient.Config{
		PollingInterval: time.Hour, Retriever: fixed(document), FileFormat: name[strings.LastIndexByte(name, '.')+1:],
		LeveledLogger: slog.New(slog.DiscardHandler), Context: context.Background(),
	})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all := map[string][]outcome{}
	for _, flag := range flags {
		for _, c := range contexts {
			who := ffcontext.NewEvaluationContextBuilder(c["targetingKey"].(string))
			for name, value := range c {
				if name != "targetingKey" {
					who = who.AddCustom(name, value)
				}
			}
			raw, err := client.RawVariation(flag, who.Build(), nil)
			number, _ := client.Float64Variation(flag, who.Build(), -1)
			whole, _ := client.IntVariation(flag, who.Build(), -1)
			all[flag] = append(all[flag], outcome{fmt.Sprintf("%T %v %v %v", raw.Value, raw.Value, number, whole), raw.VariationType, fmt.Sprint(raw.ErrorCode, err != nil)})
		}
	}
	return all, nil
}

func goffQuery(r *rand.Rand) string {
	return pick(r,
		`email ew "@example.com"`, `country in ["de", "at"]`, fmt.Sprintf("age gt %d", r.IntN(70)), `plan eq "plus"`,
		"plan eq \"plus\"\n   and country eq \"de\"", `{"==": [{"var": "country"}, "de"]}`, `{"in": ["beta", {"var": "email"}]}`,
	)
}

func goffRule(r *rand.Rand, variations []string, isDefault bool) object {
	rule := object{}
	switch r.IntN(4) {
	case 0:
		share := float64(r.IntN(100))
		rule["percentage"] = object{variations[0]: share, variations[1]: 100 - share}
	case 1:
		rule["progressiveRollout"] = object{
			"initial": object{"variation": variations[0], "percentage": float64(r.IntN(50)), "date": "2020-01-01T00:00:00Z"},
			"end":     object{"variation": variations[1], "percentage": float64(50 + r.IntN(50)), "date": pick(r, "2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z")},
		}
	default:
		rule["variation"] = pick(r, variations...)
	}
	if !isDefault {
		rule["query"] = goffQuery(r)
		if r.IntN(2) == 0 {
			rule["name"] = pick(r, "one", "two", "three")
		}
		if r.IntN(6) == 0 {
			rule["disable"] = r.IntN(2) == 0
		}
	}
	return rule
}

func goffFlag(r *rand.Rand) object {
	variations := pick(r,
		object{"on": true, "off": false},
		object{"a": "A", "b": "B", "c": "C"},
		object{"low": 1.5, "high": 2.5},
		object{"x": object{"n": "1"}, "y": object{"n": "2", "m": []any{"z"}}},
	)
	names := slices.Sorted(maps.Keys(variations))
	flag := object{"variations": clone(variations), "defaultRule": goffRule(r, names, true), "version": "1", "metadata": object{"owner": "ada"}}
	var rules []any
	for range r.IntN(3) {
		rules = append(rules, goffRule(r, names, false))
	}
	if rules != nil {
		flag["targeting"] = rules
	}
	if r.IntN(5) == 0 {
		flag["disable"] = r.IntN(2) == 0
	}
	if r.IntN(6) == 0 {
		flag["bucketingKey"] = pick(r, "email", "plan", "")
	}
	if r.IntN(6) == 0 {
		flag["experimentation"] = object{"start": "2020-01-01T00:00:00Z", "end": pick(r, "2021-01-01T00:00:00Z", "2099-01-01T00:00:00Z")}
	}
	if r.IntN(4) == 0 {
		step := object{"date": pick(r, "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"), "defaultRule": object{"variation": pick(r, names...)}}
		if r.IntN(2) == 0 {
			step["disable"] = r.IntN(2) == 0
		}
		if r.IntN(2) == 0 {
			step["targeting"] = []any{object{"name": pick(r, "one", "two"), "query": goffQuery(r), "variation": pick(r, names...)}}
		}
		flag["scheduledRollout"] = []any{step}
	}
	return flag
}

func goffDocument(r *rand.Rand) object {
	flags := object{}
	for i := range 2 + r.IntN(4) {
		flags[fmt.Sprintf("flag-%d", i)] = goffFlag(r)
	}
	return flags
}

func goffEdit(r *rand.Rand, flags object) {
	name := pick(r, slices.Sorted(maps.Keys(flags))...)
	flag := flags[name].(object)
	variations := flag["variations"].(object)
	names := slices.Sorted(maps.Keys(variations))
	if len(names) < 2 {
		return
	}
	switch r.IntN(12) {
	case 0:
		flag["disable"] = pick[any](r, true, false, nil)
	case 1:
		flag["defaultRule"] = goffRule(r, names, true)
	case 2:
		flag["targeting"] = []any{goffRule(r, names, false)}
	case 3:
		variations[pick(r, names...)] = pick[any](r, true, "A", 2.5, 3.5, object{"n": "3"}, nil)
	case 4:
		delete(variations, pick(r, names...))
	case 5:
		flag["bucketingKey"] = pick[any](r, "email", "nobody", "", nil)
	case 6:
		flag["experimentation"] = object{"start": "2020-01-01T00:00:00Z", "end": pick(r, "2021-01-01T00:00:00Z", "2099-01-01T00:00:00Z")}
	case 7:
		flag["scheduledRollout"] = []any{object{"date": "2020-01-01T00:00:00Z", "defaultRule": object{"variation": pick(r, names...)}, "disable": r.IntN(2) == 0}}
	case 8:
		delete(flags, name)
		flags["other"] = flag
	case 9:
		if len(flags) > 1 {
			delete(flags, name)
		}
	case 10:
		flags["new"] = goffFlag(r)
	case 11:
		delete(flag, pick(r, "targeting", "defaultRule", "scheduledRollout"))
	}
}

func TestGoFeatureFlag(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var j judge
	for range documents {
		document := goffDocument(r)
		name, before := goffWrite(t, r, document)
		flags := append(slices.Sorted(maps.Keys(document)), "new", "other")
		was, err := goffEvaluate(t, name, before, flags)
		if err != nil {
			t.Fatalf("%v: %s", err, before)
		}
		edited := clone(document).(object)
		for range 1 + r.IntN(2) {
			goffEdit(r, edited)
		}
		after := goffAs(t, name, edited)
		if is, err := goffEvaluate(t, name, after, flags); err != nil {
			j.refused++
			if _, ours := (changes.GoFeatureFlag{}).Read(name, after); ours == nil {
				t.Errorf("GO Feature Flag refuses it: %v\n%s", err, after)
			}
		} else {
			j.edit(t, changes.GoFeatureFlag{}, name, before, after, was, is)
		}
		goffSame(t, r, &j, document, name, before, flags, was)
	}
	j.report(t)
}

func goffWrite(t *testing.T, r *rand.Rand, document object) (name string, content []byte) {
	name = pick(r, "x.json", "x.yaml", "x.toml")
	return name, goffAs(t, name, document)
}

func goffAs(t *testing.T, name string, document object) []byte {
	t.Helper()
	var content []byte
	var err error
	switch name {
	case "x.json":
		content, err = json.Marshal(document)
	case "x.yaml":
		content, err = yaml.Marshal(document)
	case "x.toml":
		content, err = toml.Marshal(forTOML(document))
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// forTOML leaves out what TOML has no word for, and makes dates of dates.
func forTOML(v any) any {
	switch v := v.(type) {
	case object:
		kept := object{}
		for name, member := range v {
			if member != nil {
				kept[name] = forTOML(member)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i := range v {
			kept[i] = forTOML(v[i])
		}
		return kept
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at
		}
	}
	return v
}

// goffSame edits what does not count, and proves that it does not.
func goffSame(t *testing.T, r *rand.Rand, j *judge, document object, name string, before []byte, flags []string, was map[string][]outcome) {
	t.Helper()
	edited := clone(document).(object)
	for _, flag := range edited {
		flag := flag.(object)
		flag["version"], flag["metadata"], flag["trackEvents"], flag["description"] = "2", object{"owner": "bob"}, false, "what it is for"
		if _, has := flag["disable"]; !has {
			flag["disable"] = false
		}
		rules, _ := flag["targeting"].([]any)
		for _, rule := range rules {
			rule := rule.(object)
			if query := rule["query"].(string); !strings.HasPrefix(query, "{") {
				rule["query"] = strings.ReplaceAll(query, "\n   and", "\n      and")
			}
		}
	}
	other, after := goffWrite(t, r, edited)
	is, err := goffEvaluate(t, other, after, flags)
	if err != nil {
		t.Fatalf("%v: %s", err, after)
	}
	if fmt.Sprint(was) != fmt.Sprint(is) {
		t.Fatalf("the edit counts:\n%v\n%v\nbefore: %s\nafter: %s", was, is, before, after)
	}
	j.same(t, changes.GoFeatureFlag{}, name, before, other, after)
}

// TestGoFeatureFlagRefuses holds what GO Feature Flag makes of odd documents
// against what is read here.
func TestGoFeatureFlagRefuses(t *testing.T) {
	rule := `"variations":{"x":true,"y":false},"defaultRule":{"variation":"x"}`
	stricter := map[string]bool{
		`{"a":{` + rule + `,"disable":true,"disable":false}}`: true,
		`{"a":{` + rule + `,"disable":true,"DISABLE":false}}`: true,
	}
	for _, document := range append(slices.Collect(maps.Keys(stricter)),
		`{}`, `[]`, `1`, `{"a":null}`, `{"a":1}`, `{"a":{`+rule+`}}`, `{"a":{`+rule+`,"disable":"yes"}}`, `{"a":{`+rule+`,"disable":null}}`,
		`{"a":{`+rule+`,"version":1}}`, `{"a":{`+rule+`,"metadata":1}}`, `{"a":{`+rule+`,"targeting":{}}}`, `{"a":{`+rule+`,"targeting":[1]}}`, `{"a":{`+rule+`,"targeting":[null]}}`,
		`{"a":{`+rule+`,"experimentation":{"start":"soon"}}}`, `{"a":{`+rule+`,"experimentation":{"start":1}}}`, `{"a":{`+rule+`,"bucketingKey":1}}`,
		`{"a":{`+rule+`,"date":1}}`, `{"a":{`+rule+`,"scheduledRollout":[{"date":1}]}}`, `{"a":{`+rule+`,"scheduledRollout":[{"date":"2020-01-01T00:00:00Z"}]}}`,
		`{"a":{`+rule+`,"defaultrule":null}}`, `{"a":{"variations":[],"defaultRule":{}}}`, `{"a":{"variations":{"x":true},"defaultRule":{"percentage":[]}}}`,
		`{"a":{"variations":{"x":true},"defaultRule":{"percentage":{"x":"1"}}}}`, `{"a":{"variations":{"x":true},"defaultRule":{"percentage":{"x":null}}}}`,
		`{"a":{`+rule+`}} x`, "\xef\xbb\xbf{}", `{"a":`,
	) {
		_, theirs := goffEvaluate(t, "x.json", []byte(document), []string{"a"})
		_, ours := changes.GoFeatureFlag{}.Read("x.json", []byte(document))
		if (theirs == nil) != (ours == nil) && (theirs != nil || !stricter[document] && !strings.Contains(document, `"defaultrule"`)) {
			t.Errorf("%s: GO Feature Flag says %v, here %v", document, theirs, ours)
		}
	}
}
