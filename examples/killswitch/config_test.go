package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

const treasure = "f00dface-treasure"

func secretsEnv(more ...string) func(string) string {
	return envOf(append([]string{"VWO_TOKEN=" + treasure, "SENTRY_CLIENT_SECRET=" + treasure + "-client"}, more...)...)
}

func TestExampleConfiguration(t *testing.T) {
	c, err := readConfig("killswitch.json", secretsEnv())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := c.rules()
	if err != nil || len(rules) != 2 || time.Duration(c.MaxAge) != 15*time.Minute || !c.DryRun {
		t.Fatalf("%+v, %v", c.fileConfig, err)
	}
	if want := "new_checkout environment=101"; rules[0].Target.String() != want || rules[0].SwitchOn {
		t.Errorf("%+v", rules[0])
	}
	for i, rule := range rules {
		if warnings := rule.Warnings(); len(warnings) > 0 {
			t.Errorf("rule %d: %v", i+1, warnings)
		}
	}
	if rules[1].Evaluated != killswitch.EvaluatedOn {
		t.Errorf("%+v", rules[1])
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		``:                          "EOF",
		`{`:                         "EOF",
		`{} {}`:                     "after top-level value",
		`{"token": "x"}`:            "unknown object member",
		`{"rules":[],"rules":[]}`:   "duplicate",
		`{"Rules":[]}`:              "unknown object member",
		`{"max_age": "soon"}`:       "duration",
		`{"max_age": 15}`:           "max_age",
		`{"path": "sentry"}`:        "slash",
		`{"path": "/healthz"}`:      "healthz",
		`{"path": "/metrics"}`:      "metrics",
		`{"path": "/{id"}`:          "braces",
		`{"path": "/a b"}`:          "spaces",
		`{"path": "//sentry"}`:      "empty part",
		`{"path": "/a/../sentry"}`:  "empty part",
		`{"path": "/sentry?a=b"}`:   "query",
		`{"path": "/sentry#a"}`:     "query",
		`{"rules": [{"allert":1}]}`: "unknown object member",
		`{"togglers": {"x": {"vwo": {"token": "t"}}}}`: "unknown object member",
	} {
		_, err := readConfig(fileOf(t, "c.json", content), secretsEnv())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	for _, path := range []string{"/", "/sentry/", "/a/b", "/sentrý", "/healthz/x"} {
		if _, err := readConfig(fileOf(t, "c.json", fmt.Sprintf(`{"path": %q}`, path)), secretsEnv()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	vwo := `{"v": {"vwo": {}}}`
	off := `"switch_off":{"flag":"f","environment":"e"}`
	for content, want := range map[string]string{
		`"togglers":` + vwo + `,"rules":[]`:                                                                         "Rules must not be empty",
		`"togglers":{},"rules":[{"alert":"a","project":"p",` + off + `}]`:                                           "Togglers must not be empty",
		`"togglers":{"v":{}},"rules":[{"alert":"a","project":"p",` + off + `}]`:                                     "one of",
		`"togglers":{"v":{"vwo":{},"flagd-file":{"path":"x"}}}`:                                                     "one of",
		`"togglers":{"v":{"flagd-file":{"path":"flags.yaml"}}}`:                                                     "togglers.v",
		`"togglers":{"v":{"http":{"method":"PUT","url":"http://example.com"}}}`:                                     "togglers.v",
		`"togglers":` + vwo + `,"rules":[{"alert":"a","project":"p"}]`:                                              "switch_off and switch_on",
		`"togglers":` + vwo + `,"rules":[{"alert":"a",` + off + `}]`:                                                "Project",
		`"togglers":` + vwo + `,"rules":[{"alert":"a","project":"p",` + off + `,"switch_on":{"flag":"f"}}]`:         "switch_off and switch_on",
		`"togglers":` + vwo + `,"rules":[{"alert":"a","project":"p","switch_on":{"flag":"f","environment":"e"}}]`:   "When: it must be set",
		`"togglers":` + vwo + `,"rules":[{"alert":"a","project":"p","when":["metric_alert.resolved"],` + off + `}]`: "switches off",
		`"togglers":` + vwo + `,"rules":[{"alert":"a","project":"p","switch_off":{"flag":"f"}}]`:                    "environment",
		`"togglers":` + vwo + `,"rules":[{"alert":"a","project":"p","toggler":"other",` + off + `}]`:                "there is none called",
	} {
		c, err := readConfig(fileOf(t, "c.json", `{`+content+`}`), secretsEnv())
		if err != nil {
			t.Fatal(content, err)
		}
		if _, err := newService(t.Context(), c, options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// TestTogglersByConfiguration makes one of each kind.
func TestTogglersByConfiguration(t *testing.T) {
	recipe, err := os.ReadFile("recipes/unleash.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("UNLEASH_TOKEN", treasure)
	c, err := readConfig(fileOf(t, "c.json", `{"togglers":{"vwo":{"vwo":{}},"file":{"flagd-file":{"path":"flags.json"}},"unleash":{"http":`+string(recipe)+`}}}`), secretsEnv())
	if err != nil {
		t.Fatal(err)
	}
	togglers, err := c.togglers(false)
	if err != nil || len(togglers) != 3 {
		t.Fatalf("%v, %v", togglers, err)
	}
}

func TestSecretsComeFromEnvironmentOrFiles(t *testing.T) {
	file := fileOf(t, "token", treasure+"\n")
	s, err := readSecrets(envOf("SENTRY_CLIENT_SECRET=a", "SENTRY_CLIENT_SECRET_PREVIOUS=b",
		"SENTRY_FLAGS_WEBHOOK_URL=https://sentry.io/x", "SENTRY_FLAGS_WEBHOOK_SECRET_FILE="+file, "KILLSWITCH_HEADER_VALUE=x", "SENTRY_DSN=https://"+treasure+"@sentry.io/1",
		"KILLSWITCH_DATABASE_URL=postgres://u:"+treasure+"@h/d"))
	if err != nil || len(s.clientSecrets) != 2 || len(s.flagsSecrets) != 1 || len(s.headerValues) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	out := fmt.Sprintf("%v %+v %#v", s, s, s)
	if encoded, err := json.Marshal(any(s)); err == nil { //nolint:staticcheck // SA9005: that nothing is encoded is what is tested
		out += string(encoded)
	}
	if strings.Contains(out, "f00dface") {
		t.Errorf("a secret shows in %s", out)
	}
	for want, env := range map[string]func(string) string{
		"exclude each other":      envOf("SENTRY_CLIENT_SECRET=a", "SENTRY_CLIENT_SECRET_FILE="+file),
		"SENTRY_CLIENT_SECRET_FI": envOf("SENTRY_CLIENT_SECRET_FILE=missing"),
		"is empty":                envOf("SENTRY_CLIENT_SECRET_FILE=" + fileOf(t, "empty", "\n")),
		"must be set together":    secretsEnv("SENTRY_FLAGS_WEBHOOK_URL=https://sentry.io/x"),
	} {
		if _, err := readSecrets(env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, env := range map[string]func(string) string{
		"VWO_TOKEN or":            envOf("SENTRY_CLIENT_SECRET=a"),
		"SENTRY_CLIENT_SECRET or": envOf("VWO_TOKEN=a"),
	} {
		c, err := readConfig("killswitch.json", env)
		if err != nil {
			t.Fatal(err)
		}
		c.Store = ""
		if _, err := newService(t.Context(), c, options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestDatabaseErrorsShowNoPassword(t *testing.T) {
	for _, address := range []string{
		"postgres://u:" + treasure + "@127.0.0.1:1/d?connect_timeout=1", "postgres://u:" + treasure + "@[", treasure,
	} {
		c, err := readConfig("killswitch.json", secretsEnv("KILLSWITCH_DATABASE_URL="+address))
		if err != nil {
			t.Fatal(err)
		}
		c.Store = ""
		if _, err := newParts(t.Context(), c, options{}); err == nil || strings.Contains(err.Error(), "f00dface") {
			t.Errorf("%v", err)
		}
		// A service starts without its database, and says so.
		var log lines
		s, err := newService(t.Context(), c, options{logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			err = errors.Join(errors.New("it has started"), s.close(t.Context()))
		}
		if text := err.Error() + log.String(); strings.Contains(text, "f00dface") || !strings.Contains(text, "cannot be") {
			t.Error(text)
		}
	}
}
