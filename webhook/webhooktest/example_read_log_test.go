package webhooktest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// The log as Sentry's API returns it. A change dated in the future is stored,
// and hidden until then.
func ExampleServer_LogsURL() {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	server := webhooktest.NewServer(webhooktest.Config{Now: func() time.Time { return now }})
	defer server.Close()

	body := `{"data":[{"action":"created","change_id":1,"created_at":"2026-09-01T13:00:00Z",` +
		`"created_by":{"id":"jane","type":"name"},"flag":"dark-mode"}],"meta":{"version":1}}`
	signature, err := signing.Sign(server.Secret(), []byte(body))
	if err != nil {
		fmt.Println(err)
		return
	}
	do := func(method, target, body string) string {
		request, err := http.NewRequest(method, target, strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set(signing.Header, signature)
		request.Header.Set("Authorization", "Bearer "+server.Token())
		response, err := server.Client().Do(request)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", string(text)))
	}
	query := "?" + url.Values{"flag": {"dark-mode"}, "sort": {"-created_at"}}.Encode()
	fmt.Println(do(http.MethodPost, server.URL(), body))
	fmt.Println(do(http.MethodGet, server.LogsURL()+query, ""))
	now = now.Add(2 * time.Hour)
	fmt.Println(do(http.MethodGet, server.LogsURL()+query, ""))
	// Output:
	// 200
	// 200 {"data":[]}
	// 200 {"data":[{"id":1,"action":"created","createdAt":"2026-09-01T13:00:00+00:00","createdBy":"jane","createdByType":"name","flag":"dark-mode","provider":"generic","tags":{}}]}
}
