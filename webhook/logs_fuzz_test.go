package webhook

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzReadLogs reads pages of the flag log and their Link headers: no answer
// may panic, and a cursor is only what the header says.
func FuzzReadLogs(f *testing.F) {
	f.Add(200, `{"data":[{"id":1,"action":"updated","createdAt":"2024-01-01T05:12:33+00:00","createdBy":"jane.doe@example.com","createdByType":"email","flag":"f","provider":"generic","tags":{}}]}`,
		`<https://sentry.io/?cursor=0:0:1>; rel="previous"; results="false"; cursor="0:0:1", <https://sentry.io/?a=,;>; rel="next"; results="true"; cursor="0:100:0"`)
	f.Add(200, `{"data":null}`, `<>;;=;"`)
	f.Add(401, `{"detail":"Invalid token"}`, ``)
	f.Add(200, `[]`, `>`)
	f.Add(201, ``, ``)
	f.Fuzz(func(t *testing.T, status int, body, link string) {
		response := respond(status, map[string]string{"Link": link}, strings.NewReader(body))
		entries, cursor, err := readLogs(t.Context(), response)
		if err != nil && (entries != nil || cursor != "") {
			t.Error("an error comes with entries")
		}
		if err == nil && status != http.StatusOK {
			t.Errorf("status %d is taken for a page", status)
		}
		if !strings.Contains(link, cursor) {
			t.Errorf("cursor %q is not in %q", cursor, link)
		}
	})
}
