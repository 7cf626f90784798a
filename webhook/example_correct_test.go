package webhook_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// What Sentry refuses waits for a person among the dead letters. Here the name of
// a flag is too long for an older server: corrected, the change is delivered.
func ExampleInspector_Correct() {
	ctx := context.Background()
	server := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		log.Fatal(err)
	}
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	err = emitter.Emit(ctx, webhook.Change{
		Action: webhook.ActionUpdated, Flag: "checkout-" + strings.Repeat("x", 141),
		CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := emitter.Flush(ctx); err != nil {
		log.Fatal(err)
	}

	inspector := emitter.Inspector()
	dead, err := inspector.List(ctx, queue.Filter{States: []queue.State{queue.Dead}})
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range dead {
		fmt.Println("refused:", entry.Reason)
		change, err := webhook.DecodeItem(entry.Item)
		if err != nil {
			log.Fatal(err)
		}
		change.Flag = "checkout"
		if _, err := inspector.Correct(ctx, entry, change); err != nil {
			log.Fatal(err)
		}
	}
	if err := emitter.Close(ctx); err != nil {
		log.Fatal(err)
	}
	for _, delivered := range server.Changes() {
		fmt.Println("delivered:", delivered.Flag)
	}
	// Output:
	// refused: flag: Ensure this field has no more than 100 characters.
	// delivered: checkout
}
