package receive

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// Any is any product that can send a secret in a header of its webhooks: VWO
// (x-vwo-auth), ConfigCat and GrowthBook's SDK webhooks (a custom header), a
// script. The webhook makes the watchers look; its body may say who has made the
// change. A header proves nothing about the body, so use it over TLS only.
type Any struct {
	// Product is what it is called. Defaults to "webhook".
	Product string
	// Header is the header that has the secret. Required.
	Header string
	// Author is where in the body, JSON, the author stands: a JSON pointer, as
	// "/user/email". An e-mail address is taken as that, any other text as a name.
	// Defaults to nowhere.
	Author string
	// Flags is where the flags stand: a JSON pointer to a text or to a list of
	// texts, in which "*" is each member, as "/changes/*/settingKey". Defaults to
	// nowhere: the author is then that of whatever is found.
	Flags string
}

var headerName = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)

// Name returns Product.
func (a Any) Name() string {
	if a.Product == "" {
		return "webhook"
	}
	return a.Product
}

func (a Any) validate() error {
	switch {
	case !headerName.MatchString(a.Header):
		return invalid("Product: Header", "has to be the name of a header")
	case a.Author != "" && a.Author[0] != '/' || a.Flags != "" && a.Flags[0] != '/':
		return invalid("Product: Author and Flags", `have to begin with "/"`)
	case a.Author == "" && a.Flags != "":
		return invalid("Product: Flags", "is of no use without Author")
	}
	return nil
}

func (Any) methods() []string { return []string{http.MethodPost, http.MethodPut, http.MethodPatch} }
func (Any) limit() int64      { return defaultLimit }

func (a Any) admit(r *http.Request, keys signing.Keys, limit int64) ([]byte, error) {
	given := r.Header.Values(a.Header)
	if len(given) == 0 || given[0] == "" {
		return nil, signing.ErrMissingSignature
	}
	if len(given) > 1 {
		return nil, signing.ErrMalformedSignature
	}
	// Texts are equal if they sign equally, and comparing that takes constant time.
	message := []byte("a shared secret")
	signature, err := signing.Sign(signing.NewSecret(given[0]), message)
	if err != nil {
		return nil, signing.ErrMalformedSignature
	}
	if err := signing.Verify(keys, message, signature); err != nil {
		return nil, err
	}
	if r.ContentLength > limit {
		return nil, signing.ErrBodyTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case int64(len(body)) > limit:
		return nil, signing.ErrBodyTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", signing.ErrUnreadableBody, err)
	}
	return body, nil
}

// read never fails: whatever it says, something may have changed.
func (a Any) read(body []byte) (notice, error) {
	n := notice{event: a.Name(), result: Accepted}
	var document any
	if a.Author == "" || readJSON(body, &document) != nil {
		return n, nil
	}
	var author webhook.Author
	for _, text := range textsAt(document, a.Author) {
		author = authorIn(text)
	}
	if author == (webhook.Author{}) {
		return n, nil
	}
	if a.Flags == "" {
		n.edits = []edit{{author: author}}
		return n, nil
	}
	for _, flag := range textsAt(document, a.Flags) {
		if flag != "" {
			n.edits = append(n.edits, edit{flag: flag, author: author})
		}
	}
	return n, nil
}

// textsAt are the texts at a pointer.
func textsAt(document any, pointer string) []string {
	at := []any{document}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		var next []any
		for _, value := range at {
			switch value := value.(type) {
			case map[string]any:
				if member, there := value[name]; there {
					next = append(next, member)
				} else if step == "*" {
					for _, name := range slices.Sorted(maps.Keys(value)) {
						next = append(next, value[name])
					}
				}
			case []any:
				if step == "*" {
					next = append(next, value...)
				}
			}
		}
		at = next
	}
	var texts []string
	for _, value := range at {
		switch value := value.(type) {
		case string:
			texts = append(texts, value)
		case []any:
			for _, each := range value {
				if text, ok := each.(string); ok {
					texts = append(texts, text)
				}
			}
		}
	}
	return texts
}
