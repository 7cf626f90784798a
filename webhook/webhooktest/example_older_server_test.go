package webhooktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// A self-hosted Sentry from before September 2026 takes flag names of 100
// characters, and refuses a longer one with its 200.
func ExampleConfig_olderServer() {
	server := webhooktest.NewServer(webhooktest.Config{
		MaxFlag:    webhook.MaxFlagBefore2026,
		ErrorShape: webhooktest.ErrorsInList,
	})
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{
		URL:     server.URL(),
		Secrets: []signing.Secret{server.Secret()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = client.Send(context.Background(), webhook.Change{
		Action:    webhook.ActionCreated,
		CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName},
		Flag:      strings.Repeat("x", 150),
	})
	fmt.Println("rejected:", errors.Is(err, webhook.ErrRejected))
	request := server.Requests()[0]
	fmt.Println(request.Status, string(request.Answer))
	fmt.Println("stored:", len(server.Changes()))
	// Output:
	// rejected: true
	// 200 {"data":[{"flag":["Ensure this field has no more than 100 characters."]}]}
	// stored: 0
}
