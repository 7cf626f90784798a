package sqlstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// A flag's row and the record of its change commit together or not at all.
func ExampleStore_EnqueueTx() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server := webhooktest.NewServer(webhooktest.Config{}) // in place of Sentry
	defer server.Close()
	db, err := sqlstore.OpenSQLite("sqlite", filepath.Join(dir, "flags.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `CREATE TABLE flags (name TEXT PRIMARY KEY, enabled BOOLEAN)`); err != nil {
		log.Fatal(err)
	}
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

	create := func(flag, user string) error {
		items, err := emitter.Items(webhook.Change{
			Action: webhook.ActionCreated, CreatedBy: webhook.Author{ID: user, Type: webhook.AuthorName}, Flag: flag,
		})
		if err != nil {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		// First the row, whose lock puts the records of a flag in order.
		if _, err := tx.ExecContext(ctx, `INSERT INTO flags VALUES (?, true)`, flag); err != nil {
			return err
		}
		if _, err := store.EnqueueTx(ctx, tx, emitter.Queue(), items...); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		emitter.Wake()
		return nil
	}
	fmt.Println("new-checkout:", create("new-checkout", "ada") == nil)
	fmt.Println("again:", create("new-checkout", "grace") == nil)

	if err := emitter.Close(ctx); err != nil {
		log.Fatal(err)
	}
	for _, change := range server.Changes() {
		fmt.Println(change.Flag, change.Action, "by", change.CreatedBy.ID)
	}
	// Output:
	// new-checkout: true
	// again: false
	// new-checkout created by ada
}
