package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTargeting(t *testing.T) {
	user := map[string]any{"plan": "plus", "email": "carol@beta.example.com", "age": 40.0}
	for _, c := range []struct{ rule, want string }{
		{`null`, ""},
		{`{}`, ""},
		{`"x"`, "x"},
		{`true`, "true"},
		{`7`, ""},
		{`{"if":[true,"a","b"]}`, "a"},
		{`{"if":[false,"a","b"]}`, "b"},
		{`{"if":[false,"a"]}`, ""},
		{`{"if":[false,"a",true,"b","c"]}`, "b"},
		{`{"if":[]}`, ""},
		{`{"if":[{"==":[{"var":"plan"},"plus"]},"a","b"]}`, "a"},
		{`{"if":[{"===":[{"var":"age"},40]},"a","b"]}`, "a"},
		{`{"if":[{"!=":[{"var":["plan"]},"plus"]},"a","b"]}`, "b"},
		{`{"if":[{"!==":[{"var":"plan"},"free"]},"a","b"]}`, "a"},
		{`{"if":[{"!":{"var":"missing"}},"a","b"]}`, "a"},
		{`{"var":["missing","fallback"]}`, "fallback"},
		{`{"if":[{"in":[{"var":"plan"},["free","plus"]]},"a","b"]}`, "a"},
		{`{"if":[{"in":["beta",{"var":"email"}]},"a","b"]}`, "a"},
		{`{"if":[{"in":["beta",{"var":"age"}]},"a","b"]}`, "b"},
		{`{"if":[{"starts_with":[{"var":"email"},"carol@"]},"a","b"]}`, "a"},
		{`{"if":[{"ends_with":[{"var":"email"},"@example.com"]},"a","b"]}`, "b"},
		{`{"if":[{"and":[true,{"var":"plan"}]},"a","b"]}`, "a"},
		{`{"if":[{"and":[true,0,{"unknown":[]}]},"a","b"]}`, "b"},
		{`{"if":[{"or":["",[],{"var":"plan"},{"unknown":[]}]},"a","b"]}`, "a"},
		{`{"if":[{"or":[false,null]},"a","b"]}`, "b"},
	} {
		var rule any
		if err := json.Unmarshal([]byte(c.rule), &rule); err != nil {
			t.Fatal(err)
		}
		if got, err := target(rule, user); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.rule, got, err, c.want)
		}
	}
}

func TestTargetingThatIsNotUnderstood(t *testing.T) {
	for _, text := range []string{
		`{"fractional":[["on",50],["off",50]]}`,
		`{"if":[true,{"sem_ver":["1","=","1"]}]}`,
		`{"if":[{"unknown":[]},"a"]}`,
		`{"==":[{"unknown":[]},1]}`,
		`{"and":[{"unknown":[]}]}`,
		`{"if":[true],"or":[true]}`,
		strings.Repeat(`{"!":`, 200) + `1` + strings.Repeat(`}`, 200),
	} {
		var rule any
		if err := json.Unmarshal([]byte(text), &rule); err != nil {
			t.Fatal(err)
		}
		if got, err := target(rule, nil); err == nil {
			t.Errorf("%.50s: %q, want an error", text, got)
		}
	}
}
