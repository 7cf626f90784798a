package receive_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

func readTestdata[T any](t testing.TB, name string) []T {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// written is a webhook as a product writes it.
type written struct {
	Product, Case, Text string
	Body                json.RawMessage
	Want                []string
	Result              receive.Result
}

func (w written) body() string {
	if w.Text != "" {
		return w.Text
	}
	return string(w.Body)
}

func TestWebhooks(t *testing.T) {
	for _, c := range readTestdata[written](t, "webhooks.json") {
		t.Run(c.Product+", "+c.Case, func(t *testing.T) {
			s := newStore(t)
			r := newReceiver(t, receive.Config{Product: products[c.Product], Store: s})
			status, _ := serve(r, request(c.Product, secret, c.body()))
			want := http.StatusOK
			if c.Result == receive.Unreadable {
				want = http.StatusBadRequest
			}
			if got := told(emitted(t, s)); status != want || !slices.Equal(got, c.Want) {
				t.Errorf("%d, %q", status, got)
			}
			stats := r.Stats()
			if stats.Results[c.Result] != 1 || stats.LastAuthentic.IsZero() || stats.Changes != int64(len(c.Want)) {
				t.Errorf("%+v", stats)
			}
			if c.Result == receive.Unknown && len(stats.Unknown) != 1 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestSignatures holds verification against digests of another implementation.
func TestSignatures(t *testing.T) {
	for _, v := range readTestdata[struct {
		Product, Secret, Header, Signature, Body string
		Status                                   int
	}](t, "signatures.json") {
		r := newReceiver(t, receive.Config{Product: products[v.Product], Store: newStore(t), Secrets: []signing.Secret{signing.NewSecret(v.Secret)}})
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(v.Body))
		req.Header.Set(v.Header, v.Signature)
		if status, text := serve(r, req); status != v.Status {
			t.Errorf("%s %q: %d %s", v.Product, v.Signature, status, text)
		}
	}
}

func TestFilters(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		product receive.Product
		body    string
		want    int
	}{
		"an environment":             {receive.GrowthBook{Environments: []string{"production", "eu"}}, growthBook("updated", "a", "", 1, now), 1},
		"another environment":        {receive.GrowthBook{Environments: []string{"dev"}}, growthBook("updated", "a", "", 1, now), 0},
		"the default namespace":      {receive.Flipt{Namespaces: []string{"default"}}, flipt("updated", "a", "", 1, now), 1},
		"another namespace":          {receive.Flipt{Namespaces: []string{"shop"}}, flipt("updated", "a", "", 1, now), 0},
		"a namespace that is named":  {receive.Flipt{Namespaces: []string{"shop"}}, `{"type":"flag","action":"updated","payload":{"key":"a","namespace_key":"shop"}}`, 1},
		"a namespace, but not there": {receive.Flipt{Namespaces: []string{"default"}}, `{"type":"flag","action":"updated","payload":{"key":"a","namespace_key":"shop"}}`, 0},
	} {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: c.product, Store: s})
		send(t, r, c.product.Name(), c.body)
		if got := emitted(t, s); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A change is dated by the product, and never in the future.
func TestDates(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for name, c := range map[string]struct {
		product, body string
		want          time.Time // zero: none
	}{
		"growthbook":                {"growthbook", growthBook("updated", "a", "", 1, now.Add(-10*time.Minute)), now.Add(-10 * time.Minute)},
		"growthbook, without":       {"growthbook", `{"event":"feature.updated","data":{"object":{"id":"a"}},"environments":["x"]}`, now},
		"growthbook, in text":       {"growthbook", `{"event":"feature.updated","created":"soon","data":{"object":{"id":"a"}},"environments":["x"]}`, now},
		"growthbook, long ago":      {"growthbook", growthBook("updated", "a", "", 1, now.Add(-2*time.Hour)), time.Time{}},
		"growthbook, far ahead":     {"growthbook", growthBook("updated", "a", "", 1, now.Add(2*time.Hour)), time.Time{}},
		"growthbook, a clock ahead": {"growthbook", growthBook("updated", "a", "", 1, now.Add(10*time.Minute)), now},
		"flipt":                     {"flipt", flipt("updated", "a", "", 1, now.Add(-10*time.Minute).In(time.FixedZone("", 3600))), now.Add(-10 * time.Minute)},
		"flipt, long ago":           {"flipt", flipt("updated", "a", "", 1, now.Add(-2*time.Hour)), time.Time{}},
	} {
		s := newStore(t)
		r := newReceiver(t, receive.Config{Product: products[c.product], Store: s})
		send(t, r, c.product, c.body)
		got := emitted(t, s)
		switch {
		case c.want.IsZero() && (len(got) > 0 || r.Stats().Results[receive.Old] != 1):
			t.Errorf("%s: %v, %+v", name, got, r.Stats())
		case !c.want.IsZero() && (len(got) != 1 || got[0].CreatedAt.Sub(c.want).Abs() > 5*time.Second || got[0].CreatedAt.After(time.Now())):
			t.Errorf("%s: %v", name, got)
		}
	}
}
