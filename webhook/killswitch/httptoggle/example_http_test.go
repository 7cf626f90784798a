package httptoggle_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/httptoggle"
)

// A flag system of one's own, switched by configuration.
func ExampleNew() {
	system := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.Method, r.URL.Path, string(body))
		_, _ = io.WriteString(w, `{"enabled": false, "previously": true}`)
	}))
	defer system.Close()

	var config httptoggle.Config
	err := json.Unmarshal([]byte(`{
		"method": "PUT",
		"url": "`+system.URL+`/api/${target.environment}/flags/${target.flag}",
		"body": {"enabled": "${state}", "comment": "${switch.reason}"},
		"confirm": {"pointer": "/enabled"},
		"was": {"pointer": "/previously"}
	}`), &config)
	if err != nil {
		fmt.Println(err)
		return
	}
	toggler, err := httptoggle.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	was, err := toggler.Toggle(context.Background(), killswitch.Switch{
		Target: killswitch.Target{Flag: "new-checkout", Attributes: map[string]string{"environment": "production"}},
		Alert:  `Checkout "failing"`, Trigger: "event_alert.triggered",
	})
	fmt.Println("was", was, err)
	// Output:
	// PUT /api/production/flags/new-checkout {"enabled":false,"comment":"Sentry alert \"Checkout \\\"failing\\\"\" (event_alert.triggered)"}
	// was on <nil>
}
