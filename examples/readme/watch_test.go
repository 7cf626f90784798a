package readme

import (
	"log"
	"log/slog"
	"os"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestWatchedChange(t *testing.T) {
	t.Chdir(t.TempDir())
	quiet := slog.New(slog.DiscardHandler)
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(quiet)
	server := webhooktest.NewServer(webhooktest.Config{})
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(state string) {
		if err := os.WriteFile("checkout.flagd.json", []byte(`{"flags":{"new-checkout":{"state":"`+state+`"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ENABLED")
	ctx := t.Context()

	// README
	watcher, err := changes.NewWatcher(changes.Config{
		Source:  &changes.File{Path: "checkout.flagd.json"},
		Format:  changes.Flagd{},
		Store:   store,
		Emitter: emitter,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close(ctx) // before the emitter: what is deferred runs backwards
	// end of README
	for watcher.Stats().Version == 0 {
		watcher.Look()
	}
	write("DISABLED")
	watcher.Look()
	if stored, err := server.WaitChanges(t.Context(), 1); err != nil || stored[0].Flag != "new-checkout" || stored[0].CreatedBy.ID != "flagd:checkout.flagd.json" {
		t.Errorf("%v, %v", stored, err)
	}
	for _, end := range []error{watcher.Close(t.Context()), emitter.Close(t.Context()), store.Close()} {
		if end != nil {
			t.Error(end)
		}
	}
}
