package killswitch_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// criticalAlert is what Sentry posts.
func criticalAlert() string {
	return fmt.Sprintf(`{"action":"critical","data":{"metric_alert":{"status":20,"status_method":3,"projects":["shop"],`+
		`"date_started":"%s","alert_rule":{"id":"7","name":"Checkout error rate"}}}}`, time.Now().UTC().Format(time.RFC3339))
}

// A relay that switches new-checkout off when the monitor "Checkout error rate" of
// project shop becomes critical.
func ExampleRelay() {
	system := flags{"new-checkout": true}
	secret := signing.NewSecret("the-client-secret-of-the-integration")
	relay, err := killswitch.NewRelay(killswitch.Config{
		Secrets:  []signing.Secret{secret},
		Togglers: map[string]killswitch.Toggler{"own": system},
		Rules: []killswitch.Rule{{
			Alert:   "Checkout error rate",
			Project: "shop",
			Target:  killswitch.Target{Flag: "new-checkout"},
		}},
		Logger:     slog.New(slog.DiscardHandler),
		OnDecision: func(d killswitch.Decision) { fmt.Println(d.Verdict, d.Reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer relay.Close(context.Background())

	body := criticalAlert()
	for _, signedWith := range []signing.Secret{signing.NewSecret("a guess"), secret, secret} {
		request := httptest.NewRequest(http.MethodPost, "/sentry", strings.NewReader(body))
		signature, err := signing.Sign(signedWith, []byte(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		request.Header.Set(signing.HookHeader, signature)
		relay.ServeHTTP(httptest.NewRecorder(), request)
	}
	fmt.Println("on:", system["new-checkout"])
	// Output:
	// refused the signature is wrong
	// acted a rule matches
	// ignored the same body was seen before
	// on: false
}

// What a relay would make of an alert, and why.
func ExampleExplain() {
	a, err := alert.Parse([]byte(criticalAlert()))
	if err != nil {
		fmt.Println(err)
		return
	}
	rules := []killswitch.Rule{{Alert: "Checkout error rate", Project: "blog", Target: killswitch.Target{Flag: "new-checkout"}}}
	explained := killswitch.Explain(&a, rules, 0, time.Now())
	fmt.Println(explained.Decision.Reason)
	for _, condition := range explained.Rules[0] {
		fmt.Println(condition.Holds, condition)
	}
	// Output:
	// no rule matches
	// true Alert: "Checkout error rate"
	// false Project: want "blog", got "shop"
	// true When: event_alert.triggered or metric_alert.critical
}
