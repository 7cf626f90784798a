package receive_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// Webhooks of GrowthBook become changes in Sentry's flag log.
func ExampleReceiver() {
	sentry := webhooktest.NewServer(webhooktest.Config{}) // stands in for Sentry
	defer sentry.Close()
	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		log.Fatal(err)
	}
	store, err := queue.NewMemory(queue.MemoryConfig{}) // package sqlstore has one that survives
	if err != nil {
		log.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	secret := signing.NewSecret("ewhk_the-signing-key-of-the-webhook") // shown in GrowthBook's settings
	receiver, err := receive.New(receive.Config{
		Product: receive.GrowthBook{Environments: []string{"production"}},
		Secrets: []signing.Secret{secret},
		Emitter: emitter,
		Store:   store,
		Logger:  quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/growthbook", receiver)
	server := httptest.NewServer(mux)
	defer server.Close()

	// What GrowthBook sends.
	body := []byte(`{"event":"feature.updated","object":"feature","data":{"object":{"id":"new-checkout"}},
		"user":{"type":"dashboard","id":"u_1","email":"jane.doe@example.com","name":"Jane"},"environments":["production"]}`)
	signature, err := signing.Sign(secret, body)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/webhooks/growthbook", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("X-GrowthBook-Signature", signature)
	answer, err := server.Client().Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)

	found, err := sentry.WaitChanges(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found[0].Action, found[0].Flag, "by", found[0].CreatedBy.ID)
	for _, end := range []func(context.Context) error{receiver.Close, emitter.Close} {
		if err := end(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 200 OK
	// updated new-checkout by jane.doe@example.com
}
