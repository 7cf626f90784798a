package parity

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"github.com/open-feature/flagd/core/pkg/utils"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

type flagd struct{ evaluator *evaluator.JSON }

func newFlagd(t *testing.T) flagd {
	log := logger.NewLogger(zap.NewNop(), false)
	state, err := store.NewStore(log, []string{"file"})
	if err != nil {
		t.Fatal(err)
	}
	return flagd{evaluator.NewJSON(log, state)}
}

func (f flagd) set(name string, document []byte) error {
	asJSON, err := utils.ConvertToJSON(document, name[strings.LastIndexByte(name, '.'):], "")
	if err != nil {
		return err
	}
	return f.evaluator.SetState(sync.DataSync{FlagData: asJSON, Source: "file"})
}

func (f flagd) evaluate(flags []string) map[string][]outcome {
	all := map[string][]outcome{}
	for _, flag := range flags {
		for _, c := range contexts {
			v := f.evaluator.ResolveAsAnyValue(context.Background(), "", flag, c)
			value, _ := json.Marshal(v.Value)
			all[flag] = append(all[flag], outcome{string(value), v.Variant, fmt.Sprint(v.Error)})
		}
	}
	return all
}

func flagdCondition(r *rand.Rand, evaluators []string) any {
	if len(evaluators) > 0 && r.IntN(3) == 0 {
		return object{"$ref": pick(r, evaluators...)}
	}
	return pick[any](r,
		object{"ends_with": []any{object{"var": "email"}, pick(r, "@example.com", "@example.org")}},
		object{"in": []any{object{"var": "country"}, []any{pick(r, "de", "at"), pick(r, "ch", "fr")}}},
		object{">=": []any{object{"var": "age"}, float64(r.IntN(60))}},
		object{"==": []any{object{"var": "plan"}, pick(r, "free", "plus")}},
		object{"sem_ver": []any{object{"var": "version"}, ">=", pick(r, "1.2.0", "1.3.0")}},
		object{"and": []any{true, object{"!": []any{object{"==": []any{object{"var": "country"}, "de"}}}}}},
	)
}

func flagdTargeting(r *rand.Rand, variants []string, evaluators []string) any {
	switch r.IntN(5) {
	case 0:
		return object{}
	case 1:
		return object{"fractional": []any{object{"var": "email"}, []any{pick(r, variants...), r.IntN(100)}, []any{pick(r, variants...), 1 + r.IntN(100)}}}
	case 2:
		return object{"if": []any{flagdCondition(r, evaluators), pick(r, variants...), nil}}
	case 3:
		return object{"if": []any{flagdCondition(r, evaluators), pick(r, variants...), flagdCondition(r, evaluators), pick(r, variants...), pick(r, append(variants, "none")...)}}
	}
	return nil
}

func flagdFlag(r *rand.Rand, evaluators []string) object {
	variants := pick(r,
		object{"on": true, "off": false},
		object{"a": "A", "b": "B", "c": "C"},
		object{"low": 1.0, "high": 2.5, "top": 1e3},
		object{"x": object{"n": 1.0}, "y": object{"n": 2.0, "m": []any{1.0, "z"}}},
	)
	names := slices.Sorted(maps.Keys(variants))
	flag := object{"state": pick(r, "ENABLED", "ENABLED", "ENABLED", "DISABLED"), "variants": clone(variants), "metadata": object{"owner": "ada"}}
	if r.IntN(5) > 0 {
		flag["defaultVariant"] = pick(r, names...)
	}
	if targeting := flagdTargeting(r, names, evaluators); targeting != nil {
		flag["targeting"] = targeting
	}
	return flag
}

func flagdDocument(r *rand.Rand) object {
	evaluators := object{}
	for _, name := range []string{"staff", "beta"} {
		evaluators[name] = flagdCondition(r, nil)
	}
	flags := object{}
	for i := range 2 + r.IntN(5) {
		flags[fmt.Sprintf("flag-%d", i)] = flagdFlag(r, []string{"staff", "beta"})
	}
	return object{"flags": flags, "$evaluators": evaluators, "metadata": object{"version": "1"}}
}

// flagdEdit does something to a document, as a person would.
func flagdEdit(r *rand.Rand, document object) {
	flags, evaluators := document["flags"].(object), document["$evaluators"].(object)
	name := pick(r, slices.Sorted(maps.Keys(flags))...)
	flag := flags[name].(object)
	variants := flag["variants"].(object)
	names := slices.Sorted(maps.Keys(variants))
	switch r.IntN(12) {
	case 0:
		flag["state"] = pick(r, "ENABLED", "DISABLED", "enabled", "")
	case 1:
		flag["defaultVariant"] = pick[any](r, pick(r, names...), "", "missing", nil)
	case 2:
		delete(flag, "defaultVariant")
	case 3:
		variants[pick(r, names...)] = pick[any](r, true, "A", 2.5, object{"n": 3.0}, nil)
	case 4:
		delete(variants, pick(r, names...))
	case 5:
		flag["targeting"] = flagdTargeting(r, names, []string{"staff", "beta"})
	case 6:
		evaluators[pick(r, "staff", "beta")] = flagdCondition(r, nil)
	case 7:
		delete(evaluators, pick(r, "staff", "beta"))
	case 8:
		delete(flags, name)
		flags["other"] = flag
	case 9:
		delete(flags, name)
	case 10:
		flags["new"] = flagdFlag(r, []string{"staff"})
	case 11:
		flags[name] = flagdFlag(r, []string{"staff", "beta"})
	}
}

// TestFlagd edits documents and evaluates all flags before and after.
func TestFlagd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	server := newFlagd(t)
	var j judge
	for range documents {
		document := flagdDocument(r)
		before, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.set("x.json", before); err != nil {
			t.Fatal(err)
		}
		flags := slices.Sorted(maps.Keys(document["flags"].(object)))
		flags = append(flags, "new", "other")
		was := server.evaluate(flags)
		edited := clone(document).(object)
		for range 1 + r.IntN(2) {
			if len(edited["flags"].(object)) > 0 {
				flagdEdit(r, edited)
			}
		}
		after, err := json.Marshal(edited)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.set("x.json", after); err != nil {
			// What flagd refuses, so that it goes on with what it had, is no change.
			j.refused++
			if _, ours := (changes.Flagd{}).Read("x.json", after); ours == nil {
				t.Errorf("flagd refuses it: %v\n%s", err, after)
			}
		} else {
			j.edit(t, changes.Flagd{}, "x.json", before, after, was, server.evaluate(flags))
		}
		flagdSame(t, r, &j, server, document, before, flags, was)
	}
	j.report(t)
}

// flagdSame edits what does not count, and proves that it does not.
func flagdSame(t *testing.T, r *rand.Rand, j *judge, server flagd, document object, before []byte, flags []string, was map[string][]outcome) {
	t.Helper()
	edited := clone(document).(object)
	edited["metadata"] = object{"version": "2", "team": "shop"}
	edited["$schema"] = "https://flagd.dev/schema/v0/flags.json"
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(edited["flags"].(object))) {
		flag := edited["flags"].(object)[name].(object)
		flag["metadata"] = object{"owner": "bob"}
		flag["description"] = "what it is for"
		if flag["targeting"] != nil && r.IntN(2) == 0 {
			flag["targeting"] = written(flag["targeting"], edited["$evaluators"].(object))
		}
		if _, has := flag["targeting"]; !has {
			flag["targeting"] = object{}
		}
		keyed := clone(flag).(object)
		keyed["key"] = name
		list = append(list, keyed)
	}
	name, after, err := "x.json", []byte(nil), error(nil)
	switch r.IntN(4) {
	case 0:
		name = "x.yaml"
		after, err = yaml.Marshal(edited)
		after = append([]byte("# a comment\n"), after...)
	case 1:
		after, err = json.MarshalIndent(edited, "\t", "   ")
	case 2:
		after, err = json.Marshal(edited)
		after = []byte(strings.ReplaceAll(string(after), ":2.5", ":25e-1"))
	case 3:
		edited["flags"] = list
		after, err = json.Marshal(edited)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := server.set(name, after); err != nil {
		t.Fatalf("%v: %s", err, after)
	}
	if is := server.evaluate(flags); fmt.Sprint(was) != fmt.Sprint(is) {
		t.Fatalf("the edit counts:\n%v\n%v\nbefore: %s\nafter: %s", was, is, before, after)
	}
	j.same(t, changes.Flagd{}, "x.json", before, name, after)
}

// written replaces references by what they refer to.
func written(v any, evaluators object) any {
	switch v := v.(type) {
	case object:
		if name, ok := v["$ref"].(string); ok {
			return clone(evaluators[name])
		}
		for name, member := range v {
			v[name] = written(member, evaluators)
		}
	case []any:
		for i := range v {
			v[i] = written(v[i], evaluators)
		}
	}
	return v
}

// TestFlagdRefuses holds what flagd makes of odd documents against what is read
// here. stricter are those that flagd takes and that are refused here on purpose:
// they say two things at once, or may be half-written.
func TestFlagdRefuses(t *testing.T) {
	stricter := map[string]bool{
		`{"flags":{"a":{"state":"ENABLED"},"a":{"state":"DISABLED"}}}`:     true,
		`{"flags":{"a":{"state":"ENABLED","State":"DISABLED"}}}`:           true,
		`{"flags":[{"key":"a"},{"key":"a"}]}`:                              true,
		`{"flags":null}`:                                                   true,
		"{\"flags\":{\"a\":{\"defaultVariant\":\"\",\"state\":\"\xff\"}}}": true,
	}
	for _, document := range append(slices.Collect(maps.Keys(stricter)),
		``, `{}`, `[]`, `null`, `{"flags":{}}`, `{"flags":[]}`, `{"flags":1}`, `{"flags":{"a":null}}`, `{"flags":{"a":1}}`, `{"flags":[null]}`,
		`{"flags":{"a":{"state":1}}}`, `{"flags":{"a":{"state":null}}}`, `{"flags":{"a":{"variants":null}}}`, `{"flags":{"a":{"variants":[]}}}`,
		`{"flags":{"a":{"metadata":[]}}}`, `{"flags":{"a":{"metadata":null}}}`, `{"flags":{"a":{"source":1}}}`, `{"flags":{"a":{"targeting":null}}}`,
		`{"flags":{"a":{"defaultVariant":"x","variants":{"x":null}}}}`, `{"flags":{"a":{"defaultVariant":"x"}}}`, `{"flags":{"a":{"variants":{"x":1e999}}}}`,
		`{"FLAGS":{"a":{"STATE":"DISABLED"}}}`, `{"flags":{},"$evaluators":{"a":{}}}`, `{"flags":{},"$evaluators":{"a":1}}`, `{"flags":{},"$evaluators":[]}`,
		`{"flags":{},"$evaluators":null}`, `{"flags":{},"metadata":1}`, `{"flags":{},"metadata":null}`, `{"flags":{}} x`, "\xef\xbb\xbf"+`{"flags":{}}`, `{"flags":{"":{}}}`,
		`{"flags":[{"key":1}]}`, `{"flags":[{"key":""}]}`, `{"flags":{"a":{"key":1}}}`, `{"flags":{"a":{"key":"b"}}}`,
	) {
		theirs := newFlagd(t).set("x.json", []byte(document))
		_, ours := changes.Flagd{}.Read("x.json", []byte(document))
		if (theirs == nil) != (ours == nil) && (theirs != nil || !stricter[document]) {
			t.Errorf("%s: flagd says %v, here %v", document, theirs, ours)
		}
	}
}
