package flagdfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"pgregory.net/rapid"
)

// sample has all that an editor could trip over: odd white space, a state in
// other places, and keys that look alike.
const sample = `{
  "$schema" : "https://flagd.dev/schema/v0/flags.json",
	"flags":{ "new-checkout" :{"variants":{"on":true,"off":false},
      "state"   :   "ENABLED" , "defaultVariant":"on",
      "targeting": {"if": [{"==": [{"var":"state"}, "ENABLED"]}, "on"]}, "metadata":{"state":"ENABLED","n":1e400}},
    "New checkout":{"state":"DISABLED","variants":{},"defaultVariant":""}, "team:checkout":{"defaultVariant":"a","variants":{"a":1.50},"state":"ENABLED"},
    "caf\u00e9": {"state":"ENABLED"}, "stateless":{"variants":{}}, "odd":{"state":"Enabled"}, "number":{"state":1}
  }
}

`

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func content(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newToggler(t testing.TB, path string) *Toggler {
	t.Helper()
	toggler, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	toggler.settle = time.Millisecond
	return toggler
}

func to(flag string, on bool) killswitch.Switch {
	return killswitch.Switch{Target: killswitch.Target{Flag: flag}, On: on}
}

func isFinal(err error) bool {
	steer, ok := errors.AsType[*killswitch.ToggleError](err)
	return ok && steer.Final
}

func TestOnlyTheStateChanges(t *testing.T) {
	for _, c := range []struct {
		flag     string
		on       bool
		was      killswitch.State
		from, to string // the change
	}{
		{"new-checkout", false, killswitch.StateOn, `"state"   :   "ENABLED" ,`, `"state"   :   "DISABLED" ,`},
		{"new-checkout", true, killswitch.StateOn, "", ""},
		{"New checkout", true, killswitch.StateOff, `{"state":"DISABLED","variants":{},"defaultVariant":""}`, `{"state":"ENABLED","variants":{},"defaultVariant":""}`},
		{"New checkout", false, killswitch.StateOff, "", ""},
		{"team:checkout", false, killswitch.StateOn, `{"a":1.50},"state":"ENABLED"`, `{"a":1.50},"state":"DISABLED"`},
		{"café", false, killswitch.StateOn, `"caf\u00e9": {"state":"ENABLED"}`, `"caf\u00e9": {"state":"DISABLED"}`},
		{"odd", false, killswitch.StateUnknown, `"Enabled"`, `"DISABLED"`},
	} {
		path := write(t, sample)
		was, err := newToggler(t, path).Toggle(t.Context(), to(c.flag, c.on))
		if err != nil || was != c.was {
			t.Errorf("%s: %s, %v", c.flag, was, err)
		}
		if diff := cmp.Diff(strings.Replace(sample, c.from, c.to, 1), content(t, path)); diff != "" {
			t.Errorf("%s: %s", c.flag, diff)
		}
	}
}

// What counts for flagd counts here: names in other case and escaped ones, nulls,
// and bytes that are no UTF-8.
func TestAsFlagdReads(t *testing.T) {
	for _, c := range []struct{ document, flag, want string }{
		{`{"Flags":{"a":{"STATE":"ENABLED"}}}`, "a", `{"Flags":{"a":{"STATE":"DISABLED"}}}`},
		{`{"flags":[null,{"Key":"a","\u017ftate":"\u0045NABLED"}]}`, "a", `{"flags":[null,{"Key":"a","\u017ftate":"DISABLED"}]}`},
		{"{\"flags\":{\"\xff\":{\"x\":\"\xfe\",\"state\":\"\xff\"}}}", "\ufffd", "{\"flags\":{\"\xff\":{\"x\":\"\xfe\",\"state\":\"DISABLED\"}}}"},
		{`{"flags":{"\ud800":{"state":"ENABLED"}}}`, "\ufffd", `{"flags":{"\ud800":{"state":"DISABLED"}}}`},
		{`{"flags":{"a":{"key":"b","state":"ENABLED"},"b":null,"A":{"state":"ENABLED"}}}`, "a", `{"flags":{"a":{"key":"b","state":"DISABLED"},"b":null,"A":{"state":"ENABLED"}}}`},
	} {
		edited, _, err := edit([]byte(c.document), killswitch.Target{Flag: c.flag}, false)
		if err != nil || string(edited) != c.want {
			t.Errorf("%s became %s, %v", c.document, edited, err)
		}
	}
}

func TestListOfFlags(t *testing.T) {
	const list = `{"flags":[{"key":"a","state":"ENABLED","metadata":{"flagSetId":"one"}},{"state":"ENABLED","key":"a","metadata":{"flagSetId":"two"}},{"key":"b","state":"ENABLED"}],"metadata":{"flagSetId":"all"}}`
	for _, c := range []struct {
		flag, set string
		want      error
		at        int // which state is switched
	}{
		{"a", "one", nil, 0},
		{"a", "two", nil, 1},
		{"b", "", nil, 2},
		{"b", "all", nil, 2},
		{"a", "", ErrAmbiguous, 0},
		{"a", "all", ErrNotFound, 0},
		{"b", "one", ErrNotFound, 0},
		{"c", "", ErrNotFound, 0},
	} {
		path := write(t, list)
		s := to(c.flag, false)
		if c.set != "" {
			s.Target.Attributes = map[string]string{"flagSetId": c.set}
		}
		_, err := newToggler(t, path).Toggle(t.Context(), s)
		if !errors.Is(err, c.want) || err != nil && !isFinal(err) {
			t.Errorf("%s of %s: %v", c.flag, c.set, err)
		}
		want := list
		if c.want == nil {
			parts := strings.SplitAfter(list, `"ENABLED"`)
			parts[c.at] = strings.Replace(parts[c.at], "ENABLED", "DISABLED", 1)
			want = strings.Join(parts, "")
		}
		if got := content(t, path); got != want {
			t.Errorf("%s of %s: %s", c.flag, c.set, got)
		}
	}
}

// document is a random flag definition.
type document struct {
	text  string
	flags []string
}

// documents draws documents in any layout: both forms of the list, members in any
// order, names with escapes, and the word "state" in every other place.
func documents() *rapid.Generator[document] {
	space := rapid.StringMatching(`[ \t\n\r]{0,3}`)
	name := rapid.OneOf(rapid.SampledFrom([]string{"state", "flags", "key", "metadata", "ENABLED", "", "checkout.v2", "team:checkout", "New checkout", "é", "\U0001f600", `q"uote`, `back\slash`, "a/b", "~0"}), rapid.String())
	var value func(t *rapid.T, depth int) string
	object := func(t *rapid.T, members []string) string {
		var b strings.Builder
		b.WriteString("{" + space.Draw(t, "space"))
		for i, m := range rapid.Permutation(members).Draw(t, "order") {
			if i > 0 {
				b.WriteString("," + space.Draw(t, "space"))
			}
			b.WriteString(m + space.Draw(t, "space"))
		}
		return b.String() + "}"
	}
	spelled := func(t *rapid.T, text string) string {
		if rapid.Bool().Draw(t, "escaped") {
			var b strings.Builder
			for _, r := range text {
				if r < 0x10000 {
					fmt.Fprintf(&b, `\u%04x`, r)
				} else {
					b.WriteRune(r)
				}
			}
			return `"` + b.String() + `"`
		}
		quoted, _ := json.Marshal(text)
		return string(quoted)
	}
	member := func(t *rapid.T, name, value string) string {
		return spelled(t, name) + space.Draw(t, "space") + ":" + space.Draw(t, "space") + value
	}
	value = func(t *rapid.T, depth int) string {
		kind := rapid.IntRange(0, 6).Draw(t, "kind")
		if depth == 0 {
			kind = min(kind, 4)
		}
		switch kind {
		case 0:
			return "null"
		case 1:
			return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "bool")
		case 2:
			return rapid.SampledFrom([]string{"0", "-0.0", "1.50", "1e400", "12345678901234567890", "1E+2"}).Draw(t, "number")
		case 3:
			return `"ENABLED"`
		case 4:
			return spelled(t, name.Draw(t, "text"))
		case 5:
			var elements []string
			for range rapid.IntRange(0, 3).Draw(t, "elements") {
				elements = append(elements, value(t, depth-1))
			}
			return "[" + strings.Join(elements, space.Draw(t, "space")+",") + "]"
		}
		var members []string
		for _, n := range rapid.SliceOfNDistinct(name, 0, 3, rapid.ID[string]).Draw(t, "names") {
			members = append(members, member(t, n, value(t, depth-1)))
		}
		return object(t, members)
	}
	return rapid.Custom(func(t *rapid.T) document {
		keys := rapid.SliceOfNDistinct(name.Filter(func(s string) bool { return s != "" }), 1, 5, rapid.ID[string]).Draw(t, "keys")
		list := rapid.Bool().Draw(t, "list")
		var flags []string
		for _, key := range keys {
			members := []string{member(t, "state", rapid.SampledFrom([]string{`"ENABLED"`, `"DISABLED"`}).Draw(t, "state"))}
			for _, n := range []string{"variants", "defaultVariant", "targeting", "metadata", "stated"} {
				if rapid.Bool().Draw(t, n) {
					members = append(members, member(t, n, value(t, 3)))
				}
			}
			if list {
				members = append(members, member(t, "key", spelled(t, key)))
				flags = append(flags, object(t, members))
			} else {
				flags = append(flags, member(t, key, object(t, members)))
			}
		}
		all := "[" + strings.Join(flags, ",") + "]"
		if !list {
			all = object(t, flags)
		}
		members := []string{member(t, "flags", all)}
		for _, n := range []string{"$evaluators", "metadata", "$schema"} {
			if rapid.Bool().Draw(t, n) {
				members = append(members, member(t, n, value(t, 3)))
			}
		}
		return document{space.Draw(t, "before") + object(t, members) + space.Draw(t, "after"), keys}
	})
}

// TestSwitchedAndRestored switches every flag of 1,000 random documents, and
// back: byte for byte the original. Every twentieth is a file.
func TestSwitchedAndRestored(t *testing.T) {
	path := write(t, "")
	toggler := newToggler(t, path)
	switched := 0
	for seed := range 1000 {
		d := documents().Example(seed)
		text := d.text
		toggle := func(flag string, on bool) (was killswitch.State, err error) {
			var edited []byte
			if edited, was, err = edit([]byte(text), killswitch.Target{Flag: flag}, on); err == nil {
				text = string(edited)
			}
			return was, err
		}
		if seed%20 == 0 {
			if err := os.WriteFile(path, []byte(d.text), 0o640); err != nil {
				t.Fatal(err)
			}
			toggle = func(flag string, on bool) (killswitch.State, error) {
				was, err := toggler.Toggle(t.Context(), to(flag, on))
				text = content(t, path)
				return was, err
			}
		}
		var states []killswitch.State
		for _, flag := range d.flags {
			before := text
			was, err := toggle(flag, false)
			if err != nil || was == killswitch.StateUnknown {
				t.Fatalf("%d: %q: %s, %v\n%s", seed, flag, was, err, d.text)
			}
			states = append(states, was)
			if was == killswitch.StateOff && text != before || was == killswitch.StateOn && (len(text) != len(before)+1 || stateOf(t, text, flag) != "DISABLED") {
				t.Fatalf("%d: %q: %s\nbecame %s", seed, flag, before, text)
			}
			switched++
		}
		for i, flag := range d.flags {
			if was, err := toggle(flag, states[i] == killswitch.StateOn); err != nil || was != killswitch.StateOff {
				t.Fatalf("%d: %q: %s, %v", seed, flag, was, err)
			}
		}
		if text != d.text {
			t.Fatalf("%d:\n%s\nbecame\n%s", seed, d.text, text)
		}
	}
	t.Logf("%d flags of 1000 documents", switched)
}

// stateOf reads a flag as flagd does.
func stateOf(t testing.TB, text, flag string) string {
	t.Helper()
	var d struct {
		Flags json.RawMessage `json:"flags"`
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var byKey map[string]map[string]json.RawMessage
	if json.Unmarshal(d.Flags, &byKey) != nil {
		var list []map[string]json.RawMessage
		if err := json.Unmarshal(d.Flags, &list); err != nil {
			t.Fatal(err)
		}
		byKey = map[string]map[string]json.RawMessage{}
		for _, f := range list {
			var key string
			if err := json.Unmarshal(f["key"], &key); err != nil {
				t.Fatal(err)
			}
			byKey[key] = f
		}
	}
	return strings.Trim(string(byKey[flag]["state"]), `"`)
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		content, flag string
		want          error
		final         bool
	}{
		"absent":                         {sample, "old-checkout", ErrNotFound, true},
		"other case":                     {sample, "NEW-CHECKOUT", ErrNotFound, true},
		"no state":                       {sample, "stateless", ErrNoState, true},
		"a number":                       {sample, "number", ErrNoState, true},
		"no flag":                        {sample, "", killswitch.ErrInvalidTarget, true},
		"empty":                          {"", "a", ErrMalformed, false},
		"cut":                            {sample[:200], "new-checkout", ErrMalformed, false},
		"two documents":                  {`{"flags":{"a":{"state":"ENABLED"}}} {}`, "a", ErrMalformed, false},
		"no flags":                       {`{"flag":{}}`, "a", ErrMalformed, false},
		"a list":                         {`[]`, "a", ErrMalformed, false},
		"flags is a text":                {`{"flags":"a"}`, "a", ErrMalformed, false},
		"a flag is a text":               {`{"flags":{"a":"ENABLED"}}`, "a", ErrMalformed, false},
		"state twice":                    {`{"flags":{"a":{"state":"ENABLED","state":"DISABLED"}}}`, "a", ErrMalformed, false},
		"key twice":                      {`{"flags":{"a":{"state":"ENABLED"},"\u0061":{"state":"ENABLED"}}}`, "a", ErrMalformed, false},
		"state twice by case":            {`{"flags":{"a":{"state":"ENABLED","State":"ENABLED"}}}`, "a", ErrMalformed, false},
		"flags twice by case":            {`{"flags":{"a":{"state":"ENABLED"}},"FLAGS":{}}`, "a", ErrMalformed, false},
		"key twice by case":              {`{"flags":[{"key":"a","\u212aey":"a","state":"ENABLED"}]}`, "a", ErrMalformed, false},
		"two keys that are one to flagd": {"{\"flags\":{\"\xff\":{\"state\":\"ENABLED\"},\"\xfe\":{\"state\":\"ENABLED\"}}}", "\ufffd", ErrMalformed, false},
		"half of a write":                {`{"flags":{"a":{"state":"ENABLED"}}}"}}}`, "a", ErrMalformed, false},
		"a bracket too many":             {`{"flags":{"a":{"state":"ENABLED"}}}}`, "a", ErrMalformed, false},
		"byte order mark":                {"\ufeff" + `{"flags":{"a":{"state":"ENABLED"}}}`, "a", ErrMalformed, false},
		"null":                           {`{"flags":{"a":null}}`, "a", ErrNoState, true},
		"the same key twice":             {`{"flags":[{"key":"a","state":"ENABLED"},{"key":"a","state":"ENABLED"}]}`, "a", ErrAmbiguous, true},
		"too large":                      {`{"flags":{"a":{"state":"ENABLED"}}}` + strings.Repeat(" ", MaxFile), "a", ErrMalformed, false},
	} {
		path := write(t, c.content)
		was, err := newToggler(t, path).Toggle(t.Context(), to(c.flag, false))
		if !errors.Is(err, c.want) || isFinal(err) != c.final || was != killswitch.StateUnknown {
			t.Errorf("%s: %s, %v", name, was, err)
		}
		if content(t, path) != c.content {
			t.Errorf("%s: the file was changed", name)
		}
		if err := newToggler(t, path).Check(t.Context(), killswitch.Target{Flag: c.flag}); !errors.Is(err, c.want) {
			t.Errorf("%s: the check says %v", name, err)
		}
		leftovers(t, path)
	}
	s := to("new-checkout", false)
	s.Target.Attributes = map[string]string{"environment": "production"}
	if _, err := newToggler(t, write(t, sample)).Toggle(t.Context(), s); !errors.Is(err, ErrInvalidTarget) || !isFinal(err) {
		t.Error(err)
	}
	if _, err := newToggler(t, filepath.Join(t.TempDir(), "none.json")).Toggle(t.Context(), to("a", false)); !errors.Is(err, os.ErrNotExist) || isFinal(err) {
		t.Errorf("no file: %v", err)
	}
}

func leftovers(t testing.TB, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func TestYAMLIsRefused(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"flags.yaml", "flags.yml", "flags.YAML"} {
		if _, err := New(filepath.Join(folder, name)); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "YAML") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(""); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

func link(t testing.TB, to, from string) {
	t.Helper()
	if err := os.Symlink(to, from); err != nil {
		t.Skip(err)
	}
}

// A ConfigMap's files are links through ..data, which the kubelet turns to
// another folder when the ConfigMap changes.
func TestMountsAreRefused(t *testing.T) {
	folder := t.TempDir()
	version := filepath.Join(folder, "..2026_09_01_12_00_00.1")
	if err := os.Mkdir(version, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(version, "flags.json"), []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	link(t, filepath.Base(version), filepath.Join(folder, "..data"))
	link(t, filepath.Join("..data", "flags.json"), filepath.Join(folder, "flags.json"))
	outside := filepath.Join(t.TempDir(), "flags.json")
	link(t, filepath.Join(folder, "flags.json"), outside)
	for _, path := range []string{filepath.Join(folder, "flags.json"), filepath.Join(folder, "..data", "flags.json"), outside} {
		if _, err := New(path); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "Kubernetes") {
			t.Errorf("%s: %v", path, err)
		}
	}
	// The same once it is running.
	later := filepath.Join(t.TempDir(), "flags.json")
	toggler := newToggler(t, later)
	link(t, filepath.Join(folder, "flags.json"), later)
	if _, err := toggler.Toggle(t.Context(), to("new-checkout", false)); !errors.Is(err, ErrUnsupported) || !isFinal(err) {
		t.Error(err)
	}
	if content(t, later) != sample {
		t.Error("the file was changed")
	}
	loop := filepath.Join(t.TempDir(), "flags.json")
	link(t, loop, loop)
	if _, err := New(loop); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

// A plain link stays one; what it leads to is edited.
func TestLinksAreFollowed(t *testing.T) {
	real := write(t, sample)
	folder := t.TempDir()
	link(t, filepath.Dir(real), filepath.Join(folder, "current"))
	path := filepath.Join(folder, "flags.json")
	link(t, filepath.Join("current", "flags.json"), path)
	if _, err := newToggler(t, path).Toggle(t.Context(), to("new-checkout", false)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone", err)
	}
	if stateOf(t, content(t, real), "new-checkout") != "DISABLED" {
		t.Error("the file is unchanged")
	}
}

func TestModeAndOwnerAreKept(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o664, 0o444} {
		path := write(t, sample)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		root := os.Geteuid() == 0
		if root {
			if err := os.Chown(path, 12345, 54321); err != nil {
				t.Fatal(err)
			}
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newToggler(t, path).Toggle(t.Context(), to("new-checkout", false)); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil || after.Mode() != mode {
			t.Errorf("%v became %v, %v", mode, after.Mode(), err)
		}
		if ownerOf(before) != ownerOf(after) {
			t.Errorf("%s became %s", ownerOf(before), ownerOf(after))
		}
		if os.SameFile(before, after) {
			t.Error("the file was written in place, which a reader can see half done")
		}
	}
}

// What others write between the reading and the rename is kept.
func TestEditsMeanwhileAreKept(t *testing.T) {
	for name, edit := range map[string]func(path, text string) error{
		"in place": func(path, text string) error { return os.WriteFile(path, []byte(text), 0o640) },
		"by rename": func(path, text string) error {
			if err := os.WriteFile(path+".new", []byte(text), 0o640); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	} {
		path := write(t, sample)
		toggler := newToggler(t, path)
		edits := 0
		toggler.beforeRename = func() {
			if edits++; edits <= 3 {
				// The same length, and a time that may be the same.
				if err := edit(path, strings.Replace(content(t, path), `"a":1.50`, fmt.Sprintf(`"a":1.5%d`, edits), 1)); err != nil {
					t.Error(err)
				}
				text := strings.Replace(content(t, path), fmt.Sprintf(`"a":1.5%d`, edits), `"a":1.50`, 1)
				if err := edit(path, strings.Replace(text, `"odd":`, fmt.Sprintf(`"od%d":`, edits), 1)); err != nil {
					t.Error(err)
				}
				if err := edit(path, strings.Replace(content(t, path), fmt.Sprintf(`"od%d":`, edits), `"odd":`, 1)+" "); err != nil {
					t.Error(err)
				}
			}
		}
		was, err := toggler.Toggle(t.Context(), to("new-checkout", false))
		if err != nil || was != killswitch.StateOn || edits != 4 {
			t.Fatalf("%s: %s, %v after %d edits", name, was, err, edits)
		}
		want := strings.Replace(sample, `"state"   :   "ENABLED"`, `"state"   :   "DISABLED"`, 1) + "   "
		if diff := cmp.Diff(want, content(t, path)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		leftovers(t, path)
	}
	path := write(t, sample)
	toggler := newToggler(t, path)
	toggler.beforeRename = func() { _ = os.WriteFile(path, []byte(content(t, path)+" "), 0o640) }
	if _, err := toggler.Toggle(t.Context(), to("new-checkout", false)); !errors.Is(err, ErrBusy) || isFinal(err) {
		t.Errorf("edited all the time: %v", err)
	}
	leftovers(t, path)
}

// manyFlags is a file of n flags that are on.
func manyFlags(n int) string {
	var b bytes.Buffer
	b.WriteString(`{"flags":{`)
	for i := range n {
		fmt.Fprintf(&b, `%s"flag-%d":{"state":"ENABLED"}`, []string{"", ","}[min(i, 1)], i)
	}
	b.WriteString("}}")
	return b.String()
}

// TestTogglersTakeTurns lets several togglers in several processes switch the
// flags of one file at once: each switch is there in the end, and a reader sees
// a whole file at any time.
func TestTogglersTakeTurns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("only togglers of one process take turns")
	}
	const processes, perProcess = 3, 40
	path := write(t, manyFlags(processes*perProcess))
	reading := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-reading:
				return
			default:
				if !json.Valid([]byte(content(t, path))) {
					t.Error("a reader saw half a file")
					return
				}
			}
		}
	})
	var children sync.WaitGroup
	for p := range processes {
		children.Go(func() {
			child := exec.Command(os.Args[0], "-test.run=^TestToggleAsChild$")
			child.Env = append(os.Environ(), "FLAGDFILE_TEST_CHILD="+path, fmt.Sprintf("FLAGDFILE_TEST_RANGE=%d %d", p*perProcess, (p+1)*perProcess))
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	children.Wait()
	close(reading)
	reader.Wait()
	if got, want := content(t, path), strings.ReplaceAll(manyFlags(processes*perProcess), "ENABLED", "DISABLED"); got != want {
		t.Errorf("%d switches were lost", strings.Count(got, `"ENABLED"`))
	}
	leftovers(t, path)
}

// TestToggleAsChild is a process of TestTogglersTakeTurns.
func TestToggleAsChild(t *testing.T) {
	path := os.Getenv("FLAGDFILE_TEST_CHILD")
	if path == "" {
		t.Skip("not a child")
	}
	var from, until int
	if _, err := fmt.Sscan(os.Getenv("FLAGDFILE_TEST_RANGE"), &from, &until); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := from; i < until; i++ {
		toggler := newToggler(t, path)
		all.Go(func() {
			time.Sleep(rand.N(5 * time.Millisecond))
			if _, err := toggler.Toggle(t.Context(), to(fmt.Sprintf("flag-%d", i), false)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestToggleHonoursContext(t *testing.T) {
	path := write(t, sample)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newToggler(t, path).Toggle(ctx, to("new-checkout", false)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if locked, err := lock(file); err != nil || !locked {
		t.Fatal(locked, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := newToggler(t, path).Toggle(ctx, to("new-checkout", false)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	unlock()
	if content(t, path) != sample {
		t.Error("the file was changed")
	}
}

// Check finds what would keep a switch from being made, and changes nothing.
func TestCheck(t *testing.T) {
	path := write(t, sample)
	toggler := newToggler(t, path)
	if err := toggler.Check(t.Context(), killswitch.Target{Flag: "new-checkout"}, killswitch.Target{Flag: "New checkout"}); err != nil {
		t.Error(err)
	}
	err := toggler.Check(t.Context(), killswitch.Target{Flag: "a"}, killswitch.Target{Flag: "new-checkout"}, killswitch.Target{Flag: "stateless"})
	if !errors.Is(err, ErrNotFound) || !errors.Is(err, ErrNoState) {
		t.Error(err)
	}
	if content(t, path) != sample {
		t.Error("the file was changed")
	}
	leftovers(t, path)
	if os.Geteuid() != 0 && runtime.GOOS != "windows" {
		if err := os.Chmod(filepath.Dir(path), 0o500); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Chmod(filepath.Dir(path), 0o700) }()
		if err := toggler.Check(t.Context(), killswitch.Target{Flag: "new-checkout"}); !errors.Is(err, os.ErrPermission) {
			t.Errorf("a folder without the right to write: %v", err)
		}
	}
}

// TestAnotherWritesBackWhatItHadRead has a program that had read the file before
// an edit write its copy after it: the edit is made anew, and what the flag was
// at first is told.
func TestAnotherWritesBackWhatItHadRead(t *testing.T) {
	path := write(t, `{"flags":{"f":{"state":"ENABLED"}},"n":1}`)
	toggler := newToggler(t, path)
	toggler.settle = settle
	stale := content(t, path)
	written := make(chan error, 1)
	var once sync.Once
	toggler.beforeRename = func() {
		once.Do(func() {
			go func() {
				for start := time.Now(); time.Since(start) < 10*time.Second; {
					if now, err := os.ReadFile(path); err == nil && string(now) != stale {
						break
					}
				}
				other := path + ".other"
				written <- errors.Join(os.WriteFile(other, []byte(strings.Replace(stale, `"n":1`, `"n":2`, 1)), 0o640), os.Rename(other, path))
			}()
		})
	}
	was, err := toggler.Toggle(t.Context(), to("f", false))
	if was != killswitch.StateOn || err != nil {
		t.Error(was, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if got := content(t, path); got != `{"flags":{"f":{"state":"DISABLED"}},"n":2}` {
		t.Error(got)
	}
}
