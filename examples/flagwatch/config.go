package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/internal/setup"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// config is what the program runs with: the file's settings, and the secrets of
// the environment.
type config struct {
	// Listen is the address of /healthz and /metrics. Defaults to ":8080".
	Listen string `json:"listen"`
	// Console is the address of the page for people, "127.0.0.1:8081" say. Defaults
	// to none. It takes the password of FLAGWATCH_CONSOLE_PASSWORD, or prints one
	// that it has made up. ConsoleHosts are the names by which it is reached, if
	// not only over loopback.
	Console      string   `json:"console"`
	ConsoleHosts []string `json:"console_hosts"`
	// FormerQueues are names that the queue of changes had before, with another
	// organisation or address of Sentry: what still waits there is delivered, and
	// its snapshots are gone on from.
	FormerQueues []string `json:"former_queues"`
	// Store is the SQLite file that keeps snapshots and undelivered changes.
	// FLAGWATCH_DATABASE_URL names a PostgreSQL instead, for several replicas.
	Store string `json:"store"`
	// Interval is how often sources are looked at, Gather how long a document has
	// to stay as it is before it is believed, Lag how far replicas' copies may be
	// behind one another. With Store there is one process, and no lag unless it is
	// set.
	Interval setup.Duration `json:"interval"`
	Gather   setup.Duration `json:"gather"`
	Lag      setup.Duration `json:"lag"`
	// Limit is the most bytes of a source's documents. Defaults to 16 MiB.
	Limit int64 `json:"limit"`
	// ShownNames reports flags whose names Sentry deletes from events under the
	// names by which package flagtrack shows them.
	ShownNames bool `json:"shown_names"`
	// AllowHTTP permits http for a self-hosted Sentry and for sources.
	AllowHTTP bool         `json:"allow_http"`
	Sources   []fileSource `json:"sources"`
	// Receive are the products whose webhooks are taken, on the address
	// ReceiveListen, which defaults to ":8082". AuthorWait is how long a change that
	// was found waits for a webhook that says who made it; 15 s by default.
	Receive       []door         `json:"receive"`
	ReceiveListen string         `json:"receive_listen"`
	AuthorWait    setup.Duration `json:"author_wait"`

	env          func(string) string
	flagsURL     string           // SENTRY_FLAGS_WEBHOOK_URL
	flagsSecrets []signing.Secret // SENTRY_FLAGS_WEBHOOK_SECRET, SENTRY_FLAGS_WEBHOOK_SECRET_NEXT
	database     func() string    // FLAGWATCH_DATABASE_URL
}

// fileSource is a source as it is written in the file: a file, a folder or a
// URL.
type fileSource struct {
	// Name is what the source is called in the flag log. Defaults to the format
	// and the document's name, as in "flagd:checkout.json".
	Name string `json:"name"`
	// Format is one of formats, or empty with Keyed.
	Format string `json:"format"`
	Keyed  *struct {
		Pointer string   `json:"pointer"`
		Name    string   `json:"name"`
		Ignore  []string `json:"ignore"`
	} `json:"keyed"`

	File    string `json:"file"`
	Folder  string `json:"folder"`
	Pattern string `json:"pattern"`
	URL     string `json:"url"`
	// URLFrom names the environment variable that has the URL, for one that holds
	// a key.
	URLFrom string `json:"url_from"`
	// Headers are added to each request; the values are names of environment
	// variables, for they are secrets.
	Headers map[string]string `json:"headers_from"`
}

// formats are those that are known by name.
var formats = map[string]changes.Format{
	"flagd":           changes.Flagd{},
	"go-feature-flag": changes.GoFeatureFlag{},
	"configcat":       changes.Keyed("/f", "").Shared("/s", "", "s").Called("configcat"),
	"flipt":           changes.Keyed("/flags", "key", "name", "description", "metadata").Shared("/segments", "key", "segment", "segments", "keys").Called("flipt"),
	"featurevisor":    changes.Keyed("/features", "").Shared("/segments", "", "segments", "and", "or", "not").Called("featurevisor"),
	"flagsmith": changes.Keyed("/feature_states", "feature/name", "id", "django_id", "featurestate_uuid", "feature/id").Switch("enabled").
		Overrides("/project/segments", "feature_states/*/feature/name").Called("flagsmith"),
	"growthbook":   changes.Keyed("/features", "").Shared("/savedGroups", "", "$inGroup", "$notInGroup").Called("growthbook"),
	"launchdarkly": changes.Keyed("/flags", "", "version").Switch("on").Also("/flagValues").Shared("/segments", "", "values").Called("launchdarkly"),
	"posthog":      changes.Keyed("/flags", "key", "id", "name", "version").Switch("active").Shared("/cohorts", "", "value").Called("posthog"),
	"unleash":      changes.Keyed("/features", "name", "description", "lastSeenAt").Switch("enabled").Shared("/segments", "id", "segments").Called("unleash"),
}

func formatNames() string { return strings.Join(slices.Sorted(maps.Keys(formats)), ", ") }

func (s fileSource) format() (changes.Format, error) {
	if s.Keyed != nil {
		if s.Format != "" {
			return nil, errors.New("format and keyed exclude each other")
		}
		return changes.Keyed(s.Keyed.Pointer, s.Keyed.Name, s.Keyed.Ignore...), nil
	}
	format, ok := formats[s.Format]
	if !ok {
		return nil, fmt.Errorf("format is none of %s", formatNames())
	}
	return format, nil
}

func (s fileSource) source(c config) (changes.Source, error) {
	places := 0
	for _, place := range []string{s.File, s.Folder, s.URL, s.URLFrom} {
		if place != "" {
			places++
		}
	}
	switch {
	case places != 1:
		return nil, errors.New("a source has one of file, folder, url and url_from")
	case s.Pattern != "" && s.Folder == "":
		return nil, errors.New("pattern belongs to a folder")
	case len(s.Headers) > 0 && s.File+s.Folder != "":
		return nil, errors.New("headers_from belongs to a url or url_from")
	case s.File != "":
		return &changes.File{Path: s.File, Limit: c.Limit}, nil
	case s.Folder != "":
		return &changes.Folder{Path: s.Folder, Pattern: s.Pattern, Limit: c.Limit}, nil
	}
	target := s.URL
	if s.URLFrom != "" {
		var err error
		if target, err = environ.Secret(c.env, s.URLFrom); err != nil {
			return nil, err
		}
		if target == "" {
			return nil, fmt.Errorf("url_from: %s or %s_FILE must be set", s.URLFrom, s.URLFrom)
		}
	}
	for name, from := range s.Headers {
		if value, err := environ.Secret(c.env, from); err != nil || value == "" {
			return nil, errors.Join(err, fmt.Errorf("the header %s: %s or %s_FILE must be set", name, from, from))
		}
	}
	return changes.NewURL(changes.URLConfig{URL: target, AllowHTTP: c.AllowHTTP, Limit: c.Limit, Header: func(h http.Header) {
		for name, from := range s.Headers { // read anew, so that a file can be replaced
			value, _ := environ.Secret(c.env, from)
			h.Set(name, value)
		}
	}})
}

func readConfig(path string, env func(string) string) (config, error) {
	c := config{env: env}
	if err := setup.ReadConfig(path, &c); err != nil {
		return config{}, err
	}
	c.Listen = cmp.Or(c.Listen, ":8080")
	c.ReceiveListen = cmp.Or(c.ReceiveListen, ":8082")
	c.AuthorWait = cmp.Or(c.AuthorWait, setup.Duration(15*time.Second))
	if len(c.Sources)+len(c.Receive) == 0 {
		return config{}, errors.New("there are no sources to watch, and no webhooks to receive")
	}
	if _, port, _ := net.SplitHostPort(c.Listen); len(c.Receive) > 0 && c.Listen == c.ReceiveListen && port != "0" {
		return config{}, errors.New("listen and receive_listen are the same address: anybody who may post a webhook could read the metrics")
	}
	return c, c.readSecrets()
}

func (c *config) readSecrets() error {
	flagsURL, secrets, err := readWebhook(c.env)
	c.flagsURL, c.flagsSecrets = flagsURL, secrets
	database, failed := environ.Secret(c.env, "FLAGWATCH_DATABASE_URL")
	c.database = func() string { return database }
	switch {
	case err != nil || failed != nil:
		return errors.Join(err, failed)
	case (c.Store == "") == (database == ""):
		return errors.New("set either store in the configuration, for SQLite, or FLAGWATCH_DATABASE_URL, for PostgreSQL")
	}
	return nil
}

// readWebhook reads where Sentry is and how it is signed to.
func readWebhook(env func(string) string) (flagsURL string, secrets []signing.Secret, err error) {
	for _, name := range []string{"SENTRY_FLAGS_WEBHOOK_SECRET", "SENTRY_FLAGS_WEBHOOK_SECRET_NEXT"} {
		value, failed := environ.Secret(env, name)
		err = errors.Join(err, failed)
		if secret := signing.NewSecret(value); !secret.IsZero() {
			secrets = append(secrets, secret)
		}
	}
	flagsURL = env("SENTRY_FLAGS_WEBHOOK_URL")
	if err == nil && (flagsURL == "" || len(secrets) == 0) {
		err = errors.New("SENTRY_FLAGS_WEBHOOK_URL and SENTRY_FLAGS_WEBHOOK_SECRET (or SENTRY_FLAGS_WEBHOOK_SECRET_FILE) must be set")
	}
	return flagsURL, secrets, err
}
