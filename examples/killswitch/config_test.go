package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/vwo"
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
		t.Errorf("%+v, %v", c.fileConfig, err)
	}
	if want := (vwo.Target{Environment: "production", Feature: "new_checkout"}); rules[0].Target != want || rules[0].SwitchOn {
		t.Errorf("%+v", rules[0])
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		``:                          "EOF",
		`{`:                         "EOF",
		`{} {}`:                     "more than one",
		`{"token": "x"}`:            "unknown field",
		`{"vwo": {"token": "x"}}`:   "unknown field",
		`{"max_age": "soon"}`:       "duration",
		`{"max_age": 15}`:           "max_age",
		`{"path": "sentry"}`:        "slash",
		`{"path": "/healthz"}`:      "healthz",
		`{"path": "/{id"}`:          "braces",
		`{"path": "/a b"}`:          "spaces",
		`{"rules": [{"allert":1}]}`: "unknown field",
	} {
		_, err := readConfig(fileOf(t, "c.json", content), secretsEnv())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	if _, err := readConfig("missing.json", secretsEnv()); err == nil {
		t.Error("a missing file was taken")
	}
	for rules, want := range map[string]string{
		`[]`:                            "Rules must not be empty",
		`[{"alert":"a","project":"p"}]`: "Rules[0].Target",
		`[{"alert":"a","switch_off":{"environment":"e","feature":"f"}}]`:                                                             "Rules[0].Project",
		`[{"alert":"a","project":"p","switch_off":{"environment":"e","feature":"f"},"switch_on":{"environment":"e","feature":"f"}}]`: "exclude",
		`[{"alert":"a","project":"p","switch_on":{"environment":"e","feature":"f"}}]`:                                                "When: it must be set",
		`[{"alert":"a","project":"p","when":["metric_alert.resolved"],"switch_off":{"environment":"e","feature":"f"}}]`:              "switches off",
	} {
		c, err := readConfig(fileOf(t, "c.json", `{"rules":`+rules+`}`), secretsEnv())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newService(t.Context(), c, options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rules, err)
		}
	}
}

func TestSecretsComeFromEnvironmentOrFiles(t *testing.T) {
	file := fileOf(t, "token", treasure+"\n")
	s, err := readSecrets(envOf("VWO_TOKEN_FILE="+file, "SENTRY_CLIENT_SECRET=a", "SENTRY_CLIENT_SECRET_PREVIOUS=b",
		"SENTRY_FLAGS_WEBHOOK_URL=https://sentry.io/x", "SENTRY_FLAGS_WEBHOOK_SECRET_FILE="+file, "KILLSWITCH_HEADER_VALUE=x", "SENTRY_DSN=https://"+treasure+"@sentry.io/1",
		"KILLSWITCH_DATABASE_URL=postgres://u:"+treasure+"@h/d"))
	if err != nil || s.vwoToken.IsZero() || len(s.clientSecrets) != 2 || len(s.flagsSecrets) != 1 || len(s.headerValues) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	out := fmt.Sprintf("%v %+v %#v", s, s, s)
	if encoded, err := json.Marshal(config{secrets: s}); err == nil {
		out += string(encoded)
	}
	if strings.Contains(out, "f00dface") {
		t.Errorf("a secret shows in %s", out)
	}
	for want, env := range map[string]func(string) string{
		"VWO_TOKEN or":            envOf("SENTRY_CLIENT_SECRET=a"),
		"SENTRY_CLIENT_SECRET or": envOf("VWO_TOKEN=a"),
		"exclude each other":      envOf("VWO_TOKEN=a", "VWO_TOKEN_FILE="+file, "SENTRY_CLIENT_SECRET=a"),
		"VWO_TOKEN_FILE":          envOf("VWO_TOKEN_FILE=missing", "SENTRY_CLIENT_SECRET=a"),
		"is empty":                envOf("VWO_TOKEN_FILE="+fileOf(t, "empty", "\n"), "SENTRY_CLIENT_SECRET=a"),
		"must be set together":    secretsEnv("SENTRY_FLAGS_WEBHOOK_URL=https://sentry.io/x"),
	} {
		if _, err := readSecrets(env); err == nil || !strings.Contains(err.Error(), want) {
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
		if _, err := newService(t.Context(), c, options{}); err == nil || strings.Contains(err.Error(), "f00dface") {
			t.Errorf("%v", err)
		}
		c.Store = "x.db"
		if _, err := newService(t.Context(), c, options{}); err == nil || !strings.Contains(err.Error(), "exclude each other") {
			t.Errorf("%v", err)
		}
	}
}
