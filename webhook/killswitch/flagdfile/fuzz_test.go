package flagdfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// flagdFlag and flagdDocument are what flagd decodes, by encoding/json.
type flagdFlag struct {
	Key      string         `json:"key"`
	State    string         `json:"state"`
	Metadata map[string]any `json:"metadata"`
}

type flagdDocument struct {
	Flags    json.RawMessage `json:"flags"`
	Metadata map[string]any  `json:"metadata"`
}

// asFlagd reads a document as flagd does. One that it refuses has no flags.
func asFlagd(text []byte) (flags []flagdFlag, ok bool) {
	var d flagdDocument
	if json.Unmarshal(text, &d) != nil {
		return nil, false
	}
	if bytes.HasPrefix(d.Flags, []byte("[")) {
		return flags, json.Unmarshal(d.Flags, &flags) == nil
	}
	var byKey map[string]flagdFlag
	if json.Unmarshal(d.Flags, &byKey) != nil {
		return nil, false
	}
	for key, flag := range byKey {
		flag.Key = key
		flags = append(flags, flag)
	}
	return flags, true
}

// statesOf returns the states that flagd reads for a key, in any set.
func statesOf(flags []flagdFlag, key string) (states []string) {
	for _, f := range flags {
		if f.Key == key {
			states = append(states, f.State)
		}
	}
	return states
}

// generic decodes a document with numbers as they are spelled.
func generic(t *testing.T, text []byte) (v any) {
	t.Helper()
	if !json.Valid(text) {
		t.Fatalf("%q is not JSON", text)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// FuzzEdit holds the editor against encoding/json, which flagd reads with: what
// it edits is a document before and after, in which flagd finds that flag in the
// state asked for and every other byte as it was, and it goes back. What it does
// not find is not there for flagd either.
func FuzzEdit(f *testing.F) {
	add := func(text, flag string) {
		for _, on := range []bool{false, true} {
			f.Add([]byte(text), flag, "", on)
		}
	}
	add(sample, "new-checkout")
	add(sample, "café")
	for _, text := range []string{
		`{"flags":[{"key":"a","state":"ENABLED"}]}`,
		`{"flags":{"a":{"state":"ENABLED"}}}x`,
		`{"flags":{"a":{"state":"DISABLED"}}} {"flags":{}}`,
		`{"flags":{"a":{"state":"ENABLED"}}}}`,
		"\ufeff" + `{"flags":{"a":{"state":"ENABLED"}}}`,
		`{"flags":{"a":{"st\u0061te":"\u0045NABLED"}}}`,
		`{"\u0066lags":{"\u0061":{"state":"ENABLED\u0000"}}}`,
		`{"flags":{"a":{"State":"ENABLED"}}}`,
		`{"flags":{"a":{"state":"ENABLED","STATE":"ENABLED"},"A":{"state":"ENABLED"}}}`,
		`{"Flags":{"a":{"state":"ENABLED"}},"flags":{}}`,
		`{"flags":[{"Key":"a","\u017ftate":"ENABLED"},null,{"\u212aey":"b"}]}`,
		`{"flags":{"a":{"state":"ENABLED","state":"DISABLED"}}}`,
		`{"flags":{"a":{"state":"ENABLED"},"\u0061":{"state":"ENABLED"}}}`,
		`{"flags":{"a":null,"b":{"state":null}}}`,
		`{"flags":{"a":{"key":"b","state":"ENABLED"},"b":{"key":"a","state":"DISABLED"}}}`,
		`{"flags":{"a":{"flags":{"a":{"state":"ENABLED"}},"metadata":{"state":"ENABLED"},"state":"DISABLED"}}}`,
		`{"metadata":{"flags":{"a":{"state":"ENABLED"}}},"flags":{"a":{"state":"DISABLED"}}}`,
		`{"flags":[]}`, `{"flags":null}`, `{"flags":[[]]}`, `[]`, ``, ` `,
	} {
		add(text, "a")
	}
	for _, text := range []string{
		`{"flags":{"":{"state":"ENABLED"}}}`, `{"flags":{"":{"key":"a","state":"ENABLED"}}}`,
		`{"flags":[{"state":"ENABLED"}]}`, `{"flags":[{"key":"","state":"ENABLED"},null]}`,
	} {
		add(text, "")
	}
	for _, text := range []string{
		"{\"flags\":{\"\xff\":{\"state\":\"ENABLED\"}}}", "{\"flags\":{\"\xff\":{\"state\":\"ENABLED\"},\"\xfe\":{}}}",
		`{"flags":{"\ud800":{"state":"ENABLED"}}}`, "{\"flags\":{\"\ufffd\":{\"state\":\"ENABLED\xff\"}}}",
	} {
		add(text, "\ufffd")
	}
	f.Add([]byte(`{"flags":[{"key":"a","state":"ENABLED","metadata":{"flagSetId":"s"}},{"key":"a","state":"ENABLED"}],"metadata":{"flagSetId":"t"}}`), "a", "t", false)
	f.Add([]byte(`{"flags":[{"key":"a","state":"ENABLED","metadata":{"flagSetId":""}},{"key":"a","state":"ENABLED","metadata":null}],"metadata":{"flagSetId":1}}`), "a", "s", false)
	for seed := range 20 {
		d := documents().Example(seed)
		f.Add([]byte(d.text), d.flags[0], "", seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, text []byte, flag, set string, on bool) {
		target := killswitch.Target{Flag: flag}
		if set != "" {
			target.Attributes = map[string]string{flagSetID: set}
		}
		original := bytes.Clone(text)
		edited, was, err := edit(text, target, on)
		if !bytes.Equal(text, original) {
			t.Fatal("the document itself was changed")
		}
		flags, ok := asFlagd(text)
		states := statesOf(flags, flag)
		switch {
		case errors.Is(err, ErrNotFound) && set == "" && len(states) > 0,
			errors.Is(err, ErrNoState) && len(states) == 1 && states[0] != "",
			errors.Is(err, ErrAmbiguous) && len(states) == 1:
			t.Fatalf("%q: %q is there for flagd: %v", text, flag, err)
		}
		if err != nil {
			return
		}
		before, after := generic(t, text), generic(t, edited)
		back, now, err := edit(edited, target, !on)
		if err != nil || now != killswitch.StateOf(on) {
			t.Fatalf("%q: %s, %v", edited, now, err)
		}
		if was == killswitch.StateOf(on) && !bytes.Equal(edited, text) {
			t.Fatalf("%q became %q", text, edited)
		}
		if was == killswitch.StateOf(!on) {
			if !cmp.Equal(before, generic(t, back)) {
				t.Fatalf("%q became %q", text, back)
			}
			if !bytes.Equal(back, text) && !bytes.Contains(text, []byte(`\u`)) {
				t.Fatalf("%q became %q", text, back)
			}
		}
		if n := differences(before, after); n > 1 || n == 0 && was != killswitch.StateOf(on) {
			t.Fatalf("%q became %q, %d differences", text, edited, n)
		}
		if !ok {
			return // flagd has not read it before either
		}
		flags, ok = asFlagd(edited)
		want := map[bool]string{true: enabled, false: disabled}[on]
		if states := statesOf(flags, flag); !ok || !strings.Contains(strings.Join(states, " "), want) || set == "" && len(states) != 1 {
			t.Fatalf("%q: flagd reads %q", edited, states)
		}
	})
}

// differences counts the values in which two documents differ.
func differences(a, b any) (n int) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok && len(a) == len(b) {
			for name := range a {
				n += differences(a[name], b[name])
			}
			return n
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				n += differences(a[i], b[i])
			}
			return n
		}
	default:
		if a == b {
			return 0
		}
	}
	return 1
}
