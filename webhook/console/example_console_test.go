package console_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// A console on an admin server, below a path of its own. In the process that
// delivers, the inspector is the emitter's.
func ExampleNew() {
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	inspector, err := webhook.NewInspector(store, "flag-changes:sentry.io/acme", webhook.InspectorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	page, err := console.New(console.Config{
		Title:     "Flags of the shop",
		Inspector: inspector,
		Password:  signing.NewSecret("correct-horse-battery"), // console.PasswordFrom reads one from the environment
		Hosts:     []string{"admin.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/flags/", http.StripPrefix("/flags", page))

	for _, address := range []string{"http://admin.example.com/flags/", "http://somebody.example/flags/"} {
		request := httptest.NewRequest(http.MethodGet, address, nil)
		request.SetBasicAuth("ada", "correct-horse-battery")
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		fmt.Println(request.Host, answer.Code)
	}
	// Output:
	// admin.example.com 200
	// somebody.example 421
}
