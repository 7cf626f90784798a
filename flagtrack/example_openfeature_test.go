package flagtrack_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// An HTTP service evaluates flags through OpenFeature. sentryhttp gives each request a hub of its own, so each error
// shows the flags of its own request and nothing else.
func Example_openFeature() {
	initSentry()
	checkoutForJane := func(
		flag memprovider.InMemoryFlag, user openfeature.FlattenedContext,
	) (any, openfeature.ProviderResolutionDetail) {
		return user[openfeature.TargetingKey] == "jane", openfeature.ProviderResolutionDetail{}
	}
	var evaluator memprovider.ContextEvaluator = &checkoutForJane
	provider := memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"new-checkout": {State: memprovider.Enabled, ContextEvaluator: evaluator},
	})
	if err := openfeature.SetNamedProviderAndWait("shop", provider); err != nil {
		fmt.Println(err)
		return
	}
	flags := openfeature.NewClient("shop")
	flags.AddHooks(flagtrack.NewHook()) // this is all

	checkout := func(_ http.ResponseWriter, r *http.Request) {
		user := openfeature.NewEvaluationContext(r.URL.Query().Get("user"), nil)
		flags.Boolean(r.Context(), "new-checkout", false, user)
		flags.Boolean(r.Context(), "not-defined-yet", true, user) // the default is what the application receives
		sentry.GetHubFromContext(r.Context()).CaptureException(errors.New(r.URL.Query().Get("user") + " cannot pay"))
	}
	server := sentryhttp.New(sentryhttp.Options{}).HandleFunc(checkout)
	for _, user := range []string{"jane", "joe"} {
		server(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/checkout?user="+user, nil))
	}
	// Output:
	// jane cannot pay: {"values":[{"flag":"new-checkout","result":true},{"flag":"not-defined-yet","result":true}]}
	// span: flag.evaluation.new-checkout=true flag.evaluation.not-defined-yet=true
	// joe cannot pay: {"values":[{"flag":"new-checkout","result":false},{"flag":"not-defined-yet","result":true}]}
	// span: flag.evaluation.new-checkout=false flag.evaluation.not-defined-yet=true
}
