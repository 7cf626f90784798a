package signing_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
)

// A receiver of Sentry's alerts that accepts two client secrets while one of
// them is being replaced.
func ExampleVerifyRequest() {
	current, previous := signing.NewSecret("current-client-secret"), signing.NewSecret("previous-client-secret")
	keys, err := signing.NewKeys(current, previous)
	if err != nil {
		fmt.Println(err)
		return
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := signing.VerifyRequest(r, signing.HookHeader, keys, 0)
		if err != nil {
			http.Error(w, err.Error(), signing.StatusCode(err))
			return
		}
		fmt.Fprintf(w, "%d authentic bytes", len(body))
	}

	send := func(signature string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"action":"critical"}`))
		r.Header.Set(signing.HookHeader, signature)
		w := httptest.NewRecorder()
		receive(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	authentic, err := signing.Sign(previous, []byte(`{"action":"critical"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	send(authentic)
	send(strings.Repeat("0", 64))
	// Output:
	// 200 21 authentic bytes
	// 401 signing: the signature does not match the body under any of the secrets
}
