package visible_test

import (
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "": "", "grün 漢字 👍": "grün 漢字 👍", "a\u202eb": `a\u202eb`, "a\nb\tc": `a\u000ab\u0009c`, "\xffa": `\xffa`, "a\u2028b\u200b": `a\u2028b\u200b`, "a\u2029": `a\u2029`, "\u202eb": `\u202eb`,
		"\ufffd": "\ufffd", "\ufffd\n": "\ufffd\\u000a", "nb\u00a0sp": "nb\u00a0sp", "e\u0301": "e\u0301",
	} {
		if got := visible.Text(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := visible.Cut(strings.Repeat("ä", 600), 500); got != strings.Repeat("ä", 500)+"…" {
		t.Errorf("%d bytes", len(got))
	}
	if got := visible.Cut("äö", 2); got != "äö" {
		t.Errorf("%q", got)
	}
}

func TestFirst(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{{"", 0, ""}, {"ä", 0, ""}, {"äöü", 2, "äö"}, {"äöü", 3, "äöü"}, {"äöü", 4, "äöü"}, {"abc", 3, "abc"}, {"\xff\xffa", 2, "\xff\xff"}} {
		if got := visible.First(test.text, test.n); got != test.want {
			t.Errorf("%d of %q are %q, want %q", test.n, test.text, got, test.want)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                  `"plain"`,
		"a\n\u202e\"é\xff":       `"a\n\u202e\"\u00e9\xff"`,
		strings.Repeat("x", 100): `"` + strings.Repeat("x", 100) + `"`,
		strings.Repeat("x", 101): `"` + strings.Repeat("x", 100) + `"…`,
	} {
		if got := visible.Quote(text); got != want {
			t.Errorf("%q is quoted as %s, want %s", text, got, want)
		}
	}
}
