package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// An emitter delivers in the background. What a server rejects goes to the dead
// letters with its reason and can be replayed. The store here is emptied by a
// crash; package sqlstore has one that is not.
func ExampleEmitter() {
	ctx := context.Background()
	server := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026}) // an older Sentry
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
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
	if err != nil {
		log.Fatal(err)
	}

	change := func(flag string) webhook.Change {
		return webhook.Change{
			Action: webhook.ActionUpdated, CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}, Flag: flag,
		}
	}
	// What any Sentry would refuse is refused at the call.
	err = emitter.Emit(ctx, change(""))
	fmt.Println(errors.Is(err, webhook.ErrInvalidChange), err)

	err = emitter.Emit(ctx, change("new-checkout"), change(strings.Repeat("x", 101)), change("dark-mode"))
	fmt.Println("accepted:", err == nil)
	if err := emitter.Close(ctx); err != nil {
		log.Fatal(err)
	}

	for _, delivered := range server.Changes() {
		fmt.Println("delivered:", delivered.Flag)
	}
	dead, err := store.List(ctx, emitter.Queue(), queue.Filter{States: []queue.State{queue.Dead}})
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range dead {
		fmt.Println("dead:", item.Reason)
	}
	// Output:
	// true webhook: invalid change 0: Flag must not be empty or white space only
	// accepted: true
	// delivered: new-checkout
	// delivered: dark-mode
	// dead: flag: Ensure this field has no more than 100 characters.
}
