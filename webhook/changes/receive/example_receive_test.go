package receive_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
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

// What is watched and received is reported once, by the watcher, with the author
// from the webhook.
func ExampleReceiver_watched() {
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
	var settings atomic.Value // what ConfigCat's file would say
	settings.Store(`{"f":{"new-checkout":{"v":{"b":false}}}}`)
	watcher, err := changes.NewWatcher(changes.Config{
		Source: changes.SourceFunc("config_v6.json", func(context.Context) (map[string][]byte, error) {
			return map[string][]byte{"config_v6.json": []byte(settings.Load().(string))}, nil
		}),
		Format:     changes.Keyed("/f", "").Called("configcat"),
		Store:      store,
		Emitter:    emitter,
		AuthorWait: 15 * time.Second,
		Logger:     quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := receive.New(receive.Config{
		Product:  receive.Any{Product: "configcat", Header: "X-Webhook-Secret", Author: "/by", Flags: "/changes/*/settingKey"},
		Secrets:  []signing.Secret{signing.NewSecret("entered-at-configcat-as-a-header")},
		Watchers: []*changes.Watcher{watcher},
		Logger:   quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	for watcher.Stats().Version == 0 { // the baseline
		time.Sleep(10 * time.Millisecond)
	}

	settings.Store(`{"f":{"new-checkout":{"v":{"b":true}}}}`)
	// What ConfigCat sends, from the body {"by":"##ChangedBy##","changes":##ChangeDetails##}.
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"by":"Jane (jane.doe@example.com)","changes":[{"settingKey":"new-checkout","event":"changed"}]}`))
	request.Header.Set("X-Webhook-Secret", "entered-at-configcat-as-a-header")
	answer := httptest.NewRecorder()
	receiver.ServeHTTP(answer, request)
	fmt.Println(answer.Code)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found, err := sentry.WaitChanges(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found[0].Action, found[0].Flag, "by", found[0].CreatedBy.ID)
	for _, end := range []func(context.Context) error{receiver.Close, watcher.Close, emitter.Close} {
		if err := end(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 200
	// updated new-checkout by Jane (jane.doe@example.com)
}
