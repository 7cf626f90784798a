package readme

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each block of Go code in the README is, line by line, what stands between the
// markers in one of the tests here.
func TestREADME(t *testing.T) {
	const readme = "../../README.md"
	content, err := os.ReadFile(readme)
	if os.IsNotExist(err) {
		t.Skip("no README here: this is not the whole checkout")
	}
	if err != nil {
		t.Fatal(err)
	}
	shown := goBlock.FindAllStringSubmatch(string(content), -1)
	run := snippets(t)
	if len(shown) != len(run) {
		t.Errorf("the README has %d blocks of Go, the tests have %d", len(shown), len(run))
	}
	for _, block := range shown {
		if !slices.Contains(slices.Collect(maps.Values(run)), block[1]) {
			t.Errorf("no test runs this block of the README; the closest is (-test +README):\n%s",
				cmp.Diff(closest(run, block[1]), block[1]))
		}
	}
}

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

var region = regexp.MustCompile(`(?ms)^\t+// README\n(.*?)^\t+// end of README$`)

// snippets returns the text between the markers by file, without its
// indentation.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if match := region.FindStringSubmatch(string(content)); match != nil {
			found[file] = unindent(match[1])
		}
	}
	return found
}

func unindent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimPrefix(line, "\t"))
	}
	return b.String()
}

// closest returns the snippet that begins like the text.
func closest(snippets map[string]string, text string) string {
	best, length := "", -1
	for _, snippet := range snippets {
		n := 0
		for n < min(len(snippet), len(text)) && snippet[n] == text[n] {
			n++
		}
		if n > length {
			best, length = snippet, n
		}
	}
	return best
}
