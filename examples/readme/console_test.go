package readme

import (
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestConsole(t *testing.T) {
	server := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
	defer server.Close()
	client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	defer emitter.Close(ctx)
	author := webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}
	err = emitter.Emit(ctx, webhook.Change{Action: webhook.ActionCreated, Flag: "checkout-" + strings.Repeat("x", 141), CreatedBy: author})
	if err != nil {
		t.Fatal(err)
	}
	if err := emitter.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONSOLE_PASSWORD", "correct-horse-battery")
	mux := http.NewServeMux()

	// README
	password, err := console.PasswordFrom("CONSOLE_PASSWORD") // or a file: CONSOLE_PASSWORD_FILE
	if err != nil {
		log.Fatal(err)
	}
	page, err := console.New(console.Config{Inspector: emitter.Inspector(), Password: password})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/flags/", http.StripPrefix("/flags", page))
	// end of README

	admin := httptest.NewServer(mux)
	defer admin.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin.URL+"/flags/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("ada", "correct-horse-battery")
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
}
