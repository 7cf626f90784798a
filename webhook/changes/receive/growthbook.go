package receive

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// GrowthBook are GrowthBook's event webhooks: Settings, Webhooks, with the events
// feature.created, feature.updated and feature.deleted, and the payload type JSON
// (or raw, as old ones have). Their author is whoever is signed in; an API key is
// nobody. A change without effect in any environment is none.
//
// GrowthBook's SDK webhooks (payload.changed) name neither flag nor author: they
// are for [Any].
type GrowthBook struct {
	// Environments are those that count. A change that affects none of them is
	// none. Defaults to all.
	Environments []string
}

// growthBookHeader has the HMAC-SHA256 of the body in hexadecimal.
const growthBookHeader = "X-Growthbook-Signature"

// Name is "growthbook".
func (GrowthBook) Name() string { return "growthbook" }

func (GrowthBook) validate() error { return nil }
func (GrowthBook) methods() []string {
	return []string{http.MethodPost, http.MethodPut, http.MethodPatch}
}
func (GrowthBook) limit() int64 { return defaultLimit }

func (GrowthBook) admit(r *http.Request, keys signing.Keys, limit int64) ([]byte, error) {
	return signing.VerifyRequest(r, growthBookHeader, keys, limit)
}

// growthBookData is the data of an event about a feature: object as JSON, current
// and previous as raw.
type growthBookData struct {
	Object   growthBookFeature `json:"object"`
	Current  growthBookFeature `json:"current"`
	Previous growthBookFeature `json:"previous"`
}

type growthBookFeature struct {
	ID string `json:"id"`
}

func (d growthBookData) flag() string {
	for _, feature := range []growthBookFeature{d.Object, d.Current, d.Previous} {
		if feature.ID != "" {
			return feature.ID
		}
	}
	return ""
}

var (
	errNoEvent = errors.New("it names no event: is the payload type JSON?")
	errNoFlag  = errors.New("it names no flag")
)

func (g GrowthBook) read(body []byte) (notice, error) {
	var event struct {
		Event   string         `json:"event"`
		Created jsontext.Value `json:"created"`
		Data    jsontext.Value `json:"data"`
		User    struct {
			ID    string `json:"id"`
			Email string `json:"email"`
			Name  string `json:"name"`
		} `json:"user"`
		Environments *[]string `json:"environments"`
	}
	if err := readJSON(body, &event); err != nil {
		return notice{}, err
	}
	n := notice{event: event.Event, result: Accepted}
	verb, feature := strings.CutPrefix(event.Event, "feature.")
	action := webhook.Action(verb)
	switch {
	case event.Event == "":
		return n, errNoEvent
	case event.Event == "webhook.test":
		n.result, n.why = Ignored, "a test"
		return n, nil
	case !feature || action != webhook.ActionCreated && action != webhook.ActionUpdated && action != webhook.ActionDeleted:
		n.result, n.why = Unknown, "no event that changes a flag"
		return n, nil
	}
	var data growthBookData
	if err := readJSON(event.Data, &data); err != nil {
		return n, err
	}
	if data.flag() == "" {
		return n, errNoFlag
	}
	if event.Environments != nil && !g.counts(*event.Environments) {
		n.result, n.why = Ignored, "without effect in the environments that count"
		return n, nil
	}
	n.edits = []edit{{
		action: action, flag: data.flag(), author: authorOf(event.User.Email, event.User.Name, event.User.ID), at: unixMilli(event.Created),
	}}
	return n, nil
}

// counts reports whether a change in these environments counts.
func (g GrowthBook) counts(environments []string) bool {
	if len(g.Environments) == 0 {
		return len(environments) > 0
	}
	return slices.ContainsFunc(environments, func(e string) bool { return slices.Contains(g.Environments, e) })
}

// unixMilli reads a time in milliseconds. What is none is no time.
func unixMilli(v jsontext.Value) time.Time {
	var at int64
	if v.Kind() != '0' || readJSON(v, &at) != nil || at <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(at)
}
