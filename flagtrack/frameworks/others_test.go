package frameworks

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
	sentryfiber "github.com/getsentry/sentry-go/fiber"
	fiber2 "github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"google.golang.org/grpc"
	health "google.golang.org/grpc/health/grpc_health_v1"
)

// serveFiber2 has the adapter of an older sentry-go, which keeps its hub in fasthttp's context only.
func serveFiber2(t *testing.T, l net.Listener) {
	app := fiber2.New(fiber2.Config{DisableStartupMessage: true})
	app.Use(sentryfiber.New(sentryfiber.Options{}))
	app.Get("/work", func(c *fiber2.Ctx) error {
		handle(string([]byte(c.Get("X-Context"))), map[string]context.Context{"c.Context()": c.Context()},
			sentryfiber.GetHubFromContext(c), string([]byte(c.Get("X-Id"))))
		return nil
	})
	go func() { _ = app.Listener(l) }()
	t.Cleanup(func() { _ = app.Shutdown() })
}

// serveFiber3 does what sentryfiberv3 does.
func serveFiber3(t *testing.T, l net.Listener) {
	app := fiber.New()
	app.Use(func(c fiber.Ctx) error {
		hub := sentry.CurrentHub().Clone()
		span := sentry.StartTransaction(sentry.SetHubOnContext(c.Context(), hub), "fiber")
		defer span.Finish()
		c.SetContext(span.Context())
		c.Locals("sentry", hub)
		defer func() { hub.RecoverWithContext(span.Context(), recover()) }()
		return c.Next()
	})
	app.Get("/work", func(c fiber.Ctx) error {
		handle(string([]byte(c.Get("X-Context"))), map[string]context.Context{"c": c, "c.Context()": c.Context()},
			c.Locals("sentry").(*sentry.Hub), string([]byte(c.Get("X-Id"))))
		return nil
	})
	go func() { _ = app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() { _ = app.Shutdown() })
}

// withSentry does what sentryfasthttp does: its hub and its span are in fasthttp's own values.
func withSentry(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		hub := sentry.CurrentHub().Clone()
		span := sentry.StartTransaction(sentry.SetHubOnContext(ctx, hub), "fasthttp")
		defer span.Finish()
		ctx.SetUserValue("sentry", hub)
		ctx.SetUserValue("sentry_transaction", span)
		defer func() { hub.RecoverWithContext(context.Background(), recover()) }()
		next(ctx)
	}
}

func serveFastHTTP(t *testing.T, l net.Listener) {
	server := &fasthttp.Server{Handler: withSentry(func(ctx *fasthttp.RequestCtx) {
		handle(string(ctx.Request.Header.Peek("X-Context")), map[string]context.Context{
			"ctx":            ctx,
			"span.Context()": ctx.UserValue("sentry_transaction").(*sentry.Span).Context(),
		}, ctx.UserValue("sentry").(*sentry.Hub), string(ctx.Request.Header.Peek("X-Id")))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Shutdown() })
}

// healthServer is the one service that needs no generated code of our own.
type healthServer struct {
	health.UnimplementedHealthServer
}

func (healthServer) Check(ctx context.Context, r *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	id, which, _ := strings.Cut(r.Service, " ")
	handle(which, map[string]context.Context{"ctx": ctx}, sentry.GetHubFromContext(ctx), id)
	return &health.HealthCheckResponse{}, nil
}

// serveGRPC has an interceptor that does what sentrygrpc does.
func serveGRPC(t *testing.T, l net.Listener) {
	server := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			hub := sentry.CurrentHub().Clone()
			span := sentry.StartTransaction(sentry.SetHubOnContext(ctx, hub), "grpc")
			defer span.Finish()
			defer func() { hub.RecoverWithContext(span.Context(), recover()) }()
			return next(span.Context(), request)
		}))
	health.RegisterHealthServer(server, healthServer{})
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
}
