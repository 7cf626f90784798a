package changes_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// A file of flagd is watched. Who is told that it has changed, by OpenFeature's
// ProviderConfigChange event say, makes the watcher look at once.
func ExampleWatcher_Look() {
	sentry := webhooktest.NewServer(webhooktest.Config{}) // stands in for Sentry
	defer sentry.Close()
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "checkout.flagd.json")
	edit := func(state string) {
		definition := `{"flags":{"new-checkout":{"state":"` + state + `","variants":{"on":true,"off":false},"defaultVariant":"on"}}}`
		if err := os.WriteFile(path, []byte(definition), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	edit("ENABLED")

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
	watcher, err := changes.NewWatcher(changes.Config{
		Source:  &changes.File{Path: path},
		Format:  changes.Flagd{},
		Store:   store,
		Emitter: emitter,
		Logger:  quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	for watcher.Stats().Version == 0 { // the baseline
		time.Sleep(10 * time.Millisecond)
	}

	edit("DISABLED")
	// openfeature.AddHandler(openfeature.ProviderConfigChange, &callback), where
	// callback calls:
	watcher.Look()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found, err := sentry.WaitChanges(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found[0].Action, found[0].Flag, "by", found[0].CreatedBy.ID)
	for _, end := range []func(context.Context) error{watcher.Close, emitter.Close} {
		if err := end(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output: updated new-checkout by flagd:checkout.flagd.json
}

// What changed between two documents, and what within them.
func ExampleDiffDefinitions() {
	format := changes.Keyed("/features", "name", "description")
	before, err := format.Read("features.json", []byte(`{"features":[{"name":"checkout","enabled":false,"description":"new"},{"name":"banner"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	after, err := format.Read("features.json", []byte(`{"features":[{"name":"checkout","enabled":true,"description":"newer"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	edits, err := changes.DiffDefinitions(before, after)
	if err != nil {
		log.Fatal(err)
	}
	for _, edit := range edits {
		fmt.Println(edit.Action, edit.Flag, edit.Fields)
	}
	// Output:
	// deleted banner []
	// updated checkout [{enabled false true}]
}

// A document behind a URL, with a token that is read anew for each request.
func ExampleNewURL() {
	source, err := changes.NewURL(changes.URLConfig{
		URL: "https://unleash.example.com/api/client/features",
		Header: func(h http.Header) {
			h.Set("Authorization", os.Getenv("UNLEASH_TOKEN"))
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Name())
	// Output: unleash.example.com
}
