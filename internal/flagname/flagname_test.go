package flagname

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// nameVector is one line of testdata/names.json, which the webhook package is tested against too. Bytes (base64)
// holds a name that JSON cannot carry because it is not UTF-8; Name is then only for the reader.
type nameVector struct {
	Name    string `json:"name"`
	Bytes   string `json:"bytes,omitempty"`
	Legal   bool   `json:"legal"`
	Cleaned string `json:"cleaned"`
}

func (v nameVector) raw(t testing.TB) string {
	t.Helper()
	if v.Bytes == "" {
		return v.Name
	}
	b, err := base64.StdEncoding.DecodeString(v.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func nameVectors(t testing.TB) []nameVector {
	t.Helper()
	b, err := os.ReadFile("../../testdata/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []nameVector
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) == 0 {
		t.Fatal("no names")
	}
	return vs
}

// ingestion is Relay's rule in its own notation.
var ingestion = regexp.MustCompile(`^[a-zA-Z0-9_.:-]{1,200}$`)

func TestVectors(t *testing.T) {
	seen := map[string]string{}
	for _, v := range nameVectors(t) {
		name := v.raw(t)
		if got := Legal(name); got != v.Legal {
			t.Errorf("Legal(%q) = %t, want %t", name, got, v.Legal)
		}
		if got := ingestion.MatchString(name); got != v.Legal {
			t.Errorf("the file says legal = %t of %q, ingestion's rule says %t", v.Legal, name, got)
		}
		got := Shown(name)
		if got != v.Cleaned {
			t.Errorf("Shown(%q) = %q, want %q", name, got, v.Cleaned)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q both become %q", other, name, got)
		}
		seen[got] = name
	}
}

func FuzzShown(f *testing.F) {
	for _, v := range nameVectors(f) {
		f.Add(v.raw(f))
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := Shown(name)
		switch {
		case name == "":
			if got != "" {
				t.Fatalf("Shown of nothing = %q", got)
			}
		case !ingestion.MatchString(got):
			t.Fatalf("Shown(%q) = %q, which ingestion deletes", name, got)
		case ingestion.MatchString(name) != (got == name):
			t.Fatalf("Shown(%q) = %q", name, got)
		case Shown(got) != got:
			t.Fatalf("Shown of %q again gives %q", got, Shown(got))
		}
	})
}

func TestKeepsApart(t *testing.T) {
	long := strings.Repeat("x", 250)
	seen := map[string]string{}
	for _, name := range []string{"my flag", "my/flag", "my_flag", "my\tflag", long + "1", long + "2", long[:200], "é", "è"} {
		got := Shown(name)
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q both become %q", other, name, got)
		}
		seen[got] = name
	}
}

// Each byte alone is judged as ingestion judges it.
func TestEveryByte(t *testing.T) {
	for c := range 256 {
		name := string([]byte{byte(c)})
		if got, want := Legal(name), ingestion.MatchString(name); got != want {
			t.Errorf("Legal(%q) = %t, want %t", name, got, want)
		}
	}
}
