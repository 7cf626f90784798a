package webhooktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logRow is a row as Sentry's API returns it. The change_id is not in it.
type logRow struct {
	ID            int64    `json:"id"`
	Action        string   `json:"action"`
	CreatedAt     string   `json:"createdAt"`
	CreatedBy     string   `json:"createdBy"`
	CreatedByType string   `json:"createdByType"`
	Flag          string   `json:"flag"`
	Provider      string   `json:"provider"`
	Tags          struct{} `json:"tags"`
}

var (
	noCredentials = detailAnswer(http.StatusUnauthorized, "Authentication credentials were not provided.").with("WWW-Authenticate", `Bearer realm="api"`)
	invalidToken  = detailAnswer(http.StatusUnauthorized, "Invalid token").with("WWW-Authenticate", `Bearer realm="api"`)
)

// logs answers GET …/flags/logs/.
func (h *Handler) logs(r *http.Request, organization string) answer {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed(r.Method, "GET, HEAD, OPTIONS")
	}
	if refusal, ok := h.authorize(r.Header.Get("Authorization")); !ok {
		return refusal
	}
	if organization != h.config.Organization {
		return noResource
	}
	query := r.URL.Query()
	rows, refusal := h.visible(query)
	if refusal != "" {
		return detailAnswer(http.StatusBadRequest, refusal)
	}
	if !sortRecords(rows, query.Get("sort")) {
		return detailAnswer(http.StatusNotImplemented, "webhooktest sorts by created_at and -created_at only")
	}
	page, refusal := paginate(rows, query)
	if refusal != "" {
		return detailAnswer(http.StatusBadRequest, refusal)
	}
	body, err := json.Marshal(map[string]any{"data": logRows(page.records)})
	if err != nil {
		return internalError
	}
	return jsonAnswer(http.StatusOK, string(body)).with("Link", page.link("http://"+r.Host+r.URL.EscapedPath(), query))
}

func (h *Handler) authorize(authorization string) (answer, bool) {
	scheme, token, _ := strings.Cut(authorization, " ")
	switch {
	case authorization == "" || !strings.EqualFold(scheme, "Bearer"):
		return noCredentials, false
	case token != h.config.Token:
		return invalidToken, false
	}
	return answer{}, true
}

// visible returns the rows that the query's dates, flags and providers leave.
func (h *Handler) visible(query url.Values) ([]Record, string) {
	from, to, refusal := period(query, h.config.Now())
	if refusal != "" {
		return nil, refusal
	}
	flags, providers := query["flag"], query["provider"]
	rows := slices.DeleteFunc(h.Records(), func(r Record) bool {
		at := r.Change.CreatedAt
		return at.Before(from) || !at.Before(to) ||
			len(flags) > 0 && !slices.Contains(flags, r.Change.Flag) ||
			len(providers) > 0 && !slices.Contains(providers, "generic")
	})
	return rows, ""
}

// sortRecords sorts by time, downwards behind a minus. Equal rows stay in the
// order of storing.
func sortRecords(rows []Record, by string) bool {
	name, down := strings.CutPrefix(cmp.Or(by, "created_at"), "-")
	slices.SortStableFunc(rows, func(a, b Record) int {
		if down {
			a, b = b, a
		}
		return a.Change.CreatedAt.Compare(b.Change.CreatedAt)
	})
	return name == "created_at"
}

func logRows(records []Record) []logRow {
	rows := make([]logRow, len(records))
	for i, r := range records {
		rows[i] = logRow{
			ID:            r.ID,
			Action:        string(r.Change.Action),
			CreatedAt:     isoformat(r.Change.CreatedAt),
			CreatedBy:     r.Change.CreatedBy.ID,
			CreatedByType: string(r.Change.CreatedBy.Type),
			Flag:          r.Change.Flag,
			Provider:      "generic",
		}
	}
	return rows
}

// isoformat is Python's: the fraction has six digits or is left out.
func isoformat(t time.Time) string {
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05-07:00")
	}
	return t.Format("2006-01-02T15:04:05.000000-07:00")
}

// longest is how far back the log goes if the query does not say.
const longest = 90 * 24 * time.Hour

// period returns the time that a query asks for: from, inclusive, to,
// exclusive. Unless start and end are given it ends now, which hides what is
// dated in the future.
func period(query url.Values, now time.Time) (from, to time.Time, refusal string) {
	start, end := query.Get("start"), query.Get("end")
	switch {
	case query.Has("statsPeriod"):
		back, ok := statsPeriod(query.Get("statsPeriod"))
		if !ok {
			return from, to, "Invalid statsPeriod: '" + query.Get("statsPeriod") + "'"
		}
		return now.Add(-back), now, ""
	case start == "" && end == "":
		return now.Add(-longest), now, ""
	case start == "" || end == "":
		return from, to, "start and end are both required"
	}
	for value, t := range map[string]*time.Time{start: &from, end: &to} {
		var ok bool
		if *t, ok = parseTime(value); !ok {
			return from, to, value + " is not a valid ISO8601 date query"
		}
	}
	if !from.Before(to) {
		return from, to, "start must be before end"
	}
	return from, to, ""
}

// statsPeriod reads 2w, 14d, 24h, 90m, 30s.
func statsPeriod(s string) (time.Duration, bool) {
	number, unit := s[:max(0, len(s)-1)], s[max(0, len(s)-1):]
	n, err := strconv.ParseUint(number, 10, 16)
	length, known := map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}[unit]
	return time.Duration(n) * length, known && err == nil
}

const maxPerPage = 100

// A page of the log. Of Sentry's cursors, size:number:is_prev, the number of the
// page counts.
type page struct {
	records []Record
	size    int
	number  int
	more    bool
}

func paginate(rows []Record, query url.Values) (page, string) {
	p := page{size: maxPerPage}
	if query.Has("per_page") {
		p.size, _ = strconv.Atoi(query.Get("per_page"))
		if p.size < 1 || p.size > maxPerPage {
			return page{}, fmt.Sprintf("Invalid per_page value. Must be between 1 and %d.", maxPerPage)
		}
	}
	if cursor := query.Get("cursor"); cursor != "" {
		parts := strings.Split(cursor, ":")
		if len(parts) != 3 {
			return page{}, "Invalid cursor parameter."
		}
		n, err := strconv.ParseUint(parts[1], 10, 31)
		if err != nil {
			return page{}, "Invalid cursor parameter."
		}
		p.number = int(n)
	}
	rows = rows[min(int64(p.number)*int64(p.size), int64(len(rows))):]
	p.records, p.more = rows[:min(p.size, len(rows))], len(rows) > p.size
	return p, ""
}

// link is the Link header: both directions always, results="false" where there
// is nothing.
func (p page) link(base string, query url.Values) string {
	query.Del("cursor")
	uri := base + "?" + query.Encode()
	entry := func(name, cursor string, results bool) string {
		return fmt.Sprintf(`<%s&cursor=%s>; rel="%s"; results="%t"; cursor="%s"`, uri, cursor, name, results, cursor)
	}
	previous := fmt.Sprintf("%d:%d:1", p.size, p.number-1)
	next := fmt.Sprintf("%d:%d:0", p.size, p.number+1)
	return entry("previous", previous, p.number > 0) + ", " + entry("next", next, p.more)
}
