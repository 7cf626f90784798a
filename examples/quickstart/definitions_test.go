package main

import (
	"strings"
	"testing"
)

func TestShippedDefinitions(t *testing.T) {
	flags, err := loadDefinitions("")
	if err != nil {
		t.Fatal(err)
	}
	count := map[kind]int{}
	for _, flag := range flags {
		count[flag.kind()]++
	}
	if count[kindBoolean] < 6 || count[kindString] < 3 || len(flags) != 12 {
		t.Errorf("%d flags by kind: %v", len(flags), count)
	}
	fault, ok := findFault(flags)
	if !ok || fault.flag != "new-checkout" || !fault.value || fault.visitor != "carol" {
		t.Errorf("fault %+v", fault)
	}
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{``, "unexpected end"},
		{`[]`, "line 1"},
		{"{\n\n\"flags\": [1]}", "line 3"},
		{`{}`, "no flags"},
		{`{"flags":{}}`, "no flags"},
		{`{"flags":{"a":{"state":"on","variants":{"x":true}}}}`, `flag a: state "on"`},
		{`{"flags":{"a":{"state":"ENABLED"}}}`, "flag a: no variants"},
		{`{"flags":{"a":{"state":"ENABLED","variants":{"x":true,"y":"no"}}}}`, "all booleans"},
		{`{"flags":{"a":{"state":"ENABLED","variants":{"x":null}}}}`, "all booleans"},
		{`{"flags":{"a":{"state":"ENABLED","variants":{"x":[1]}}}}`, "all booleans"},
		{`{"flags":{"a":{"state":"ENABLED","variants":{"x":true},"defaultVariant":"z"}}}`, `defaultVariant "z"`},
		{`{"flags":{"":{"state":"ENABLED","variants":{"x":true}}}}`, "without a name"},
		{`{"flags":{"` + strings.Repeat("n", 201) + `":{"state":"ENABLED","variants":{"x":true}}}}`, "more than 200"},
		{`{"flags":{"a\u0000":{"state":"ENABLED","variants":{"x":true}}}}`, "U+0000"},
	} {
		if _, err := parseDefinitions([]byte(c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n\terror %v, want one with %q", c.content, err, c.want)
		}
	}
}

func TestWhatTheApplicationGets(t *testing.T) {
	for _, c := range []struct {
		definition string
		want       bool
	}{
		{`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}`, true},
		{`{"state":"DISABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}`, false},
		{`{"state":"ENABLED","variants":{"on":true,"off":false}}`, false},
		{`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{}}`, false},
		{`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{"if":[true,"on"]}}`, true},
		{`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","targeting":{"if":[true,"gone"]}}`, false},
		{`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","targeting":{"sem_ver":[]}}`, true},
		{`{"state":"ENABLED","variants":{"true":true,"false":false},"defaultVariant":"false","targeting":{"==":[{"var":"plan"},"free"]}}`, true},
	} {
		flags, err := parseDefinitions([]byte(`{"flags":{"a":` + c.definition + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := flags.boolean("a", visitors[0]); got != c.want {
			t.Errorf("%s: %v", c.definition, got)
		}
	}
}

func FuzzParseDefinitions(f *testing.F) {
	f.Add(shippedDefinitions)
	f.Add([]byte(`{"flags":{"a":{"state":"ENABLED","variants":{"on":true},"targeting":{"if":[{"in":[1,[{"var":[]}]]},{"and":[]},{"!":[[]]}]}}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		flags, err := parseDefinitions(content)
		if err != nil {
			return
		}
		for _, visitor := range visitors {
			if got := len(flags.recorded(visitor)); got > maxFlags {
				t.Errorf("%d flags", got)
			}
		}
		if fault, ok := findFault(flags); ok {
			for _, e := range edits(flags, fault) {
				flags = e.apply(flags)
			}
			for name := range flags.inMemory() {
				if !flags.has(name) {
					t.Errorf("%q appeared", name)
				}
			}
		}
	})
}
