package webhook_test

import (
	"context"
	"fmt"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Sends changes under the names by which package flagtrack shows the flags, for
// a flag whose own name Sentry would delete from an event.
func ExampleConfig_shownNames() {
	sentry := webhooktest.NewServer(webhooktest.Config{}) // stands in for Sentry
	defer sentry.Close()

	for _, shown := range []bool{false, true} {
		client, err := webhook.NewClient(webhook.Config{
			URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()},
			ShownNames: shown,
			OnWarning:  func(w webhook.Warning) { fmt.Println("warning:", w.Field, "of", w.Flag) },
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		err = client.Send(context.Background(), webhook.Change{
			Action:    webhook.ActionUpdated,
			CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName},
			Flag:      "my flag",
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	for _, change := range sentry.Changes() {
		fmt.Println(change.Flag, webhook.Correlates(change.Flag))
	}
	// Output:
	// warning: Flag of my flag
	// my flag false
	// my_flag-a84e63b3 true
}
