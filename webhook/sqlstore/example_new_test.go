package sqlstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// An emitter on an SQLite file: what Emit has accepted survives a crash.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server := webhooktest.NewServer(webhooktest.Config{}) // in place of Sentry
	defer server.Close()

	db, err := sqlstore.OpenSQLite("sqlite", filepath.Join(dir, "changes.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		log.Fatal(err)
	}
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
	if err != nil {
		log.Fatal(err)
	}

	err = emitter.Emit(ctx, webhook.Change{
		Action:    webhook.ActionUpdated,
		CreatedBy: webhook.Author{ID: "jane.doe@example.com", Type: webhook.AuthorEmail},
		Flag:      "new-checkout",
	})
	fmt.Println("accepted:", err == nil)
	fmt.Println("delivered:", emitter.Close(ctx) == nil, len(server.Changes()))
	// Output:
	// accepted: true
	// delivered: true 1
}
