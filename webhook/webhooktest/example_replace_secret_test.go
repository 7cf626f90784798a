package webhooktest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Saving a new secret in Sentry replaces the old one at once.
func ExampleHandler_SetSecret() {
	server := webhooktest.NewServer(webhooktest.Config{})
	defer server.Close()
	current, next := server.Secret(), signing.NewSecret("the-secret-of-next-week")

	check := func(secrets ...signing.Secret) error {
		client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: secrets})
		if err != nil {
			return err
		}
		return client.Check(context.Background())
	}
	server.SetSecret(next)
	fmt.Println("only the old one, refused:", errors.Is(check(current), webhook.ErrUnauthorized))
	fmt.Println("both:", check(current, next))
	// Output:
	// only the old one, refused: true
	// both: <nil>
}
