package webhooktest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Test code that reports changes: what has Sentry stored, and what was sent?
func ExampleNewServer() {
	server := webhooktest.NewServer(webhooktest.Config{})
	defer server.Close()

	// This is the code under test.
	client, err := webhook.NewClient(webhook.Config{
		URL:     server.URL(),
		Secrets: []signing.Secret{server.Secret()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = client.Send(context.Background(), webhook.Change{
		Action:    webhook.ActionUpdated,
		CreatedAt: time.Date(2026, 9, 1, 8, 30, 0, 0, time.UTC),
		CreatedBy: webhook.Author{ID: "jane.doe@example.com", Type: webhook.AuthorEmail},
		Flag:      "new-checkout-flow",
	})
	fmt.Println("error:", err)

	for _, change := range server.Changes() {
		fmt.Println(change.CreatedAt.Format(time.DateTime), change.CreatedBy.ID, change.Action, change.Flag)
	}
	request := server.Requests()[0]
	fmt.Println(request.Method, request.Header.Get("Content-Type"), request.Status)
	// Output:
	// error: <nil>
	// 2026-09-01 08:30:00 jane.doe@example.com updated new-checkout-flow
	// POST application/json 200
}
