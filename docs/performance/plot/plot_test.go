package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

const root = "../../.."

// The page and the plots are what comes of the recorded output.
func TestPageAndPlotsAreCurrent(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("another processor may round otherwise")
	}
	files, err := everything("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what docs/performance/plot makes of bench.txt: run it", name)
		}
	}
}

// Each plot is on the page for light and for dark, and no other file lies there.
func TestPageShowsEachPlot(t *testing.T) {
	page := read(t, root+"/docs/performance.md")
	drawn := map[string]bool{}
	for _, f := range plots {
		for _, look := range looks {
			name := f.file + look.suffix + ".svg"
			drawn[name] = true
			if !strings.Contains(page, `="performance/`+name+`"`) {
				t.Errorf("the page does not show %s", name)
			}
		}
	}
	found, err := filepath.Glob("../*.svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if !drawn[filepath.Base(path)] {
			t.Errorf("nothing draws %s", path)
		}
	}
}

// What the page and the bars name exists: a test or a benchmark of another name
// would leave a figure that nothing shows any more.
func TestNamesExist(t *testing.T) {
	names := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(read(t, root+"/docs/performance.md"), -1)
	if len(names) < 10 {
		t.Fatalf("the page names %d tests only", len(names))
	}
	declared := testFunctions(t)
	for _, name := range names {
		if !declared[name[1]] {
			t.Errorf("the page names %s, which does not exist", name[1])
		}
	}
	for _, b := range bars {
		name, _, _ := strings.Cut(b.benchmark, "/")
		if !declared["Benchmark"+name] {
			t.Errorf("a bar is of Benchmark%s, which does not exist", name)
		}
	}
}

// testFunctions returns the names of all tests and benchmarks there are.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == ".cache" {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, match := range function.FindAllStringSubmatch(read(t, path), -1) {
			declared[match[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		bar   bar
		ratio float64
		want  string
	}{
		{bar{bar: 1.8}, 1.8, "met"},
		{bar{bar: 2}, 2.5, "**missed**, by 25 %"},
		{bar{bar: 8, least: true}, 8, "met"},
		{bar{bar: 8, least: true}, 4, "**missed**, by 100 %"},
		{bar{}, 3, ""},
	} {
		if got := c.bar.verdict(measured{median: c.ratio}); got != c.want {
			t.Errorf("%v, limit %v: %q, want %q", c.ratio, c.bar.bar, got, c.want)
		}
	}
}

func TestResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.txt")
	recorded := `cores: 2
goos: linux
BenchmarkHook/span-2   100   900 ns/op   1.3 xNoop   9 B/op
--- BENCH: BenchmarkHook/span-2
    hook_test.go:7: what it has to say
BenchmarkHook/span-2   100   700 ns/op   1.1 xNoop   9 B/op
BenchmarkHook/span-2   100   800 ns/op   1.2 xNoop   9 B/op
PASS
`
	if err := os.WriteFile(path, []byte(recorded), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.of("Hook/span", "xNoop"); err != nil || got != (measured{1.2, 1.1, 1.3}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := r.of("Hook/span", perOp); err != nil || duration(got.median) != "800ns" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := r.of("Hook/nospan", "xNoop"); err == nil {
		t.Errorf("%v of what was not recorded", got)
	}
	if got := r.machine(); !strings.Contains(got, "| cores | 2 |") {
		t.Error(got)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
