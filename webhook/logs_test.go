package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func readLog(ctx context.Context, client *webhook.Client, token string, query webhook.LogsQuery) ([]webhook.LogEntry, error) {
	var entries []webhook.LogEntry
	for entry, err := range client.Logs(ctx, token, query) {
		if err != nil {
			return entries, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

func TestLogs(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{}, nil)
	changes := make([]webhook.Change, 250)
	start := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Hour)
	for i := range changes {
		changes[i] = someChange(fmt.Sprintf("flag & %d", i%10))
		changes[i].CreatedAt = start.Add(time.Duration(i) * time.Second)
	}
	if err := client.Send(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	all, err := readLog(t.Context(), client, webhooktest.DefaultToken, webhook.LogsQuery{})
	if err != nil || len(all) != 250 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	for i, entry := range all {
		want := changes[249-i]
		if entry.Flag != want.Flag || !entry.CreatedAt.Equal(want.CreatedAt) || entry.CreatedBy != want.CreatedBy ||
			entry.Action != want.Action || entry.Provider != "generic" || entry.ID != int64(250-i) {
			t.Fatalf("entry %d is %+v, want %+v", i, entry, want)
		}
	}
	for name, tc := range map[string]struct {
		query webhook.LogsQuery
		want  int
	}{
		"two flags":     {webhook.LogsQuery{Flags: []string{"flag & 3", "flag & 4"}}, 50},
		"no such flag":  {webhook.LogsQuery{Flags: []string{"flag"}}, 0},
		"ten seconds":   {webhook.LogsQuery{Start: start, End: start.Add(10 * time.Second)}, 10},
		"all providers": {webhook.LogsQuery{AllProviders: true}, 250},
	} {
		if got, err := readLog(t.Context(), client, " "+webhooktest.DefaultToken+"\n", tc.query); err != nil || len(got) != tc.want {
			t.Errorf("%s: %d entries, %v; want %d", name, len(got), err, tc.want)
		}
	}
	for _, err := range client.Logs(t.Context(), webhooktest.DefaultToken, webhook.LogsQuery{}) {
		if err != nil {
			t.Error(err)
		}
		break // a loop may end early
	}
}

func TestLogsRefuses(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{}, nil)
	now := time.Now()
	for name, tc := range map[string]struct {
		token string
		query webhook.LogsQuery
		want  string
	}{
		"no token":        {" ", webhook.LogsQuery{}, "token"},
		"header in token": {"a\r\nb", webhook.LogsQuery{}, "token"},
		"only a start":    {"t", webhook.LogsQuery{Start: now}, "both Start and End"},
		"end first":       {"t", webhook.LogsQuery{Start: now, End: now}, "before End"},
		"wrong token":     {"secret-token", webhook.LogsQuery{}, "the token is not authorized; it needs the scope org:read"},
	} {
		_, err := readLog(t.Context(), client, tc.token, tc.query)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: the error shows the token", name)
		}
		if err != nil && strings.Contains(err.Error(), "signing secret") {
			t.Errorf("%s: the log is not read with the secret: %v", name, err)
		}
	}
	if _, err := readLog(t.Context(), client, "wrong", webhook.LogsQuery{}); !errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
	var none context.Context
	if _, err := readLog(none, client, "t", webhook.LogsQuery{}); err == nil {
		t.Error("no context")
	}
}

// TestLogsAdvice: what a status means for a read is about the token and the log.
func TestLogsAdvice(t *testing.T) {
	for status, want := range map[int]struct {
		is   error
		says string
	}{
		http.StatusUnauthorized: {webhook.ErrUnauthorized, "org:read"},
		http.StatusForbidden:    {webhook.ErrUnauthorized, "org:read"},
		http.StatusNotFound:     {webhook.ErrNotFound, "the token's owner"},
		http.StatusBadRequest:   {webhook.ErrRefused, "the question"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		client, err := webhook.NewClient(webhook.Config{
			URL:     server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/",
			Secrets: []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = readLog(t.Context(), client, "t", webhook.LogsQuery{})
		if !errors.Is(err, want.is) || !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "fewer changes") {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
}

// TestLogsKeepsTheToken has a server whose Link header and whose redirect lead
// elsewhere.
func TestLogsKeepsTheToken(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token went elsewhere") }))
	defer thief.Close()
	pages := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			t.Error("no token")
		}
		pages++
		switch pages {
		case 1:
			if r.URL.Query().Get("cursor") != "" {
				t.Error("a cursor on the first page")
			}
		case 2:
			if r.URL.Query().Get("cursor") != "0:100:0" {
				t.Errorf("the second page's query is %s", r.URL.RawQuery)
			}
		case 3:
			http.Redirect(w, r, thief.URL, http.StatusFound)
			return
		}
		w.Header().Set("Link", fmt.Sprintf(`<%s/?a,b;rel="next"&cursor=x>; rel="previous"; results="true"; cursor="0:0:1", <%s/>; rel="next"; results="true"; cursor="0:%d00:0"`, thief.URL, thief.URL, pages))
		fmt.Fprint(w, `{"data":[{"id":1,"action":"updated","createdAt":"2024-01-01T05:12:33+00:00","createdBy":null,"createdByType":null,"flag":"f","provider":null,"tags":{}}]}`)
	}))
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{
		URL:     server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/",
		Secrets: []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)},
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := readLog(t.Context(), client, "the-token", webhook.LogsQuery{})
	if len(entries) != 2 || !errors.Is(err, webhook.ErrRedirected) {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestLogsUnexpectedAnswers(t *testing.T) {
	for name, body := range map[string]string{
		"a page":          "<html>",
		"no data":         `{}`,
		"null":            `{"data":null}`,
		"not a row":       `{"data":[1]}`,
		"too much":        `{"data":[]}` + strings.Repeat(" ", 10<<20),
		"a broken number": `{"data":[{"id":1e99}]}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		client, err := webhook.NewClient(webhook.Config{
			URL:     server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/",
			Secrets: []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readLog(t.Context(), client, "t", webhook.LogsQuery{}); !errors.Is(err, webhook.ErrUnexpectedAnswer) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}
