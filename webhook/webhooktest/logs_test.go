package webhooktest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

var now = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// newLog has five rows: beta and alpha of 12 December, one of the day before,
// one of the future, and one from beyond the 90 days that are shown unasked.
func newLog(t *testing.T) *webhooktest.Server {
	s := newServer(t, webhooktest.Config{Now: func() time.Time { return now }})
	for _, row := range [][2]string{
		{"beta", "2024-12-12T00:00:00Z"},
		{"alpha", "2024-12-12T00:00:00Z"},
		{"with space", "2024-12-11T12:00:00.5Z"},
		{"later", "2025-01-01T00:00:00.000001Z"},
		{"long ago", "2024-10-02T23:59:59.999999Z"}, // 90 days and a moment
	} {
		body := strings.Replace(flagged(row[0]), "2024-12-12T00:00:00+00:00", row[1], 1)
		if status, answer := post(t, s, body); status != 200 || answer != "" {
			t.Fatal(status, answer)
		}
	}
	return s
}

func get(t *testing.T, s *webhooktest.Server, uri, authorization string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, body, err := send(s, r)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

func flagsOf(t *testing.T, body string) []string {
	t.Helper()
	var page struct{ Data []struct{ Flag string } }
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(body, err)
	}
	flags := []string{}
	for _, row := range page.Data {
		flags = append(flags, row.Flag)
	}
	return flags
}

func TestLogShape(t *testing.T) {
	s := newServer(t, webhooktest.Config{Now: func() time.Time { return now }})
	response, body := get(t, s, s.LogsURL(), "Bearer "+s.Token())
	if response.StatusCode != 200 || body != `{"data":[]}` {
		t.Error(response.Status, body)
	}
	post(t, s, hello)
	_, body = get(t, s, s.LogsURL(), "Bearer "+s.Token())
	want := `{"data":[{"id":1,"action":"created","createdAt":"2024-12-12T00:00:00+00:00","createdBy":"username","createdByType":"name","flag":"hello","provider":"generic","tags":{}}]}`
	if body != want {
		t.Errorf("%s\nwant %s", body, want)
	}
	if len(s.Requests()) != 1 {
		t.Error("reading the log counts as a request")
	}
}

func TestLogQueries(t *testing.T) {
	s := newLog(t)
	for query, want := range map[string]string{
		"":                            "with space|beta|alpha",
		"sort=created_at":             "with space|beta|alpha",
		"sort=-created_at":            "beta|alpha|with space",
		"flag=alpha":                  "alpha",
		"flag=alpha&flag=beta":        "beta|alpha",
		"flag=gamma":                  "",
		"flag=later":                  "",
		"provider=generic":            "with space|beta|alpha",
		"provider=unleash":            "",
		"provider=x&provider=generic": "with space|beta|alpha",
		"statsPeriod=90d":             "with space|beta|alpha",
		"statsPeriod=91d":             "long ago|with space|beta|alpha",
		"statsPeriod=3w":              "with space|beta|alpha",
		"statsPeriod=20d":             "beta|alpha",
		"statsPeriod=1h":              "",
		"start=2024-12-12T00:00:00&end=2024-12-13T00:00:00": "beta|alpha",
		"start=2024-12-11&end=2024-12-12":                   "with space",
		"start=2024-01-01&end=2026-01-01":                   "long ago|with space|beta|alpha|later",
		"per_page=2":                                        "with space|beta",
		"per_page=2&cursor=2:1:0":                           "alpha",
		"per_page=2&cursor=2:2:0":                           "",
		"cursor=0:0:0":                                      "with space|beta|alpha",
	} {
		response, body := get(t, s, s.LogsURL()+"?"+query, "Bearer "+s.Token())
		if got := strings.Join(flagsOf(t, body), "|"); response.StatusCode != 200 || got != want {
			t.Errorf("%s: %d %s, want %s", query, response.StatusCode, got, want)
		}
	}
}

func TestLogRefusals(t *testing.T) {
	s := newLog(t)
	bearer := "Bearer " + s.Token()
	for _, test := range []struct {
		uri, authorization string
		status             int
		answer             string
	}{
		{s.LogsURL(), "", 401, "Authentication credentials were not provided."},
		{s.LogsURL(), "Basic eDp5", 401, "Authentication credentials were not provided."},
		{s.LogsURL(), bearer + "x", 401, "Invalid token"},
		{strings.Replace(s.LogsURL(), "acme", "other", 1), bearer, 404, "The requested resource does not exist"},
		{s.LogsURL() + "?per_page=101", bearer, 400, "Invalid per_page value. Must be between 1 and 100."},
		{s.LogsURL() + "?per_page=0", bearer, 400, "Invalid per_page value. Must be between 1 and 100."},
		{s.LogsURL() + "?per_page=x", bearer, 400, "Invalid per_page value. Must be between 1 and 100."},
		{s.LogsURL() + "?cursor=1:2", bearer, 400, "Invalid cursor parameter."},
		{s.LogsURL() + "?cursor=1:x:0", bearer, 400, "Invalid cursor parameter."},
		{s.LogsURL() + "?cursor=100:-1:1", bearer, 400, "Invalid cursor parameter."},
		{s.LogsURL() + "?start=2024-01-01", bearer, 400, "start and end are both required"},
		{s.LogsURL() + "?start=2024-01-02&end=2024-01-01", bearer, 400, "start must be before end"},
		{s.LogsURL() + "?start=x&end=2024-01-01", bearer, 400, "x is not a valid ISO8601 date query"},
		{s.LogsURL() + "?statsPeriod=x", bearer, 400, "Invalid statsPeriod: 'x'"},
		{s.LogsURL() + "?sort=change_id", bearer, 501, "webhooktest sorts by created_at and -created_at only"},
	} {
		response, body := get(t, s, test.uri, test.authorization)
		var answer struct{ Detail string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || response.StatusCode != test.status || answer.Detail != test.answer {
			t.Errorf("%s: %d %s; want %d %s", test.uri, response.StatusCode, body, test.status, test.answer)
		}
	}
	r := signed(t, s, hello)
	r.URL.Path = s.LogsPath()
	if response, _, err := send(s, r); err != nil || response.StatusCode != 405 || response.Header.Get("Allow") == "" {
		t.Error("POST to the log:", response, err)
	}
}

func TestLogLink(t *testing.T) {
	s := newLog(t)
	response, _ := get(t, s, s.LogsURL(), "Bearer "+s.Token())
	want := `<` + s.LogsURL() + `?&cursor=100:-1:1>; rel="previous"; results="false"; cursor="100:-1:1", ` +
		`<` + s.LogsURL() + `?&cursor=100:1:0>; rel="next"; results="false"; cursor="100:1:0"`
	if got := response.Header.Get("Link"); got != want {
		t.Errorf("Link is %s\nwant %s", got, want)
	}
}

var linkEntry = regexp.MustCompile(`<([^>]+)>; rel="(\w+)"; results="(\w+)"; cursor="([^"]+)"`)

// Following the links forwards and backwards gives each row once.
func TestLogPages(t *testing.T) {
	s := newLog(t)
	bearer := "Bearer " + s.Token()
	all := []string{"with space", "beta", "alpha"}
	for perPage := range 4 {
		query := url.Values{"per_page": {string(rune('1' + perPage))}, "provider": {"generic"}}
		forwards, last := follow(t, s, s.LogsURL()+"?"+query.Encode(), bearer, "next")
		if !slices.Equal(slices.Concat(forwards...), all) {
			t.Errorf("%v per page forwards: %v", perPage+1, forwards)
		}
		if pages := (len(all) + perPage) / (perPage + 1); len(forwards) != pages {
			t.Errorf("%d pages of %d, want %d", len(forwards), perPage+1, pages)
		}
		backwards, _ := follow(t, s, last, bearer, "previous")
		slices.Reverse(backwards)
		if !slices.Equal(slices.Concat(backwards...), all) {
			t.Errorf("%v per page backwards: %v", perPage+1, backwards)
		}
	}
}

// follow returns the pages from uri on and the URI of the last one.
func follow(t *testing.T, s *webhooktest.Server, uri, bearer, direction string) (pages [][]string, last string) {
	for {
		response, body := get(t, s, uri, bearer)
		pages = append(pages, flagsOf(t, body))
		next := ""
		for _, entry := range linkEntry.FindAllStringSubmatch(response.Header.Get("Link"), -1) {
			if entry[2] == direction && entry[3] == "true" {
				next = entry[1]
			}
		}
		if next == "" {
			return pages, uri
		}
		uri = next
	}
}
