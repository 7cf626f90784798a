package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Who follows the README has a module of their own and nothing but what its
// commands get there: each section's lines are pasted, compiled and run in one.
// It needs a module proxy that has this checkout as a release, which .ci/run
// makes.
func TestStranger(t *testing.T) {
	if os.Getenv("SENTRYFLAGS_TEST_STRANGER") == "" {
		t.Skip("SENTRYFLAGS_TEST_STRANGER is not set: .ci/run sets it, with a GOPROXY that has the modules")
	}
	run := snippets(t)
	pasted := 0
	for _, section := range strings.Split(read(t, "README.md"), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		var paste []string
		for _, block := range goBlock.FindAllStringSubmatch(section, -1) {
			for file, snippet := range run {
				if snippet == block[1] {
					paste = append(paste, file)
				}
			}
		}
		if len(paste) > 0 {
			pasted += len(paste)
			t.Run(title, func(t *testing.T) { follow(t, section, paste) })
		}
	}
	if pasted != len(run) {
		t.Errorf("%d of the README's blocks were run, of %d", pasted, len(run))
	}
}

var goGet = regexp.MustCompile("go get [^\n`]+")

// follow does what a section says, in a new module.
func follow(t *testing.T, section string, paste []string) {
	t.Helper()
	dir := t.TempDir()
	command(t, dir, "go", "mod", "init", "example.com/stranger")
	forTest := false
	for _, file := range paste {
		content := read(t, "examples/readme/"+file)
		forTest = forTest || strings.Contains(content, module+"/webhook/webhooktest")
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range goGet.FindAllString(section, -1) {
		command(t, dir, strings.Fields(line)...)
	}
	if forTest { // the lines do without it
		command(t, dir, "go", "get", module+"/webhook/webhooktest")
	}
	t.Logf("%s", command(t, dir, "go", "test", "-count=1", "./..."))
}

// command runs a command in a folder and returns what it prints.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Dir = dir
	// With -mod=mod Go would get by itself what a reader has to be told to get.
	c.Env = append(os.Environ(), "GOFLAGS="+strings.ReplaceAll(os.Getenv("GOFLAGS"), "-mod=mod", ""))
	output, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}
