package sqlstore_test

import (
	"log/slog"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// fill enqueues n changes, in the form in which an emitter does.
func fill(tb testing.TB, store queue.Store, n int) {
	tb.Helper()
	idle, err := webhook.NewClient(webhook.Config{URL: newURL, Secrets: []signing.Secret{signing.NewSecret(sinkSecret)}})
	if err != nil {
		tb.Fatal(err)
	}
	memory, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	emitter, err := webhook.NewEmitter(idle, memory, webhook.EmitterConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	defer emitter.Close(tb.Context())
	for start := 0; start < n; start += 1000 {
		var changes []webhook.Change
		for i := start; i < min(n, start+1000); i++ {
			changes = append(changes, crashChange(i))
		}
		items, err := emitter.Items(changes...)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := store.Add(tb.Context(), testQueue, queue.Addition{Items: items}); err != nil {
			tb.Fatal(err)
		}
	}
}

const newURL = "https://sentry.io/api/0/organizations/acme/flags/hooks/provider/generic/"
