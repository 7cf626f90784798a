package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/open-feature/go-sdk/openfeature"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var (
	errNoCurrency = errors.New("the payment has no currency") // behind new-checkout
	errDeclined   = errors.New("the card was declined")       // whatever the flags
)

// shop is what the service is for. Nothing in it knows that flags are recorded.
type shop struct {
	flags  *openfeature.Client
	traces trace.TracerProvider
}

func newShop(traces trace.TracerProvider, hooks ...openfeature.Hook) *shop {
	flags := openfeature.NewDefaultClient()
	flags.AddHooks(hooks...)
	return &shop{flags, traces}
}

// checkout also returns what it received from each flag, in words: that is what
// the errors are held against in the end.
func (s *shop) checkout(ctx context.Context, user string) (received []string, err error) {
	about := openfeature.NewEvaluationContext(user, nil)
	on := func(flag string) bool {
		value := s.flags.Boolean(ctx, flag, false, about)
		received = append(received, fmt.Sprintf("%s=%t", flag, value))
		return value
	}
	on("gift-wrapping")
	if strings.HasSuffix(user, "7") {
		on("saved-baskets")
	}
	switch {
	case on("new-checkout"):
		return received, errNoCurrency
	case strings.HasSuffix(user, "13"):
		return received, errDeclined
	}
	return received, nil
}

// report captures an error on the request's hub. The context also says which
// OpenTelemetry span the error happened in: see linkTraces.
func report(ctx context.Context, err error) {
	hub := sentry.GetHubFromContext(ctx)
	hub.Client().CaptureException(err, &sentry.EventHint{Context: ctx}, hub.Scope())
}

// linkTraces makes errors say in which OpenTelemetry trace they happened.
func linkTraces(client *sentry.Client) {
	client.SetExternalContextTraceResolver(func(ctx context.Context) (sentry.TraceID, sentry.SpanID, bool) {
		span := trace.SpanContextFromContext(ctx)
		return sentry.TraceID(span.TraceID()), sentry.SpanID(span.SpanID()), span.IsValid()
	})
}

// http is the front for browsers. sentryhttp gives each request a hub of its
// own, within the span of otelhttp.
func (s *shop) http() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /checkout", func(w http.ResponseWriter, r *http.Request) {
		sentry.GetHubFromContext(r.Context()).Scope().SetTag("request", r.Header.Get("Request-Id"))
		received, err := s.checkout(r.Context(), r.URL.Query().Get("user"))
		w.Header()["Received"] = received
		if err != nil {
			report(r.Context(), err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return otelhttp.NewHandler(sentryhttp.New(sentryhttp.Options{}).Handle(mux), "checkout", otelhttp.WithTracerProvider(s.traces))
}

// grpc is the front for other services. Its messages are well-known types, so
// that nothing has to be generated.
func (s *shop) grpc() *grpc.Server {
	server := grpc.NewServer(grpc.UnaryInterceptor(ownHub), grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(s.traces))))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Shop", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Checkout", Handler: s.unary}},
	}, s)
	return server
}

func (s *shop) unary(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	user := new(wrapperspb.StringValue)
	if err := decode(user); err != nil {
		return nil, err
	}
	return intercept(ctx, user, &grpc.UnaryServerInfo{Server: s, FullMethod: checkoutMethod}, func(ctx context.Context, _ any) (any, error) {
		received, err := s.checkout(ctx, user.GetValue())
		_ = grpc.SetTrailer(ctx, metadata.MD{"received": received}) // fails outside of a call only
		if err != nil {
			report(ctx, err)
			return nil, status.Error(codes.Internal, err.Error())
		}
		return new(emptypb.Empty), nil
	})
}

const checkoutMethod = "/shop.Shop/Checkout"

// ownHub gives each call a hub of its own, as sentryhttp does for HTTP.
func ownHub(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	hub := sentry.CurrentHub().Clone()
	if id := metadata.ValueFromIncomingContext(ctx, "request-id"); len(id) == 1 {
		hub.Scope().SetTag("request", id[0])
	}
	return handle(sentry.SetHubOnContext(ctx, hub), request)
}
