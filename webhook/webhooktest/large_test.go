package webhooktest_test

import (
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Ten megabytes of whatever are judged as the few bytes would be.
func TestLargeBodies(t *testing.T) {
	const size = 10 << 20
	s := newServer(t, webhooktest.Config{})
	for name, test := range map[string]struct {
		body   string
		status int
		answer string
	}{
		"a long flag":    {flagged(strings.Repeat("x", size)), 200, `{"data":{"0":{"flag":["Ensure`},
		"a long field":   {strings.Replace(hello, `"flag"`, `"more":"`+strings.Repeat("x", size)+`","flag"`, 1), 200, ""},
		"deep nesting":   {strings.Repeat("[", size), 400, `{"detail":"JSON parse error - `},
		"white space":    {strings.Repeat(" ", size), 400, `{"detail":"JSON parse error - `},
		"over the limit": {strings.Repeat(" ", 2*size+1), 413, "<html>"},
	} {
		response, answer, err := send(s, signed(t, s, test.body))
		if err != nil || response.StatusCode != test.status || !strings.HasPrefix(answer, test.answer) || test.answer == "" && answer != "" {
			t.Errorf("%s: %v %.200s %v", name, response, answer, err)
		}
	}
	if n := len(s.Changes()); n != 1 {
		t.Errorf("%d changes stored, want 1", n)
	}
}
