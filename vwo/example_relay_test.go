package vwo_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
)

// A relay that switches new_checkout off when the metric alert "Checkout error
// rate" of project shop becomes critical.
func ExampleRelay() {
	standIn := vwotest.NewServer(vwotest.Config{Features: []string{"new_checkout"}}) // VWO, in a program
	defer standIn.Close()
	client, err := vwo.NewClient(vwo.ClientConfig{Token: vwo.NewToken(standIn.Token()), BaseURL: standIn.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	secret := signing.NewSecret("the-client-secret-of-the-integration")
	relay, err := vwo.NewRelay(vwo.RelayConfig{
		Secrets: []signing.Secret{secret},
		Toggler: client,
		Rules: []vwo.Rule{{
			Alert:   "Checkout error rate",
			Project: "shop",
			Target:  vwo.Target{Environment: "production", Feature: "new_checkout"},
		}},
		OnDecision: func(d vwo.Decision) { fmt.Println(d.Verdict, d.Reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer relay.Close(context.Background())

	// What Sentry posts.
	body := fmt.Sprintf(`{"action":"critical","data":{"metric_alert":{"status":20,"status_method":3,"projects":["shop"],`+
		`"date_started":"%s","alert_rule":{"id":"7","name":"Checkout error rate"}}}}`, time.Now().UTC().Format(time.RFC3339))
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
	fmt.Println("on:", standIn.Enabled("production", "new_checkout"))
	// Output:
	// refused the signature is wrong
	// acted a rule matches
	// ignored the same body was seen before
	// on: false
}

// plainFlags is a flag system of one's own.
type plainFlags map[string]bool

func (f plainFlags) Set(_ context.Context, environment, feature string, enabled bool) error {
	f[environment+"/"+feature] = enabled
	return nil
}

// The relay serves any flag system that can set a state.
func ExampleToggler() {
	var _ vwo.Toggler = plainFlags{}
	flags := plainFlags{"production/search": true}
	if err := flags.Set(context.Background(), "production", "search", false); err != nil {
		fmt.Println(err)
	}
	fmt.Println(flags)
	// Output: map[production/search:false]
}
