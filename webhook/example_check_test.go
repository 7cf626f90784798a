package webhook_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Proves at start-up that the URL and the secret are right, without writing
// anything into Sentry's log.
func ExampleClient_Check() {
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()

	for _, secret := range []signing.Secret{sentry.Secret(), signing.NewSecret("mistyped-secret")} {
		client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{secret}})
		if err != nil {
			fmt.Println(err)
			return
		}
		err = client.Check(context.Background())
		fmt.Println(err == nil, errors.Is(err, webhook.ErrUnauthorized))
	}
	// Output:
	// true false
	// false true
}
