package visible_test

import (
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `""`,
		"Checkout \"failing\"\n": `"Checkout \"failing\"\n"`,
		"caf\u00e9 \u202e":       `"caf\u00e9 \u202e"`,
		"\xff":                   `"\xff"`,
		strings.Repeat("é", 101): `"` + strings.Repeat(`\u00e9`, 100) + `"…`,
		strings.Repeat("é", 100): `"` + strings.Repeat(`\u00e9`, 100) + `"`,
	} {
		if got := visible.Quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for n, want := range []string{"", "é", "éa", "éa"} {
		if got := visible.First("éa", n); got != want {
			t.Errorf("first %d: %q", n, got)
		}
	}
}
