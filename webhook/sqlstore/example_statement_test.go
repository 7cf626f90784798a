package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// A transaction of pgx carries the record of a change: the store shares pgx's
// pool, and gives the statement to run.
func ExampleStore_Statement() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("SENTRYFLAGS_TEST_POSTGRES"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTablePrefix("example_statement_"))
	if err != nil {
		log.Fatal(err)
	}
	defer dropExample(db)
	defer store.Close()
	server := webhooktest.NewServer(webhooktest.Config{}) // in place of Sentry
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		log.Fatal(err)
	}
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
	if err != nil {
		log.Fatal(err)
	}

	enable := func(flag, user string) error {
		items, err := emitter.Items(webhook.Change{
			Action: webhook.ActionUpdated, CreatedBy: webhook.Author{ID: user, Type: webhook.AuthorName}, Flag: flag,
		})
		if err != nil {
			return err
		}
		query, args, err := store.Statement(emitter.Queue(), items...)
		if err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			// Here goes the flag's own row.
			_, err := tx.Exec(ctx, query, args...)
			return err
		})
		if err != nil {
			return err
		}
		emitter.Wake()
		return nil
	}
	fmt.Println("new-checkout:", enable("new-checkout", "ada") == nil)

	if err := emitter.Close(ctx); err != nil {
		log.Fatal(err)
	}
	for _, change := range server.Changes() {
		fmt.Println(change.Flag, change.Action, "by", change.CreatedBy.ID)
	}
}

func dropExample(db *sql.DB) {
	if _, err := db.Exec("DROP TABLE example_statement_entries, example_statement_leases, example_statement_notes, example_statement_schema"); err != nil {
		log.Fatal(err)
	}
}

// TestExampleStatement runs the example, which needs PostgreSQL.
func TestExampleStatement(t *testing.T) {
	postgresDSN(t)
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	stdout := os.Stdout
	os.Stdout = output
	ExampleStore_Statement()
	os.Stdout = stdout
	text, err := os.ReadFile(output.Name())
	if want := "new-checkout: true\nnew-checkout updated by ada\n"; string(text) != want || err != nil {
		t.Errorf("printed %q, %v; want %q", text, err, want)
	}
}
