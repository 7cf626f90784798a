package receive

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// GoFeatureFlag is GO Feature Flag's webhook notifier, in an application or in the
// relay proxy, with a Secret. It names no author. All instances may send: each
// change counts once.
//
// At its start an instance sends all flags as added. The first time that is what
// changes are counted from; later on only what differs from what is known counts,
// and nothing of what the same host has sent already, in the same words.
// DisableNotifierOnInit does without; the first several flags that are added in
// one go are then taken for a start, for they look like one.
//
// Applications with different flags need receivers with different names.
type GoFeatureFlag struct{}

// gofeatureflagHeader has "sha256=" and the HMAC-SHA256 of the body in
// hexadecimal.
const gofeatureflagHeader = "X-Hub-Signature-256"

// Name is "go-feature-flag".
func (GoFeatureFlag) Name() string { return "go-feature-flag" }

func (GoFeatureFlag) validate() error   { return nil }
func (GoFeatureFlag) methods() []string { return postOnly }
func (GoFeatureFlag) limit() int64      { return 8 * defaultLimit }

func (GoFeatureFlag) admit(r *http.Request, keys signing.Keys, limit int64) ([]byte, error) {
	bare := *r // with the header as package signing has it
	bare.Header = http.Header{}
	for _, value := range r.Header.Values(gofeatureflagHeader) {
		digest, ok := strings.CutPrefix(value, "sha256=")
		if !ok {
			return nil, signing.ErrMalformedSignature
		}
		bare.Header.Add(gofeatureflagHeader, digest)
	}
	return signing.VerifyRequest(&bare, gofeatureflagHeader, keys, limit)
}

var errNoFlags = errors.New("it has no flags")

func (GoFeatureFlag) read(body []byte) (notice, error) {
	type updated struct {
		Old jsontext.Value `json:"old_value"`
		New jsontext.Value `json:"new_value"`
	}
	var said struct {
		Flags *struct {
			Added   map[string]jsontext.Value `json:"added"`
			Deleted map[string]jsontext.Value `json:"deleted"`
			Updated map[string]updated        `json:"updated"`
		} `json:"flags"`
	}
	if err := readJSON(body, &said); err != nil {
		return notice{}, err
	}
	if said.Flags == nil {
		return notice{}, errNoFlags
	}
	n := notice{event: "flags", result: Accepted}
	for _, flag := range slices.Sorted(maps.Keys(said.Flags.Added)) {
		n.edits = append(n.edits, edit{action: webhook.ActionCreated, flag: flag, from: absent, to: markOf(said.Flags.Added[flag])})
	}
	for _, flag := range slices.Sorted(maps.Keys(said.Flags.Updated)) {
		both := said.Flags.Updated[flag]
		n.edits = append(n.edits, edit{action: webhook.ActionUpdated, flag: flag, from: markOf(both.Old), to: markOf(both.New)})
	}
	for _, flag := range slices.Sorted(maps.Keys(said.Flags.Deleted)) {
		n.edits = append(n.edits, edit{action: webhook.ActionDeleted, flag: flag, from: markOf(said.Flags.Deleted[flag]), to: absent})
	}
	if len(n.edits) == 0 {
		n.result, n.why = Ignored, "nothing has changed"
	}
	n.startup = len(said.Flags.Updated) == 0 && len(said.Flags.Deleted) == 0
	return n, nil
}

// mark is a digest of what of a definition counts, or absent.
type mark string

const absent mark = "-"

// uncounted are the members of a definition that change no evaluation.
var uncounted = []string{"metadata", "description", "version", "trackEvents", "converter"}

// markOf digests a definition. One that is no object is what it is.
func markOf(definition jsontext.Value) mark {
	content := slices.Clone(definition)
	var members map[string]jsontext.Value
	if content.Kind() == '{' && readJSON(content, &members) == nil {
		for _, name := range uncounted {
			delete(members, name)
		}
		if kept, err := json.Marshal(members, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)); err == nil {
			content = kept
		}
	}
	_ = content.Canonicalize(jsontext.AllowInvalidUTF8(true)) // it was read already
	return mark(digest(content))
}

// digest is a short hash.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		size := uint64(len(part))
		h.Write([]byte{byte(size >> 56), byte(size >> 48), byte(size >> 40), byte(size >> 32), byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)})
		h.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15])
}
