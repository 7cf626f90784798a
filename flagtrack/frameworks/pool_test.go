package frameworks

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/getsentry/sentry-go"
	sentrygin "github.com/getsentry/sentry-go/gin"
	"github.com/gin-gonic/gin"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

// TestKeptContext: gin uses its contexts again. A goroutine that keeps c beyond its request records on the next user's
// error, which nobody can tell from outside; one that has a fork of c never does.
func TestKeptContext(t *testing.T) {
	keep := func(c *gin.Context) context.Context { return c }
	fork := func(c *gin.Context) context.Context { return flagtrack.Fork(c) }
	for _, c := range []struct {
		name      string
		keep      func(*gin.Context) context.Context
		next, own string
	}{
		{"c", keep, "next=true late=true", ""},
		{"Fork(c)", fork, "next=true", "early=true late=true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 100 { // until gin's pool gives the same context again
				if again, next, own := twoRequests(c.keep); again {
					if next != c.next || own != c.own {
						t.Errorf("the next user's error has [%s], want [%s]; the goroutine's has [%s], want [%s]",
							next, c.next, own, c.own)
					}
					return
				}
			}
			t.Error("gin does not use its contexts again any more: the documentation's table says so")
		})
	}
}

// twoRequests makes one request that keeps its context and another, during which the first one's goroutine evaluates.
func twoRequests(keep func(*gin.Context) context.Context) (again bool, next, own string) {
	events.Reset()
	engine := newGin(false)
	var first *gin.Context
	var kept context.Context
	engine.GET("/first", func(c *gin.Context) {
		evaluate(c, "early", true)
		first, kept = c, keep(c)
	})
	engine.GET("/second", func(c *gin.Context) {
		evaluate(c, "next", true)
		again = c == first
		done := make(chan struct{})
		go func() {
			defer close(done)
			evaluate(kept, "late", true)
			if hub := sentry.GetHubFromContext(kept); hub != nil {
				hub.CaptureMessage("late")
			}
		}()
		<-done
		sentrygin.GetHubFromContext(c).CaptureMessage("next")
	})
	for _, path := range []string{"/first", "/second"} {
		engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	for _, event := range events.Events() {
		switch event.Message {
		case "next":
			next = list(flagtracktest.Flags(event))
		case "late":
			own = list(flagtracktest.Flags(event))
		}
	}
	return again, next, own
}
