package main

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/flagdfile"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/httptoggle"
)

// config is what the program runs with: the file's settings, and the secrets of
// the environment.
type config struct {
	fileConfig
	secrets
	env func(string) string
}

// fileConfig is the configuration file. It has no place for a secret.
type fileConfig struct {
	// Listen is the address to listen on. Defaults to ":8080".
	Listen string `json:"listen"`
	// Console is the address of the page for people, "127.0.0.1:8081" say. Defaults
	// to none. It takes the password of KILLSWITCH_CONSOLE_PASSWORD, or prints one
	// that it has made up. ConsoleHosts are the names by which it is reached, if
	// not only over loopback.
	Console      string   `json:"console"`
	ConsoleHosts []string `json:"console_hosts"`
	// FormerQueues are names that the queue of changes had before, with another
	// organisation or address of Sentry: what still waits there is delivered.
	FormerQueues []string `json:"former_queues"`
	// Path is where Sentry posts to. Defaults to "/sentry".
	Path string `json:"path"`
	// Store is the SQLite file that keeps the journal and records.
	// KILLSWITCH_DATABASE_URL names a PostgreSQL instead. With neither, a crash
	// loses them.
	Store string `json:"store"`
	// DryRun decides and logs, and switches nothing.
	DryRun bool `json:"dry_run"`

	MaxAge     setup.Duration `json:"max_age"`
	CoolDown   setup.Duration `json:"cool_down"`
	CapPerHour int            `json:"cap_per_hour"`

	Sentry struct {
		// Installation is the uuid of the integration's installation.
		Installation string `json:"installation"`
		// Header is the name of a header added to the integration.
		Header string `json:"header"`
		// AllowHTTP permits http for a self-hosted Sentry's flag log.
		AllowHTTP bool `json:"allow_http"`
	} `json:"sentry"`
	// Togglers are the flag systems, by the names that the rules use.
	Togglers map[string]fileToggler `json:"togglers"`
	Rules    []fileRule             `json:"rules"`
}

// fileToggler is one flag system: one of its fields is set.
type fileToggler struct {
	VWO *struct {
		BaseURL string `json:"base_url"`
		Account string `json:"account"`
		// Token names the environment variable with the API token, which may be
		// NAME_FILE instead. Defaults to VWO_TOKEN.
		Token string `json:"token_env"`
	} `json:"vwo"`
	HTTP  *httptoggle.Config `json:"http"`
	Flagd *struct {
		Path string `json:"path"`
	} `json:"flagd-file"`
}

// fileRule is a killswitch.Rule as it is written in the file.
type fileRule struct {
	Alert       string               `json:"alert"`
	AlertID     string               `json:"alert_id"`
	Project     string               `json:"project"`
	When        []killswitch.Trigger `json:"when"`
	IssueType   string               `json:"issue_type"`
	Activity    string               `json:"activity"`
	Environment string               `json:"environment"`
	Level       string               `json:"level"`
	Tags        map[string]string    `json:"tags"`
	Settings    map[string]string    `json:"settings"`
	Evaluated   killswitch.Evaluated `json:"evaluated"`
	Toggler     string               `json:"toggler"`
	Off         *killswitch.Target   `json:"switch_off"`
	On          *killswitch.Target   `json:"switch_on"`
	Flag        string               `json:"flag"`
}

// rule returns the killswitch.Rule. A rule says what it switches, off or on.
func (r fileRule) rule() (killswitch.Rule, error) {
	rule := killswitch.Rule{
		Alert: r.Alert, AlertID: r.AlertID, Project: r.Project, When: r.When, IssueType: r.IssueType, Activity: r.Activity,
		Environment: r.Environment, Level: r.Level, Tags: r.Tags, Settings: r.Settings, Evaluated: r.Evaluated, Toggler: r.Toggler, Flag: r.Flag,
	}
	switch {
	case (r.Off == nil) == (r.On == nil):
		return rule, errors.New("one of switch_off and switch_on must be set")
	case r.On != nil:
		rule.Target, rule.SwitchOn = *r.On, true
	default:
		rule.Target = *r.Off
	}
	return rule, nil
}

func (c config) rules() ([]killswitch.Rule, error) {
	var rules []killswitch.Rule
	for i, r := range c.Rules {
		rule, err := r.rule()
		if err == nil {
			err = rule.Validate()
		}
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// togglers makes the flag systems. Stand-ins of VWO need no rate limit.
func (c config) togglers(unlimited bool) (map[string]killswitch.Toggler, error) {
	all := map[string]killswitch.Toggler{}
	for name, t := range c.Togglers {
		var err error
		kinds := 0
		for _, set := range []bool{t.VWO != nil, t.HTTP != nil, t.Flagd != nil} {
			if set {
				kinds++
			}
		}
		switch {
		case kinds != 1:
			err = errors.New(`it must have one of "vwo", "http" and "flagd-file"`)
		case t.VWO != nil:
			all[name], err = c.vwoClient(t, unlimited)
		case t.HTTP != nil:
			all[name], err = httptoggle.New(*t.HTTP)
		default:
			all[name], err = flagdfile.New(t.Flagd.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("togglers.%s: %w", name, err)
		}
	}
	return all, nil
}

func (c config) vwoClient(t fileToggler, unlimited bool) (killswitch.Toggler, error) {
	name := cmp.Or(t.VWO.Token, "VWO_TOKEN")
	token, err := environ.Secret(c.env, name)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, fmt.Errorf("%s or %s_FILE must be set", name, name)
	}
	client, err := vwo.NewClient(vwo.ClientConfig{Token: vwo.NewToken(token), BaseURL: t.VWO.BaseURL, Account: t.VWO.Account, Unlimited: unlimited})
	if err != nil {
		return nil, err
	}
	return client, nil
}

// secrets come from the environment: NAME has the secret, or NAME_FILE the name
// of a file that has it.
type secrets struct {
	clientSecrets []signing.Secret // SENTRY_CLIENT_SECRET, SENTRY_CLIENT_SECRET_PREVIOUS
	headerValues  []signing.Secret // KILLSWITCH_HEADER_VALUE, KILLSWITCH_HEADER_VALUE_PREVIOUS

	flagsURL     string           // SENTRY_FLAGS_WEBHOOK_URL
	flagsSecrets []signing.Secret // SENTRY_FLAGS_WEBHOOK_SECRET, SENTRY_FLAGS_WEBHOOK_SECRET_NEXT
	odd          []string         // those that are no secrets of Sentry's, by name
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

func readConfig(file string, env func(string) string) (config, error) {
	c := config{env: env}
	if err := setup.ReadConfig(file, &c.fileConfig); err != nil {
		return config{}, err
	}
	c.Listen = cmp.Or(c.Listen, ":8080")
	c.Path = cmp.Or(c.Path, "/sentry")
	taken := slices.Contains([]string{"/healthz", "/livez", "/metrics"}, c.Path)
	// Of "/a//b" and "/a/../b" nothing would ever arrive, nor of a query.
	clean := path.Clean(c.Path)
	if !strings.HasPrefix(c.Path, "/") || taken || strings.ContainsAny(c.Path, "{}?# \t\r\n") || strings.TrimSuffix(c.Path, "/") != strings.TrimSuffix(clean, "/") {
		return config{}, errors.New("path must begin with a slash, be another one than /healthz, /livez and /metrics, and have no braces, spaces, query, empty part, . or ..")
	}
	var err error
	if c.secrets, err = readSecrets(env); err != nil {
		return config{}, err
	}
	return c, nil
}

func readSecrets(env func(string) string) (secrets, error) {
	var failed error
	var odd []string
	get := func(name string) string {
		value, err := environ.Secret(env, name)
		failed = errors.Join(failed, err)
		if strings.HasSuffix(name, "_DSN") || strings.HasSuffix(name, "_URL") || strings.Contains(name, "HEADER") {
			return value
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`=$", r) }) {
			odd = append(odd, name)
		}
		return value
	}
	s := secrets{
		clientSecrets: secretsOf(get("SENTRY_CLIENT_SECRET"), get("SENTRY_CLIENT_SECRET_PREVIOUS")),
		headerValues:  secretsOf(get("KILLSWITCH_HEADER_VALUE"), get("KILLSWITCH_HEADER_VALUE_PREVIOUS")),
		flagsURL:      env("SENTRY_FLAGS_WEBHOOK_URL"),
		flagsSecrets:  secretsOf(get("SENTRY_FLAGS_WEBHOOK_SECRET"), get("SENTRY_FLAGS_WEBHOOK_SECRET_NEXT")),
		dsn:           hide(get("SENTRY_DSN")),
		database:      hide(get("KILLSWITCH_DATABASE_URL")),
	}
	s.odd = odd
	switch {
	case failed != nil:
		return secrets{}, failed
	case (s.flagsURL == "") != (len(s.flagsSecrets) == 0):
		return secrets{}, errors.New("SENTRY_FLAGS_WEBHOOK_URL and SENTRY_FLAGS_WEBHOOK_SECRET must be set together")
	}
	return s, nil
}

// checkServing finds what a service cannot do without, in the words of the file
// and the environment.
func (c config) checkServing() error {
	switch {
	case len(c.clientSecrets) == 0:
		return errors.New("SENTRY_CLIENT_SECRET or SENTRY_CLIENT_SECRET_FILE must be set")
	case (c.Sentry.Header == "") != (len(c.headerValues) == 0):
		return errors.New("sentry.header and KILLSWITCH_HEADER_VALUE must be set together")
	}
	return nil
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
