package visible_test

import (
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "": "", "grün 漢字 👍": "grün 漢字 👍", "a\u202eb": `a\u202eb`, "a\nb\tc": `a\u000ab\u0009c`, "\xffa": `\xffa`, "a\u2028b\u200b": `a\u2028b\u200b`,
		"\ufffd": "\ufffd", "nb\u00a0sp": "nb\u00a0sp", "e\u0301": "e\u0301",
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
