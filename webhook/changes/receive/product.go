package receive

import (
	"net/http"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// Product is a feature-flag product whose webhooks can be taken: [GrowthBook],
// [Flipt], [GoFeatureFlag] or [Any].
type Product interface {
	// Name is what the product is called in logs and names.
	Name() string

	validate() error
	methods() []string
	limit() int64
	// admit reads a request's body and proves that the product has sent it. Its
	// errors are those of package signing.
	admit(r *http.Request, keys signing.Keys, limit int64) ([]byte, error)
	// read reads an authentic body. An error means that it is not of this product,
	// or not whole; it repeats nothing of the body.
	read(body []byte) (notice, error)
}

// namesAuthors reports whether a product's webhooks can say who has made a change.
func namesAuthors(p Product) bool {
	switch p := p.(type) {
	case GoFeatureFlag:
		return false
	case Any:
		return p.Author != ""
	}
	return true
}

// notice is what a webhook says.
type notice struct {
	event  string // what it is called, for counts and logs
	result Result // Accepted if it says that something has changed
	why    string // otherwise
	edits  []edit
	// startup says that the edits are all that there is, as at a start.
	startup bool
}

// edit is a change of a flag, as a webhook tells it.
type edit struct {
	action webhook.Action
	flag   string // empty if it is not said
	author webhook.Author
	at     time.Time // zero if it is not said
	// from and to are digests of the definitions, if it tells them.
	from, to mark
}

// lends reports whether a watcher can make something of an edit: of its author, or
// of it being known, with the time, that nobody made it whom the product can name.
func (e edit) lends() bool { return e.author.ID != "" || e.flag != "" && !e.at.IsZero() }

const defaultLimit = 1 << 20

var postOnly = []string{http.MethodPost}

// readJSON reads what a product has sent: an authentic document, so that text that
// is no UTF-8, half of a character that was cut, say, is no reason to lose it.
func readJSON(body []byte, into any) error {
	return json.Unmarshal(body, into, jsontext.AllowInvalidUTF8(true))
}

// authorOf is who somebody is: by e-mail, else by name, else by id. An address
// that is too long is passed over: cut, it would be another one's.
func authorOf(email, name, id string) webhook.Author {
	if utf8.RuneCountInString(strings.TrimSpace(email)) > webhook.MaxAuthorID {
		email = ""
	}
	for _, known := range []webhook.Author{{ID: email, Type: webhook.AuthorEmail}, {ID: name, Type: webhook.AuthorName}, {ID: id, Type: webhook.AuthorID}} {
		if known.ID = clean(known.ID); known.ID != "" {
			return known
		}
	}
	return webhook.Author{}
}

// authorIn finds the author in a text: an address, or what it says.
func authorIn(text string) webhook.Author {
	text = clean(text)
	if address, err := mail.ParseAddress(text); err == nil {
		return authorOf(address.Address, "", "")
	}
	return authorOf("", text, "")
}

// clean is a text as Sentry takes an author's.
func clean(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", ""))
	if utf8.RuneCountInString(text) > webhook.MaxAuthorID {
		text = strings.TrimSpace(string([]rune(text)[:webhook.MaxAuthorID]))
	}
	return text
}

// shown is a foreign text as a log can bear it.
func shown(text string) string {
	const most = 60
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
