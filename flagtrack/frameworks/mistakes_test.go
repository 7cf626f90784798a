package frameworks

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/getsentry/sentry-go"
	sentryecho "github.com/getsentry/sentry-go/echo"
	"github.com/labstack/echo/v4"
	"github.com/valyala/fasthttp"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

// TestOlderEcho: the context of the request has no hub with sentryecho before 0.49, so the flag is left out and counted.
func TestOlderEcho(t *testing.T) {
	events.Reset()
	before := flagtrack.Stats().NoHub
	e := echo.New()
	e.Use(sentryecho.New(sentryecho.Options{}))
	e.GET("/", func(c echo.Context) error {
		evaluate(c.Request().Context(), "a", true)
		sentryecho.GetHubFromContext(c).CaptureMessage("error")
		return nil
	})
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	for _, event := range events.Events() {
		if got := flagtracktest.Flags(event); len(got) > 0 {
			t.Errorf("an event shows %v", got)
		}
	}
	if n := flagtrack.Stats().NoHub - before; n != 1 {
		t.Errorf("%d evaluations are counted", n)
	}
}

// TestSpansOfFastHTTP: a context made with SetHubOnContext has no span, so that StartSpan makes a second transaction of
// the request; that of the adapter's span has both.
func TestSpansOfFastHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		context func(ctx *fasthttp.RequestCtx, hub *sentry.Hub) context.Context
		want    int
	}{
		"SetHubOnContext": {func(ctx *fasthttp.RequestCtx, hub *sentry.Hub) context.Context {
			return sentry.SetHubOnContext(ctx, hub)
		}, 2},
		"span.Context()": {func(ctx *fasthttp.RequestCtx, _ *sentry.Hub) context.Context {
			return ctx.UserValue("sentry_transaction").(*sentry.Span).Context()
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			events.Reset()
			withSentry(func(ctx *fasthttp.RequestCtx) {
				span := sentry.StartSpan(c.context(ctx, ctx.UserValue("sentry").(*sentry.Hub)), "step")
				evaluate(span.Context(), "a", true)
				span.Finish()
			})(&fasthttp.RequestCtx{})
			if n := transactions(); n != c.want {
				t.Errorf("%d transactions, want %d", n, c.want)
			}
		})
	}
}

// TestPanicHandlerFunc: what negroni's PanicHandlerFunc captures with a hub of its own shows no flags.
func TestPanicHandlerFunc(t *testing.T) {
	events.Reset()
	hub := sentry.CurrentHub().Clone()
	evaluate(sentry.SetHubOnContext(context.Background(), hub), "a", true)
	sentry.CurrentHub().Clone().CaptureMessage("captured by PanicHandlerFunc")
	if got := flagtracktest.Flags(events.Last()); len(got) > 0 {
		t.Errorf("the error shows %v", got)
	}
}
