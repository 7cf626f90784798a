package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Reports one change and waits for Sentry's answer.
func ExampleClient_Send() {
	sentry := webhooktest.NewServer(webhooktest.Config{}) // stands in for Sentry
	defer sentry.Close()

	client, err := webhook.NewClient(webhook.Config{
		URL:     sentry.URL(), // as copied from Sentry's settings page
		Secrets: []signing.Secret{sentry.Secret()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = client.Send(context.Background(), webhook.Change{
		Action:    webhook.ActionUpdated,
		CreatedAt: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC),
		CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName},
		Flag:      "new-checkout-flow",
	})
	fmt.Println("error:", err)
	for _, change := range sentry.Changes() {
		fmt.Println(change.Flag, change.Action, "by", change.CreatedBy.ID)
	}
	// Output:
	// error: <nil>
	// new-checkout-flow updated by deploy-bot
}

// Tells a change that Sentry will never take from a failure that passes.
func ExampleRejectionError() {
	sentry := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026}) // an older server
	defer sentry.Close()
	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		fmt.Println(err)
		return
	}

	by := webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}
	err = client.Send(context.Background(),
		webhook.Change{Action: webhook.ActionCreated, CreatedBy: by, Flag: "short"},
		webhook.Change{Action: webhook.ActionCreated, CreatedBy: by, Flag: fmt.Sprintf("%0120d", 0)},
	)
	var rejection *webhook.RejectionError
	if errors.As(err, &rejection) {
		for i, fields := range rejection.Changes {
			fmt.Printf("change %d: %v\n", i, fields)
		}
	}
	fmt.Println("stored:", len(sentry.Changes()))
	// Output:
	// change 1: flag: Ensure this field has no more than 100 characters.
	// stored: 0
}
