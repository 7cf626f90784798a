package killswitch_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// TestMetricsInDocs wants every number of the relay in the table of numbers and
// alarms, and each series that an alarm counts from the start on.
func TestMetricsInDocs(t *testing.T) {
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var flags switches
	relay := newRelay(t, killswitch.Config{Rules: ruled("f"), Togglers: by(&flags), Store: newStore(t)})
	_, text := get(relay.ServeMetrics)
	closed(t, relay)
	there := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (killswitch_\w+) `).FindAllStringSubmatch(text, -1) {
		there[found[1]] = true
		if !strings.Contains(string(docs), "`"+found[1]+"`") {
			t.Errorf("docs/metrics.md does not have %s", found[1])
		}
	}
	for _, found := range regexp.MustCompile(`killswitch_\w+`).FindAllString(string(docs), -1) {
		if !there[found] {
			t.Errorf("docs/metrics.md has %s, which there is not", found)
		}
	}
	for _, found := range regexp.MustCompile(`reason="([^"]+)"`).FindAllStringSubmatch(string(docs), -1) {
		if !strings.Contains(text, `,reason="`+found[1]+`"} 0`) {
			t.Errorf("nothing counts %q from the start on, so that its first increase is not seen", found[1])
		}
	}
	source, err := os.ReadFile("decide.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`Reason = "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		if n := strings.Count(text, `,reason="`+found[1]+`"} 0`); n != 1 {
			t.Errorf("%q is counted under %d verdicts", found[1], n)
		}
	}
}
