package frameworks

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/getsentry/sentry-go"
	sentryecho "github.com/getsentry/sentry-go/echo"
	sentrygin "github.com/getsentry/sentry-go/gin"
	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/kataras/iris/v12"
	"github.com/labstack/echo/v4"
	"github.com/urfave/negroni"
)

// start serves HTTP until the test ends.
func start(t *testing.T, l net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
}

// handleRequest is a handler of net/http that has its hub in the request's context.
func handleRequest(_ http.ResponseWriter, r *http.Request) {
	handle(r.Header.Get("X-Context"), map[string]context.Context{"r.Context()": r.Context()},
		sentry.GetHubFromContext(r.Context()), r.Header.Get("X-Id"))
}

func serveHTTP(t *testing.T, l net.Listener) {
	start(t, l, sentryhttp.New(sentryhttp.Options{}).HandleFunc(handleRequest))
}

func serveChi(t *testing.T, l net.Listener) {
	router := chi.NewRouter()
	router.Use(sentryhttp.New(sentryhttp.Options{}).Handle)
	router.Get("/work", handleRequest)
	start(t, l, router)
}

func newGin(fallback bool) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.ContextWithFallback = fallback
	engine.Use(sentrygin.New(sentrygin.Options{}))
	return engine
}

func serveGin(t *testing.T, l net.Listener) {
	engines := map[bool]*gin.Engine{true: newGin(true), false: newGin(false)}
	for _, engine := range engines {
		engine.GET("/work", func(c *gin.Context) {
			handle(c.GetHeader("X-Context"), map[string]context.Context{
				"c": c, "c with ContextWithFallback": c, "c.Request.Context()": c.Request.Context(),
			}, sentrygin.GetHubFromContext(c), c.GetHeader("X-Id"))
		})
	}
	start(t, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		engines[r.Header.Get("X-Context") == "c with ContextWithFallback"].ServeHTTP(w, r)
	}))
}

// serveEcho has the adapter of an older sentry-go, which does not put its hub into the request's context.
func serveEcho(t *testing.T, l net.Listener) {
	e := echo.New()
	e.Use(sentryecho.New(sentryecho.Options{}))
	e.GET("/work", func(c echo.Context) error {
		hub := sentryecho.GetHubFromContext(c)
		ctx := sentry.SetHubOnContext(c.Request().Context(), hub)
		handle(c.Request().Header.Get("X-Context"), map[string]context.Context{
			"hub from sentryecho":  ctx,
			"span from sentryecho": sentryecho.GetSpanFromContext(c).Context(),
		}, hub, c.Request().Header.Get("X-Id"))
		return nil
	})
	start(t, l, e)
}

// serveEchoToday does what sentryecho does since 0.49.
func serveEchoToday(t *testing.T, l net.Listener) {
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			hub := sentry.CurrentHub().Clone()
			span := sentry.StartTransaction(sentry.SetHubOnContext(c.Request().Context(), hub), "echo")
			defer span.Finish()
			c.SetRequest(c.Request().WithContext(span.Context()))
			c.Set("sentry", hub)
			defer func() { hub.RecoverWithContext(span.Context(), recover()) }()
			return next(c)
		}
	})
	e.GET("/work", func(c echo.Context) error {
		ctx := c.Request().Context()
		handle(c.Request().Header.Get("X-Context"), map[string]context.Context{"c.Request().Context()": ctx},
			sentry.GetHubFromContext(ctx), c.Request().Header.Get("X-Id"))
		return nil
	})
	start(t, l, e)
}

// serveNegroni does what sentrynegroni does.
func serveNegroni(t *testing.T, l net.Listener) {
	n := negroni.New(negroni.HandlerFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		hub := sentry.CurrentHub().Clone()
		span := sentry.StartTransaction(sentry.SetHubOnContext(r.Context(), hub), "negroni")
		defer span.Finish()
		defer func() { hub.RecoverWithContext(span.Context(), recover()) }()
		next(w, r.WithContext(span.Context()))
	}))
	n.UseHandlerFunc(handleRequest)
	start(t, l, n)
}

// serveIris does what sentryiris does: its hub and its span are in iris's own values.
func serveIris(t *testing.T, l net.Listener) {
	app := iris.New()
	app.Logger().SetLevel("disable")
	app.Use(func(ctx iris.Context) {
		hub := sentry.CurrentHub().Clone()
		span := sentry.StartTransaction(sentry.SetHubOnContext(ctx.Request().Context(), hub), "iris")
		defer span.Finish()
		ctx.Values().Set("sentry", hub)
		ctx.Values().Set("sentry_transaction", span)
		defer func() { hub.RecoverWithContext(span.Context(), recover()) }()
		ctx.Next()
	})
	app.Get("/work", func(ctx iris.Context) {
		handle(ctx.GetHeader("X-Context"), map[string]context.Context{
			"ctx":            ctx,
			"span.Context()": ctx.Values().Get("sentry_transaction").(*sentry.Span).Context(),
		}, ctx.Values().Get("sentry").(*sentry.Hub), ctx.GetHeader("X-Id"))
	})
	if err := app.Build(); err != nil {
		t.Fatal(err)
	}
	start(t, l, app)
}
