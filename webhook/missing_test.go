package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// TestMissing sends some of a history, in any pieces, and asks for the rest.
func TestMissing(t *testing.T) {
	server, client := newPair(t, webhooktest.Config{}, nil)
	others := 0
	rapid.Check(t, func(t *rapid.T) {
		others++
		base := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, -others) // each has a day of its own
		all := make([]webhook.Change, rapid.IntRange(0, 60).Draw(t, "changes"))
		for i := range all {
			all[i] = webhook.Change{
				Action:    rapid.SampledFrom([]webhook.Action{webhook.ActionCreated, webhook.ActionUpdated}).Draw(t, "action"),
				CreatedAt: base.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "time")) * 400 * time.Nanosecond), // cut to the microsecond
				CreatedBy: webhook.Author{ID: rapid.SampledFrom([]string{"ada@example.com", " ada@example.com", "bob"}).Draw(t, "author"), Type: webhook.AuthorName},
				Flag:      rapid.SampledFrom([]string{"a", "b ", "c & d", "größe"}).Draw(t, "flag"),
			}
		}
		sent := rapid.Permutation(all).Draw(t, "order")
		sent = sent[:rapid.IntRange(0, len(sent)).Draw(t, "sent")]
		if err := client.Send(t.Context(), sent...); err != nil {
			t.Fatal(err)
		}
		missing, err := client.Missing(t.Context(), server.Token(), all...)
		if err != nil || len(missing) != len(all)-len(sent) {
			t.Fatalf("%d of %d are missing, %v; want %d", len(missing), len(all), err, len(all)-len(sent))
		}
		if err := client.Send(t.Context(), missing...); err != nil {
			t.Fatal(err)
		}
		if missing, err = client.Missing(t.Context(), server.Token(), all...); err != nil || len(missing) != 0 {
			t.Fatalf("%d are missing still, %v", len(missing), err)
		}
	})
}

// TestMissingAsksInPieces has more flags, with longer names, than one URL may
// hold, over some years.
func TestMissingAsksInPieces(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{}, func(c *webhook.Config) {
		transport := c.HTTPClient.Transport
		c.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if length := len(r.URL.String()); r.Method == http.MethodGet && length > 6000 {
				t.Errorf("a URL of %d bytes", length)
			}
			return transport.RoundTrip(r)
		})}
	})
	all := make([]webhook.Change, 700)
	for i := range all {
		all[i] = someChange(strings.Repeat("é", i%200) + strconv.Itoa(i))
		all[i].CreatedAt = all[i].CreatedAt.AddDate(0, 0, -3*i)
	}
	if err := client.Send(t.Context(), all[:300]...); err != nil {
		t.Fatal(err)
	}
	missing, err := client.Missing(t.Context(), webhooktest.DefaultToken, all...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[300:], missing); diff != "" {
		t.Error(diff)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestMissingRefuses(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{}, nil)
	undated := someChange("a")
	undated.CreatedAt = time.Time{}
	_, err := client.Missing(t.Context(), webhooktest.DefaultToken, someChange("a"), undated)
	if refused, ok := errors.AsType[*webhook.ChangeError](err); !ok || refused.Index != 1 || refused.Field != "CreatedAt" {
		t.Errorf("without a date: %v", err)
	}
	if _, err := client.Missing(t.Context(), "wrong", someChange("a")); !errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err := new(webhook.Client).Missing(t.Context(), "t"); !errors.Is(err, webhook.ErrInvalidConfig) {
		t.Errorf("no client: %v", err)
	}
	// What Sentry would refuse is asked for by nobody.
	late := someChange("late")
	late.CreatedAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)
	invalid := []webhook.Change{late, someChange(""), someChange(strings.Repeat("x", 257))}
	missing, err := client.Missing(t.Context(), "no token is needed to ask nothing", invalid...)
	if err != nil || len(missing) != len(invalid) {
		t.Errorf("%d are missing, %v", len(missing), err)
	}
}

// TestMissingWhereRowsChangePages has a log whose rows of the same time come in
// another order on each page, as those of a database may.
func TestMissingWhereRowsChangePages(t *testing.T) {
	const flags, per = 50, 6
	rows := make([]webhook.Change, flags*per)
	for i := range rows {
		rows[i] = someChange(fmt.Sprint("flag-", i%flags))
		rows[i].CreatedBy.ID = fmt.Sprint("author-", i/flags)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveUnsteadily(t, w, r.URL.Query(), rows) }))
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{
		URL:     server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/",
		Secrets: []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)},
	})
	if err != nil {
		t.Fatal(err)
	}
	more := someChange("flag-7")
	more.CreatedBy.ID = "somebody else"
	missing, err := client.Missing(t.Context(), "token", append(slices.Clone(rows), more)...)
	if err != nil || len(missing) != 1 || missing[0] != more {
		t.Errorf("%d are missing, %v: %v", len(missing), err, missing)
	}
}

func serveUnsteadily(t *testing.T, w http.ResponseWriter, query url.Values, rows []webhook.Change) {
	type row struct {
		ID            int       `json:"id"`
		Action        string    `json:"action"`
		CreatedAt     time.Time `json:"createdAt"`
		CreatedBy     string    `json:"createdBy"`
		CreatedByType string    `json:"createdByType"`
		Flag          string    `json:"flag"`
	}
	var found []row
	for i, c := range rows {
		if slices.Contains(query["flag"], c.Flag) {
			found = append(found, row{i, string(c.Action), c.CreatedAt, c.CreatedBy.ID, string(c.CreatedBy.Type), c.Flag})
		}
	}
	page := 0
	if cursor := query.Get("cursor"); cursor != "" {
		var err error
		if page, err = strconv.Atoi(strings.Split(cursor, ":")[1]); err != nil {
			t.Error(err)
		}
	}
	if page%2 == 1 && len(found) > 100 {
		found = append(slices.Clone(found[60:]), found[:60]...)
	}
	more := len(found) > 100*(page+1)
	w.Header().Set("Link", fmt.Sprintf(`<x>; rel="next"; results="%t"; cursor="100:%d:0"`, more, page+1))
	found = found[min(100*page, len(found)):min(100*(page+1), len(found))]
	if err := json.NewEncoder(w).Encode(map[string]any{"data": found}); err != nil {
		t.Error(err)
	}
}
