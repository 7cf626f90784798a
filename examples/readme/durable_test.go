package readme

import (
	"context"
	"log"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestDurableChange(t *testing.T) {
	t.Chdir(t.TempDir())
	server := webhooktest.NewServer(webhooktest.Config{})
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	change := webhook.Change{
		Action:    webhook.ActionDeleted,
		Flag:      "old-checkout",
		CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName},
	}

	// README
	db, err := sqlstore.OpenSQLite("sqlite", "changes.db") // import _ "modernc.org/sqlite"
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Check(ctx); err != nil { // proves the URL and the secret, and writes nothing
		log.Print(err) // what is wrong; what is emitted waits until it is mended
	}
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		emitter.Close(ctx) // delivers what waits, or leaves it on disk for the next start
	}()
	err = emitter.Emit(ctx, change) // nil: the change is on disk, and will reach Sentry
	// end of README
	if err != nil {
		t.Fatal(err)
	}
	if err := emitter.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if stored := server.Changes(); len(stored) != 1 || stored[0].Flag != "old-checkout" {
		t.Errorf("stored %v", stored)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
