package readme

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

func TestEvaluation(t *testing.T) {
	sent := make(chan string, 1)
	sentryServer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent <- string(body)
	}))
	defer sentryServer.Close()
	t.Setenv("SENTRY_DSN", strings.Replace(sentryServer.URL, "http://", "http://key@", 1)+"/1")
	err := openfeature.SetProviderAndWait(memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"new-checkout": {State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true}},
	}))
	if err != nil {
		t.Fatal(err)
	}

	// README
	if err := sentry.Init(sentry.ClientOptions{Dsn: os.Getenv("SENTRY_DSN")}); err != nil {
		log.Fatal(err)
	}
	openfeature.AddHooks(flagtrack.NewHook()) // once, for the whole program

	handler := sentryhttp.New(sentryhttp.Options{}).HandleFunc(func(w http.ResponseWriter, r *http.Request) {
		flags := openfeature.NewDefaultClient()
		if flags.Boolean(r.Context(), "new-checkout", false, openfeature.EvaluationContext{}) {
			panic("the new checkout is broken") // arrives in Sentry with new-checkout: true
		}
	})
	// end of README

	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	if !sentry.Flush(5 * time.Second) {
		t.Fatal("not sent")
	}
	const want = `"flags":{"values":[{"flag":"new-checkout","result":true}]}`
	if body := <-sent; !strings.Contains(body, want) {
		t.Errorf("sent %s, want it to hold %s", body, want)
	}
}
