package webhook_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Reading Sentry's flag log back proves what has arrived.
func ExampleClient_Logs() {
	ctx := context.Background()
	server := webhooktest.NewServer(webhooktest.Config{}) // in place of Sentry
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		log.Fatal(err)
	}
	err = client.Send(ctx, webhook.Change{
		Action: webhook.ActionCreated, CreatedBy: webhook.Author{ID: "ada", Type: webhook.AuthorName}, Flag: "new-checkout",
	})
	if err != nil {
		log.Fatal(err)
	}

	token := webhooktest.DefaultToken // one of yours, with the scope org:read
	for entry, err := range client.Logs(ctx, token, webhook.LogsQuery{Flags: []string{"new-checkout"}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Flag, entry.Action, "by", entry.CreatedBy.ID)
	}
	// Output:
	// new-checkout created by ada
}
