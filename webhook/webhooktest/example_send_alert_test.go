package webhooktest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Tests a relay of one's own with an alert as Sentry sends it.
func ExampleNewAlertRequest() {
	secret := signing.NewSecret("the-client-secret-of-the-integration")
	relay := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys, err := signing.NewKeys(secret)
		if err != nil {
			http.Error(w, "misconfigured", http.StatusInternalServerError)
			return
		}
		if _, err := signing.VerifyRequest(r, signing.HookHeader, keys, 0); err != nil {
			http.Error(w, "not Sentry", signing.StatusCode(err))
			return
		}
		fmt.Println("an alert:", r.Header.Get("Sentry-Hook-Resource"))
	})

	for _, signedWith := range []signing.Secret{secret, signing.NewSecret("somebody-else's-secret")} {
		request, err := webhooktest.NewAlertRequest(context.Background(), "https://relay.example.com/", signedWith,
			webhooktest.IssueAlert{Rule: "Checkout failing", Flags: map[string]bool{"new-checkout": true}})
		if err != nil {
			fmt.Println(err)
			return
		}
		answer := httptest.NewRecorder()
		relay.ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}
	// Output:
	// an alert: event_alert
	// 200
	// 401
}
