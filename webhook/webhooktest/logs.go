package webhooktest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
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
	forbidden     = detailAnswer(http.StatusForbidden, "You do not have permission to perform this action.")
)

const logMethods = "GET, HEAD, OPTIONS"

// logs answers GET …/flags/logs/.
func (h *Handler) logs(r *http.Request, organization string) answer {
	switch {
	case r.Method == http.MethodOptions:
		return stored.with("Allow", logMethods)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return notAllowed(r.Method, logMethods)
	}
	if refusal, ok := h.authorize(r.Header.Get("Authorization")); !ok {
		return refusal
	}
	if !h.isOrganization(organization) {
		return noResource
	}
	query := r.URL.Query()
	rows, refusal := h.visible(query)
	if refusal != "" {
		return detailAnswer(http.StatusBadRequest, refusal)
	}
	if !sortRecords(rows, query.Get("sort")) {
		return internalError // Django does not know such a column
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
	case strings.HasPrefix(token, "sntrys_"):
		return forbidden, false
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

var columns = map[string]func(a, b Record) int{
	"id":         func(a, b Record) int { return cmp.Compare(a.ID, b.ID) },
	"created_at": func(a, b Record) int { return a.Change.CreatedAt.Compare(b.Change.CreatedAt) },
	"createdAt":  func(a, b Record) int { return a.Change.CreatedAt.Compare(b.Change.CreatedAt) },
	"flag":       func(a, b Record) int { return strings.Compare(a.Change.Flag, b.Change.Flag) },
}

// sortRecords sorts by a column, downwards behind a minus; by created_at unless
// told otherwise. Equal rows stay in the order of storing.
func sortRecords(rows []Record, by string) bool {
	name, down := strings.CutPrefix(cmp.Or(by, "created_at"), "-")
	compare, ok := columns[name]
	if !ok {
		return false
	}
	slices.SortStableFunc(rows, func(a, b Record) int {
		if down {
			a, b = b, a
		}
		return compare(a, b)
	})
	return true
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
