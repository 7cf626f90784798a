package webhook_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// An import that broke off half-way goes on where it was.
func ExampleClient_Missing() {
	sentry := webhooktest.NewServer(webhooktest.Config{})
	defer sentry.Close()
	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	ada := webhook.Author{ID: "ada@example.com", Type: webhook.AuthorEmail}
	history := []webhook.Change{
		{Action: webhook.ActionCreated, Flag: "new-checkout", CreatedBy: ada, CreatedAt: at},
		{Action: webhook.ActionUpdated, Flag: "new-checkout", CreatedBy: ada, CreatedAt: at.Add(time.Hour)},
	}
	if err := client.Send(ctx, history[0]); err != nil {
		fmt.Println(err)
		return
	}
	missing, err := client.Missing(ctx, sentry.Token(), history...)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range missing {
		fmt.Println(change.Action, change.Flag)
	}
	// Output:
	// updated new-checkout
}
