package receive_test

import (
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

// fuzz has a product read any bytes, signed: whatever they are they are answered,
// what is reported is as Sentry takes it, and a second time nothing is.
func fuzz(f *testing.F, product string) {
	for _, c := range readTestdata[written](f, "webhooks.json") {
		f.Add([]byte(c.body()))
	}
	f.Add([]byte(`{"event":"feature.updated","created":1e400,"data":{"object":{"id":" "}},"user":[],"environments":{}}`))
	f.Add([]byte(`{"flags":{"updated":{"a":{"old_value":1e999,"new_value":"\ud800"}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: products[product], Store: s})
		status, text := serve(r, request(product, secret, string(body)))
		if status != http.StatusOK && status != http.StatusBadRequest {
			t.Fatalf("%d %s", status, text)
		}
		once := emitted(t, s)
		for _, change := range once {
			author := change.CreatedBy.ID
			if author == "" || utf8.RuneCountInString(author) > 100 || !utf8.ValidString(author) || change.CreatedAt.IsZero() || change.ChangeID <= 0 {
				t.Fatalf("%+v", change)
			}
		}
		if again, _ := serve(r, request(product, secret, string(body))); again != status {
			t.Fatalf("%d, and again %d", status, again)
		}
		if twice := emitted(t, s); len(twice) != len(once) {
			t.Fatalf("%d, and again %d", len(once), len(twice))
		}
	})
}

func FuzzGrowthBook(f *testing.F)    { fuzz(f, "growthbook") }
func FuzzFlipt(f *testing.F)         { fuzz(f, "flipt") }
func FuzzGoFeatureFlag(f *testing.F) { fuzz(f, "go-feature-flag") }
