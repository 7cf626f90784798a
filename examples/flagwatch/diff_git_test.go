package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// gitRepository makes a repository in which people edit a flagd file, and
// returns its folder and a function that runs git in it.
func gitRepository(t *testing.T) (folder string, git func(who string, args ...string) string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "GIT_") {
			t.Setenv(name, "") // brings it back in the end
			_ = os.Unsetenv(name)
		}
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	folder = t.TempDir()
	git = func(who string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=" + who, "-c", "user.email=" + who + "@example.com"}, args...)...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("ada", "init", "-q", "-b", "main")
	return folder, git
}

// gitEdits makes three commits, and returns the first and the last.
func gitEdits(t *testing.T, folder string, git func(string, ...string) string) (before, after string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(folder, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	flags := demoFlagd
	for _, edit := range []struct{ who, old, new string }{
		{"ada", "", ""},
		{"bob", `"gift-wrapping": {"state": "ENABLED"`, `"gift-wrapping": {"state": "DISABLED"`},
		{"ada", "@example.com", "@example.org"},
	} {
		flags = strings.Replace(flags, edit.old, edit.new, 1)
		write(t, filepath.Join(folder, "config", "checkout.flagd.json"), flags)
		git(edit.who, "add", "-A")
		git(edit.who, "commit", "-q", "-m", "edit")
		if before == "" {
			before = git(edit.who, "rev-parse", "HEAD")
		}
	}
	return before, git("ada", "rev-parse", "HEAD")
}

const gitPath = "config/checkout.flagd.json"

func TestDiffGit(t *testing.T) {
	folder, git := gitRepository(t)
	before, after := gitEdits(t, folder, git)
	t.Chdir(folder)
	sentry := standIn(t)
	diff := func(env func(string) string, args ...string) (int, string, string) {
		var out, trouble bytes.Buffer
		code := run(t.Context(), append([]string{"diff"}, args...), env, &out, &trouble)
		return code, out.String(), trouble.String()
	}
	code, table, trouble := diff(none, "-git", before+".."+after, "--", gitPath)
	if code != 1 || trouble != "" || strings.Count(table, "\nby bob@example.com\n") != 1 || strings.Count(table, "\nby ada@example.com\n") != 1 {
		t.Errorf("%d: %s%s", code, table, trouble)
	}
	code, listed, _ := diff(none, "-json", "-git", before+".."+after, gitPath)
	var log logJSON
	if err := json.Unmarshal([]byte(listed), &log); code != 1 || err != nil || log.Commits != 2 || len(log.Sets) != 2 ||
		log.Sets[0].Changes[0].Author != (authorJSON{"bob@example.com", "email"}) || log.Sets[0].Changes[0].Fields[0].New != "off" {
		t.Errorf("%d: %s, %v", code, listed, err)
	}
	if code, table, _ := diff(none, "-git", after+".."+after, "--", gitPath); code != 0 || table != "no change in 0 commits\n" {
		t.Errorf("%d: %s", code, table)
	}
	zeros := strings.Repeat("0", 40)
	if code, _, trouble := diff(none, "-git", zeros+".."+after, "--", gitPath); code != 0 || !strings.Contains(trouble, "the branch is new") {
		t.Errorf("%d: %s", code, trouble)
	}
	for reason, args := range map[string][]string{
		"usage":       {"-git", before + ".." + after},
		"two dots":    {"-git", before + "..." + after, "--", gitPath},
		"is empty":    {"-git", ".." + after, "--", gitPath},
		"no such":     {"-git", "nobody..HEAD", "--", gitPath},
		"nothing of":  {"-git", "HEAD~..HEAD", "--", "checkout.flagd.json"},
		"-send":       {"-send", gitPath, gitPath},
		"must be set": {"-send", "-git", "HEAD~..HEAD", "--", gitPath},
	} {
		if code, _, trouble := diff(none, args...); code != 2 || !strings.Contains(trouble, reason) {
			t.Errorf("%s: %d, %s", reason, code, trouble)
		}
	}

	// With a token the same is reported once, and again without one.
	env := environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret, "SENTRY_FLAGS_READ_TOKEN", sentry.Token())
	send := []string{"-send", "-git", before + ".." + after, "--", gitPath}
	for _, want := range []string{"2 changes sent, 0 there already, 0 refused", "0 changes sent, 2 there already, 0 refused"} {
		if code, out, trouble := diff(env, send...); code != 0 || !strings.Contains(out, want) || trouble != "" {
			t.Errorf("%d: %s%s", code, out, trouble)
		}
	}
	if all := sentry.Changes(); len(all) != 2 || all[0].CreatedBy != (webhook.Author{ID: "bob@example.com", Type: webhook.AuthorEmail}) {
		t.Error(all)
	}
	env = environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret)
	if code, out, trouble := diff(env, append([]string{"-json"}, send...)...); code != 0 || !strings.Contains(out, `"sent": 2`) || !strings.Contains(trouble, "reports the same changes again") {
		t.Errorf("%d: %s%s", code, out, trouble)
	}
	env = environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret, "SENTRY_FLAGS_READ_TOKEN", "sntrys_wrong")
	if code, _, trouble := diff(env, send...); code != 2 || !strings.Contains(trouble, "org:read") || strings.Contains(trouble, "sntrys_") {
		t.Errorf("%d: %s", code, trouble)
	}

	// What is broken now turns a job red, and what was before is sent.
	write(t, filepath.Join(folder, gitPath), "{")
	git("ada", "commit", "-q", "-am", "broken")
	if code, out, trouble := diff(none, "-git", before+"..HEAD", "--", gitPath); code != 2 || !strings.Contains(out, "gift-wrapping") || !strings.Contains(trouble, "as they are now") {
		t.Errorf("%d: %s%s", code, out, trouble)
	}
}

// TestDiffGitRefused has a flag that Sentry does not take.
func TestDiffGitRefused(t *testing.T) {
	folder, git := gitRepository(t)
	write(t, filepath.Join(folder, "flags.json"), `{"flags":{}}`)
	git("ada", "add", "-A")
	git("ada", "commit", "-q", "-m", "base")
	write(t, filepath.Join(folder, "flags.json"), fmt.Sprintf(`{"flags":{%q:{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a"},"b":{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a"}}}`, strings.Repeat("x", 300)))
	git("ada", "commit", "-q", "-am", "two")
	t.Chdir(folder)
	sentry := standIn(t)
	var out, trouble bytes.Buffer
	code := run(t.Context(), []string{"diff", "-send", "-git", "HEAD~..HEAD", "--", "flags.json"}, environment(sentry, "SENTRY_FLAGS_WEBHOOK_SECRET", sentrySecret), &out, &trouble)
	if code != 2 || !strings.Contains(out.String(), "1 change sent, 0 there already, 1 refused") || !strings.Contains(trouble.String(), "does not take: 1") {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
}

// readmeYAML returns the README's block of YAML that has such a line.
func readmeYAML(t *testing.T, line string) string {
	t.Helper()
	content, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(content), -1) {
		if strings.Contains("\n"+match[1], "\n"+line+"\n") {
			return match[1]
		}
	}
	t.Fatalf("the README has no block of YAML with %q", line)
	return ""
}

// TestReadmePipelines runs the commands of the README's jobs in a checkout as the
// job would have it, for a push, for the same once more, for a push by force and
// for a new branch.
func TestReadmePipelines(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	var github struct {
		Jobs map[string]struct {
			Steps []struct {
				Run  string
				Env  map[string]string
				With map[string]any
			}
		}
	}
	var gitlab map[string]struct {
		Script    []string
		Variables map[string]any
	}
	for line, into := range map[string]any{"    runs-on: ubuntu-latest": &github, "  image: golang:1.26": &gitlab} {
		if err := yaml.Unmarshal([]byte(readmeYAML(t, line)), into); err != nil {
			t.Fatal(err)
		}
	}
	steps := github.Jobs["flag-log"].Steps
	if steps[0].With["fetch-depth"] != 0 || gitlab["flag-log"].Variables["GIT_DEPTH"] != 0 {
		t.Error("a shallow clone")
	}
	job := gitlab["flag-log"].Script
	jobs := map[string]struct{ install, script string }{
		"github": {steps[2].Run, steps[3].Run},
		"gitlab": {job[0], strings.Join(job[1:], "\n")},
	}
	if want := []string{"BEFORE", "AFTER", "SENTRY_FLAGS_WEBHOOK_URL", "SENTRY_FLAGS_WEBHOOK_SECRET", "SENTRY_FLAGS_READ_TOKEN"}; len(steps[3].Env) != len(want) {
		t.Error(steps[3].Env)
	}
	bin := t.TempDir()
	self, err := os.Executable() // which TestMain makes the program
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "flagwatch")); err != nil {
		t.Skip(err)
	}
	for title, job := range jobs {
		if !strings.HasPrefix(job.install, "go install ") || !strings.Contains(job.install, "/examples/flagwatch@") {
			t.Error(job.install)
		}
		origin, git := gitRepository(t)
		git("ada", "config", "uploadpack.allowAnySHA1InWant", "true")
		before, after := gitEdits(t, origin, git)
		sentry := standIn(t)
		push := func(before, after string) (string, error) {
			checkout := filepath.Join(t.TempDir(), "checkout")
			git("ada", "clone", "-q", "file://"+filepath.ToSlash(origin), checkout)
			cmd := exec.Command(bash, "-e", "-c", job.script)
			cmd.Dir = checkout
			cmd.Env = append(os.Environ(), "FLAGWATCH_TEST_CHILD=1", "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
				"BEFORE="+before, "AFTER="+after, "CI_COMMIT_BEFORE_SHA="+before, "CI_COMMIT_SHA="+after,
				"SENTRY_FLAGS_WEBHOOK_URL="+sentry.URL(), "SENTRY_FLAGS_WEBHOOK_SECRET="+sentrySecret, "SENTRY_FLAGS_READ_TOKEN="+sentry.Token())
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		for _, want := range []string{"2 changes sent", "0 changes sent, 2 there"} {
			if out, err := push(before, after); err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v: %s", title, err, out)
			}
		}
		git("ada", "reset", "-q", "--hard", before)
		if out, err := push(after, before); err != nil || !strings.Contains(out, "2 changes sent") || !strings.Contains(out, "pushed by force") {
			t.Errorf("%s: by force: %v: %s", title, err, out)
		}
		if out, err := push(strings.Repeat("0", 40), before); err != nil || !strings.Contains(out, "the branch is new") {
			t.Errorf("%s: new: %v: %s", title, err, out)
		}
		if out, err := push("", before); err == nil || !strings.Contains(out, "is empty") {
			t.Errorf("%s: no push: %v: %s", title, err, out)
		}
	}
}

// TestReadmeKubernetes parses the manifests, and checks the configuration in them
// as the container would.
func TestReadmeKubernetes(t *testing.T) {
	decoder := yaml.NewDecoder(strings.NewReader(readmeYAML(t, "kind: Deployment")))
	var config struct{ Data map[string]string }
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Args []string
						Env  []struct{ Name, Value string }
					}
				}
			}
		}
	}
	if err := decoder.Decode(&config); err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(&deployment); err != nil {
		t.Fatal(err)
	}
	container := deployment.Spec.Template.Spec.Containers[0]
	folder := t.TempDir()
	here := strings.NewReplacer("/etc/", folder+"/", "/data/", folder+"/")
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = here.Replace(variable.Value)
	}
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()
	if url := env["SENTRY_FLAGS_WEBHOOK_URL"]; !strings.HasSuffix(url, sentry.Path()) {
		t.Error(url)
	}
	env["SENTRY_FLAGS_WEBHOOK_URL"] = sentry.URL()
	for name, content := range map[string]string{
		"flagwatch/flagwatch.json": here.Replace(config.Data["flagwatch.json"]), "flags/checkout.flagd.json": demoFlagd,
		"secrets/flags-webhook-secret": webhooktest.DefaultSecret + "\n",
	} {
		if err := os.MkdirAll(filepath.Join(folder, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, name), content)
	}
	var out, trouble bytes.Buffer
	args := append([]string{"-check"}, container.Args...)
	for i := range args {
		args[i] = here.Replace(args[i])
	}
	if code := run(t.Context(), args, func(name string) string { return env[name] }, &out, &trouble); code != 0 || strings.Count(out.String(), "ok ") != 3 {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
}
