package receive

import (
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// Flipt are the audit webhooks of Flipt version 1 (audit.sinks.webhook with a
// signing_secret). A change of a flag's rule, variant or roll-out is an update of
// the flag. One of a segment, a constraint or a distribution does not say which
// flags it concerns, and is none: only a watcher finds it. What was denied is
// none.
//
// Flipt reports a namespace that is deleted as if it were a flag of its name.
type Flipt struct {
	// Namespaces are those that count. Defaults to all; an audit event without one
	// is of the namespace "default".
	Namespaces []string
}

// fliptHeader has the HMAC-SHA256 of the body in hexadecimal.
const fliptHeader = "X-Flipt-Webhook-Signature"

// Name is "flipt".
func (Flipt) Name() string { return "flipt" }

func (Flipt) validate() error   { return nil }
func (Flipt) methods() []string { return postOnly }
func (Flipt) limit() int64      { return defaultLimit }

func (Flipt) admit(r *http.Request, keys signing.Keys, limit int64) ([]byte, error) {
	return signing.VerifyRequest(r, fliptHeader, keys, limit)
}

// fliptPayload is what of the thing that was changed counts.
type fliptPayload struct {
	Key       string `json:"key"`      // of a flag
	FlagKey   string `json:"flag_key"` // of what belongs to one
	Namespace string `json:"namespace_key"`
}

func (f Flipt) read(body []byte) (notice, error) {
	var event struct {
		Type     string `json:"type"`
		Action   string `json:"action"`
		Status   string `json:"status"`
		Metadata struct {
			Actor struct {
				Email string `json:"email"`
				Name  string `json:"name"`
			} `json:"actor"`
		} `json:"metadata"`
		Payload   jsontext.Value `json:"payload"`
		Timestamp string         `json:"timestamp"`
	}
	if err := readJSON(body, &event); err != nil {
		return notice{}, err
	}
	n := notice{event: event.Type + " " + event.Action, result: Accepted}
	action := webhook.Action(event.Action)
	switch {
	case event.Type == "" || event.Action == "":
		return n, errNoEvent
	case event.Status != "" && event.Status != "success":
		n.result, n.why = Ignored, "it was not done: "+shown(event.Status)
		return n, nil
	case action != webhook.ActionCreated && action != webhook.ActionUpdated && action != webhook.ActionDeleted:
		n.result, n.why = Unknown, "no action that changes a flag"
		return n, nil
	}
	var payload fliptPayload
	if err := readJSON(event.Payload, &payload); err != nil {
		return n, err
	}
	flag := payload.Key
	if event.Type != "flag" {
		flag, action = payload.FlagKey, webhook.ActionUpdated
	}
	switch {
	case flag == "" && event.Type == "flag":
		return n, errNoFlag
	case flag == "":
		n.result, n.why = Unknown, "it names no flag"
		return n, nil
	case !f.counts(payload.Namespace):
		n.result, n.why = Ignored, "of a namespace that does not count"
		return n, nil
	}
	at, err := time.Parse(time.RFC3339, event.Timestamp)
	if err != nil {
		at = time.Time{}
	}
	actor := event.Metadata.Actor
	n.edits = []edit{{action: action, flag: flag, author: authorOf(actor.Email, actor.Name, ""), at: at}}
	return n, nil
}

func (f Flipt) counts(namespace string) bool {
	if namespace == "" {
		namespace = "default"
	}
	return len(f.Namespaces) == 0 || slices.Contains(f.Namespaces, namespace)
}
