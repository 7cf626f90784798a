package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
)

// config is what the program runs with: the file's settings, and the secrets of
// the environment.
type config struct {
	fileConfig
	secrets
}

// fileConfig is the configuration file. It has no place for a secret.
type fileConfig struct {
	// Listen is the address to listen on. Defaults to ":8080".
	Listen string `json:"listen"`
	// Path is where Sentry posts to. Defaults to "/sentry".
	Path string `json:"path"`
	// Store is the SQLite file that keeps accepted alerts and records.
	// KILLSWITCH_DATABASE_URL names a PostgreSQL instead. With neither, a crash
	// loses them.
	Store string `json:"store"`
	// DryRun decides and logs, and switches nothing.
	DryRun bool `json:"dry_run"`

	MaxAge     duration `json:"max_age"`
	CoolDown   duration `json:"cool_down"`
	CapPerHour int      `json:"cap_per_hour"`

	VWO struct {
		BaseURL string `json:"base_url"`
		Account string `json:"account"`
	} `json:"vwo"`
	Sentry struct {
		// Installation is the uuid of the integration's installation.
		Installation string `json:"installation"`
		// Header is the name of a header added to the integration.
		Header string `json:"header"`
		// AllowHTTP permits http for a self-hosted Sentry's flag log.
		AllowHTTP bool `json:"allow_http"`
	} `json:"sentry"`
	Rules []fileRule `json:"rules"`
}

// fileRule is a vwo.Rule as it is written in the file.
type fileRule struct {
	Alert       string            `json:"alert"`
	AlertID     string            `json:"alert_id"`
	Project     string            `json:"project"`
	When        []vwo.Trigger     `json:"when"`
	Environment string            `json:"environment"`
	Level       string            `json:"level"`
	Tags        map[string]string `json:"tags"`
	Settings    map[string]string `json:"settings"`
	Target      struct {
		Environment string `json:"environment"`
		Feature     string `json:"feature"`
	} `json:"switch_off"`
	On struct {
		Environment string `json:"environment"`
		Feature     string `json:"feature"`
	} `json:"switch_on"`
	Flag string `json:"flag"`
}

// rule returns the vwo.Rule. A rule says what it switches, off or on.
func (r fileRule) rule() (vwo.Rule, error) {
	rule := vwo.Rule{
		Alert: r.Alert, AlertID: r.AlertID, Project: r.Project, When: r.When, Environment: r.Environment, Level: r.Level,
		Tags: r.Tags, Settings: r.Settings, Flag: r.Flag,
	}
	off, on := vwo.Target(r.Target), vwo.Target(r.On)
	switch {
	case off != (vwo.Target{}) && on != (vwo.Target{}):
		return rule, errors.New("switch_off and switch_on exclude each other")
	case on != (vwo.Target{}):
		rule.Target, rule.SwitchOn = on, true
	default:
		rule.Target = off
	}
	return rule, nil
}

func (c config) rules() ([]vwo.Rule, error) {
	var rules []vwo.Rule
	for i, r := range c.Rules {
		rule, err := r.rule()
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// duration is written as "15m".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// secrets come from the environment: NAME has the secret, or NAME_FILE the name
// of a file that has it.
type secrets struct {
	vwoToken      vwo.Token        // VWO_TOKEN
	clientSecrets []signing.Secret // SENTRY_CLIENT_SECRET, SENTRY_CLIENT_SECRET_PREVIOUS
	headerValues  []vwo.Token      // KILLSWITCH_HEADER_VALUE, KILLSWITCH_HEADER_VALUE_PREVIOUS

	flagsURL     string           // SENTRY_FLAGS_WEBHOOK_URL
	flagsSecrets []signing.Secret // SENTRY_FLAGS_WEBHOOK_SECRET, SENTRY_FLAGS_WEBHOOK_SECRET_NEXT
	dsn          hidden           // SENTRY_DSN
	database     hidden           // KILLSWITCH_DATABASE_URL
}

// hidden is text that is not to be printed: it sits in a closure, where no
// printer finds it. The zero value is empty.
type hidden struct{ reveal func() string }

func hide(text string) hidden { return hidden{func() string { return text }} }

func (h hidden) text() string {
	if h.reveal == nil {
		return ""
	}
	return h.reveal()
}

func readConfig(path string, env func(string) string) (config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return config{}, fmt.Errorf("read the configuration: %w", err)
	}
	var c config
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c.fileConfig); err != nil {
		return config{}, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return config{}, fmt.Errorf("read the configuration %s: there is more than one object", path)
	}
	c.Listen = cmp.Or(c.Listen, ":8080")
	c.Path = cmp.Or(c.Path, "/sentry")
	if !strings.HasPrefix(c.Path, "/") || c.Path == "/healthz" || strings.ContainsAny(c.Path, "{} \t") {
		return config{}, errors.New("path must begin with a slash, be another one than /healthz, and have no braces or spaces")
	}
	if c.secrets, err = readSecrets(env); err != nil {
		return config{}, err
	}
	return c, nil
}

func readSecrets(env func(string) string) (secrets, error) {
	var failed error
	get := func(name string) string {
		value, err := secretFrom(env, name)
		failed = errors.Join(failed, err)
		return value
	}
	var s secrets
	s.vwoToken = vwo.NewToken(get("VWO_TOKEN"))
	s.clientSecrets = secretsOf(get("SENTRY_CLIENT_SECRET"), get("SENTRY_CLIENT_SECRET_PREVIOUS"))
	for _, value := range []string{get("KILLSWITCH_HEADER_VALUE"), get("KILLSWITCH_HEADER_VALUE_PREVIOUS")} {
		if token := vwo.NewToken(value); !token.IsZero() {
			s.headerValues = append(s.headerValues, token)
		}
	}
	s.flagsURL = env("SENTRY_FLAGS_WEBHOOK_URL")
	s.flagsSecrets = secretsOf(get("SENTRY_FLAGS_WEBHOOK_SECRET"), get("SENTRY_FLAGS_WEBHOOK_SECRET_NEXT"))
	s.dsn = hide(get("SENTRY_DSN"))
	s.database = hide(get("KILLSWITCH_DATABASE_URL"))
	switch {
	case failed != nil:
		return secrets{}, failed
	case s.vwoToken.IsZero():
		return secrets{}, errors.New("VWO_TOKEN or VWO_TOKEN_FILE must be set")
	case len(s.clientSecrets) == 0:
		return secrets{}, errors.New("SENTRY_CLIENT_SECRET or SENTRY_CLIENT_SECRET_FILE must be set")
	case (s.flagsURL == "") != (len(s.flagsSecrets) == 0):
		return secrets{}, errors.New("SENTRY_FLAGS_WEBHOOK_URL and SENTRY_FLAGS_WEBHOOK_SECRET must be set together")
	}
	return s, nil
}

// secretsOf leaves out what is empty.
func secretsOf(values ...string) []signing.Secret {
	var list []signing.Secret
	for _, value := range values {
		if secret := signing.NewSecret(value); !secret.IsZero() {
			list = append(list, secret)
		}
	}
	return list
}

// secretFrom reads NAME, or the file that NAME_FILE names. An empty file is a
// mistake.
func secretFrom(env func(string) string, name string) (string, error) {
	value, file := env(name), env(name+"_FILE")
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("%s and %s_FILE exclude each other", name, name)
	case file == "":
		return strings.TrimSpace(value), nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	if value = strings.TrimSpace(string(raw)); value == "" {
		return "", fmt.Errorf("%s_FILE: the file is empty", name)
	}
	return value, nil
}
