// Command httpserver shows flags in an HTTP service: sentryhttp gives every
// request a hub of its own, flagtrack's hook records each OpenFeature evaluation
// on it, and an error carries the flags of its own request and no others.
//
//	go run ./examples/httpserver
//
// It needs no account: it makes its own requests and prints the flags of each
// error instead of sending it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "httpserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	var printed lines
	err := sentry.Init(sentry.ClientOptions{
		Dsn:        "http://key@127.0.0.1/1", // nothing is sent there
		BeforeSend: printed.instead,
	})
	if err != nil {
		return err
	}
	if err := openfeature.SetProviderWithContextAndWait(ctx, provider()); err != nil {
		return err
	}
	openfeature.AddHooks(flagtrack.NewHook()) // once, for the whole program

	server := httptest.NewServer(handler())
	defer server.Close()
	if err := visit(ctx, server, "ada", "grace", "joan", "mary"); err != nil {
		return err
	}
	sentry.CaptureException(errors.New("outside of any request"))

	printed.writeTo(out)
	return nil
}

// handler is the service. sentryhttp puts the request's hub into the context,
// so it goes around everything that evaluates flags.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /search", search)
	return sentryhttp.New(sentryhttp.Options{}).Handle(mux)
}

func search(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	flags := openfeature.NewDefaultClient()
	about := openfeature.NewEvaluationContext(user, nil)

	// The context is what ties an evaluation to the request.
	vector := flags.Boolean(r.Context(), "vector-search", false, about)
	if vector {
		flags.Boolean(r.Context(), "rerank-results", false, about)
	}
	hub := sentry.GetHubFromContext(r.Context())
	hub.CaptureException(fmt.Errorf("search failed for %s", user))
	http.Error(w, "try again", http.StatusInternalServerError)
}

// provider stands for the flag system that you use. Ada and Joan have the new
// search.
func provider() openfeature.FeatureProvider {
	forSome := func(_ memprovider.InMemoryFlag, about openfeature.FlattenedContext) (any, openfeature.ProviderResolutionDetail) {
		user := about[openfeature.TargetingKey]
		return user == "ada" || user == "joan", openfeature.ProviderResolutionDetail{Reason: openfeature.TargetingMatchReason}
	}
	return memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"vector-search": {
			State:            memprovider.Enabled,
			ContextEvaluator: &forSome,
		},
		"rerank-results": {
			State:          memprovider.Enabled,
			DefaultVariant: "on",
			Variants:       map[string]any{"on": true, "off": false},
		},
	})
}

// visit makes a request for each user, all at the same time.
func visit(ctx context.Context, server *httptest.Server, users ...string) error {
	failures := make([]error, len(users))
	var requests sync.WaitGroup
	for i, user := range users {
		requests.Go(func() { failures[i] = searchAs(ctx, server, user) })
	}
	requests.Wait()
	return errors.Join(failures...)
}

func searchAs(ctx context.Context, server *httptest.Server, user string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/search?user="+user, http.NoBody)
	if err != nil {
		return err
	}
	response, err := server.Client().Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// lines collects what would have been sent.
type lines struct {
	mu   sync.Mutex
	text []string
}

// instead is a BeforeSend that prints in place of sending.
func (l *lines) instead(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
	flags := "no flags"
	if recorded, ok := event.Contexts["flags"]; ok {
		encoded, err := json.Marshal(recorded)
		if err != nil {
			return nil
		}
		flags = string(encoded)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, fmt.Sprintf("%-24s %s", event.Exception[0].Value, flags))
	return nil
}

func (l *lines) writeTo(out io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.text) // the requests ran at the same time
	for _, line := range l.text {
		fmt.Fprintln(out, line)
	}
}
