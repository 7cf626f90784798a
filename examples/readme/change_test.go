package readme

import (
	"log"
	"os"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestChange(t *testing.T) {
	server := webhooktest.NewServer(webhooktest.Config{})
	defer server.Close()
	t.Setenv("SENTRY_FLAGS_WEBHOOK_URL", server.URL())
	t.Setenv("SENTRY_FLAGS_WEBHOOK_SECRET", webhooktest.DefaultSecret)
	ctx := t.Context()

	// README
	client, err := webhook.NewClient(webhook.Config{
		URL:     os.Getenv("SENTRY_FLAGS_WEBHOOK_URL"), // as Sentry's settings page shows it
		Secrets: []signing.Secret{signing.NewSecret(os.Getenv("SENTRY_FLAGS_WEBHOOK_SECRET"))},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = client.Send(ctx, webhook.Change{
		Action:    webhook.ActionUpdated,
		Flag:      "new-checkout",
		CreatedBy: webhook.Author{ID: "ada@example.com", Type: webhook.AuthorEmail},
	})
	// end of README
	if err != nil {
		t.Fatal(err)
	}
	if stored := server.Changes(); len(stored) != 1 || stored[0].Flag != "new-checkout" {
		t.Errorf("stored %v", stored)
	}
}
