package webhooktest_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// A sender that tries again until it has an answer: an outage, a rate limit,
// and a connection that broke after Sentry had stored the change. The last one
// makes two rows, which no sender can prevent.
func ExampleHandler_Fail() {
	server := webhooktest.NewServer(webhooktest.Config{})
	defer server.Close()
	server.Fail(
		webhooktest.Status(http.StatusServiceUnavailable),
		webhooktest.RateLimited(time.Unix(1_800_000_000, 0)),
		webhooktest.Disconnect().AfterStoring(),
	)

	body := `{"data":[{"action":"deleted","change_id":1,"created_at":"2026-09-01T08:30:00Z",` +
		`"created_by":{"id":"deploy-bot","type":"name"},"flag":"old-banner"}],"meta":{"version":1}}`
	signature, err := signing.Sign(server.Secret(), []byte(body))
	if err != nil {
		fmt.Println(err)
		return
	}
	for attempt := 1; attempt <= 4; attempt++ {
		request, err := http.NewRequest(http.MethodPost, server.URL(), strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set(signing.Header, signature)
		response, err := server.Client().Do(request)
		if err != nil {
			fmt.Println(attempt, "no answer")
			continue
		}
		_ = response.Body.Close()
		fmt.Println(attempt, response.Status)
	}
	for _, record := range server.Records() {
		fmt.Printf("row %d by request %d: %s %s\n", record.ID, record.Request, record.Change.Action, record.Change.Flag)
	}
	// Output:
	// 1 503 Service Unavailable
	// 2 429 Too Many Requests
	// 3 no answer
	// 4 200 OK
	// row 1 by request 3: deleted old-banner
	// row 2 by request 4: deleted old-banner
}
