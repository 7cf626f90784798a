package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// visitorHeader stands for a session: it says who makes the request.
const visitorHeader = "X-Visitor"

// errorHeader is where the shop's answer names the error that was reported.
const errorHeader = "X-Error-Id"

// shop is a small web shop that evaluates all its flags on every request.
type shop struct {
	flags    atomic.Pointer[definitions]
	provider *memprovider.InMemoryProvider
	client   *openfeature.Client
	fault    fault
}

// newShop opens a shop whose flags come from the definitions. The two lines
// that an application adds for Sentry are the hook here and sentryhttp in
// [shop.handler].
func newShop(ctx context.Context, flags definitions, fault fault) (*shop, error) {
	s := &shop{provider: memprovider.NewInMemoryProvider(flags.inMemory()), fault: fault}
	s.flags.Store(&flags)
	if err := openfeature.SetNamedProviderWithContextAndWait(ctx, "shop", s.provider); err != nil {
		return nil, fmt.Errorf("flag provider: %w", err)
	}
	s.client = openfeature.NewClient("shop")
	s.client.AddHooks(flagtrack.NewHook())
	return s, nil
}

// define replaces the definitions, as a flag back end would.
func (s *shop) define(flags definitions) {
	s.provider.UpdateFlags(flags.inMemory())
	s.flags.Store(&flags)
}

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cart", s.cart)
	mux.HandleFunc("POST /checkout", s.checkout)
	return sentryhttp.New(sentryhttp.Options{}).Handle(mux)
}

func (s *shop) cart(w http.ResponseWriter, r *http.Request) {
	s.evaluate(r.Context(), visitorOf(r))
	fmt.Fprintln(w, "your basket")
}

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	visitor := visitorOf(r)
	values := s.evaluate(r.Context(), visitor)
	if s.fault.strikes(visitor, values) {
		hub := sentry.GetHubFromContext(r.Context())
		hub.Scope().SetUser(sentry.User{Username: visitor.name})
		if id := hub.CaptureException(errNoCurrency); id != nil {
			w.Header().Set(errorHeader, string(*id))
		}
		http.Error(w, "something went wrong on our side", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "thank you")
}

// paymentError is what the bug makes of a checkout.
type paymentError string

func (e paymentError) Error() string { return string(e) }

const errNoCurrency = paymentError("checkout: the payment has no currency")

// evaluate asks for every flag, and returns the values of the boolean ones.
func (s *shop) evaluate(ctx context.Context, visitor user) map[string]bool {
	flags := *s.flags.Load()
	about := openfeature.NewEvaluationContext(visitor.name, visitor.attributes())
	values := map[string]bool{}
	for _, name := range flags.names() {
		switch flags[name].kind() {
		case kindBoolean:
			values[name] = s.client.Boolean(ctx, name, false, about)
		case kindString:
			s.client.String(ctx, name, "", about)
		case kindNumber:
			s.client.Float(ctx, name, 0, about)
		default:
			s.client.Object(ctx, name, nil, about)
		}
	}
	return values
}

func visitorOf(r *http.Request) user {
	for _, visitor := range visitors {
		if visitor.name == r.Header.Get(visitorHeader) {
			return visitor
		}
	}
	return user{name: "guest", plan: "free"}
}
