package webhooktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// each runs a test over a socket and in memory.
func each(t *testing.T, test func(t *testing.T, s *webhooktest.Server)) {
	for _, inMemory := range []bool{false, true} {
		t.Run("in memory "+strconv.FormatBool(inMemory), func(t *testing.T) {
			test(t, newServer(t, webhooktest.Config{InMemory: inMemory}))
		})
	}
}

func TestFaultAnswers(t *testing.T) {
	reset := time.Unix(1_800_000_000, 999)
	for _, test := range []struct {
		fault  webhooktest.Fault
		status int
		answer string
		header map[string]string
	}{
		{webhooktest.Status(http.StatusInternalServerError), 500, `{"detail":"Internal Error"`, map[string]string{"Content-Type": "application/json"}},
		{webhooktest.Status(http.StatusUnauthorized), 401, `"Not authorized."`, nil},
		{webhooktest.Status(http.StatusForbidden), 403, `{"detail":"You do not`, nil},
		{webhooktest.Status(http.StatusNotFound), 404, `{"detail":"The requested resource does not exist"}`, nil},
		{webhooktest.Status(http.StatusRequestTimeout), 408, "", map[string]string{"Content-Type": ""}},
		{webhooktest.Status(http.StatusServiceUnavailable).WithHeader("Retry-After", "7"), 503, "", map[string]string{"Retry-After": "7"}},
		{webhooktest.Status(http.StatusTooManyRequests), 429, `{"detail": "You are`, map[string]string{"Retry-After": ""}},
		{webhooktest.RateLimited(reset), 429, `{"detail": "You are`, map[string]string{
			"Content-Type":                  "text/html; charset=utf-8",
			"X-Sentry-Rate-Limit-Reset":     "1800000000",
			"X-Sentry-Rate-Limit-Remaining": "0",
			"X-Sentry-Rate-Limit-Limit":     "40",
			"Retry-After":                   "",
		}},
		{webhooktest.ProxyPage(), 200, "<!DOCTYPE html>", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{webhooktest.Redirect(301, "/a"), 301, "", map[string]string{"Location": "/a"}},
		{webhooktest.Redirect(302, "/a"), 302, "", map[string]string{"Location": "/a"}},
		{webhooktest.Redirect(303, "/a"), 303, "", map[string]string{"Location": "/a"}},
		{webhooktest.Redirect(307, "/a"), 307, "", map[string]string{"Location": "/a"}},
		{webhooktest.Redirect(308, "https://elsewhere.example/"), 308, "", map[string]string{"Location": "https://elsewhere.example/"}},
		{webhooktest.Answer(418, "text/plain", "short and stout"), 418, "short and stout", map[string]string{"Content-Type": "text/plain"}},
		{webhooktest.Answer(204, "", ""), 204, "", nil},
	} {
		for _, fault := range []webhooktest.Fault{test.fault, test.fault.AfterStoring()} {
			t.Run(fault.String(), func(t *testing.T) {
				s := newServer(t, webhooktest.Config{})
				s.Fail(fault)
				response, answer, err := send(s, signed(t, s, hello))
				if err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != test.status || !strings.HasPrefix(answer, test.answer) || test.answer == "" && answer != "" {
					t.Errorf("%d %s", response.StatusCode, answer)
				}
				for name, want := range test.header {
					if got := response.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				checkStored(t, s, strings.Contains(fault.String(), "after storing"))
				if status, _ := post(t, s, hello); status != 200 {
					t.Errorf("%d after the fault was spent", status)
				}
			})
		}
	}
}

// checkStored asks whether the first request stored its one change.
func checkStored(t *testing.T, s *webhooktest.Server, want bool) {
	t.Helper()
	requests, err := s.WaitAnswered(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := requests[0].Stored == 1 && len(s.Changes()) == 1; got != want {
		t.Errorf("stored: %v, want %v", got, want)
	}
}

// A fault after storing plays over a request that is refused all the same.
func TestFaultAfterRefusal(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	s.Fail(webhooktest.Status(500).AfterStoring())
	if status, _ := post(t, s, flagged("")); status != 500 || len(s.Changes()) != 0 {
		t.Errorf("%d with %d changes stored", status, len(s.Changes()))
	}
}

func TestDisconnect(t *testing.T) {
	for _, after := range []bool{false, true} {
		each(t, func(t *testing.T, s *webhooktest.Server) {
			fault := webhooktest.Disconnect()
			if after {
				fault = fault.AfterStoring()
			}
			s.Fail(fault)
			if _, _, err := send(s, signed(t, s, hello)); err == nil {
				t.Error("there was an answer")
			}
			checkStored(t, s, after)
			if r := s.Requests()[0]; r.Status != 0 || r.Fault.String() != fault.String() {
				t.Errorf("noted: %d %v", r.Status, r.Fault)
			}
		})
	}
}

func TestTruncate(t *testing.T) {
	for _, after := range []bool{false, true} {
		each(t, func(t *testing.T, s *webhooktest.Server) {
			fault := webhooktest.Truncate()
			if after {
				fault = fault.AfterStoring()
			}
			s.Fail(fault)
			response, answer, err := send(s, signed(t, s, hello))
			if !errors.Is(err, io.ErrUnexpectedEOF) || response.StatusCode != 200 || answer == "" {
				t.Errorf("%v %q: %v", response, answer, err)
			}
			checkStored(t, s, after)
		})
	}
	// The half of a rejection is the half of what Sentry says.
	s := newServer(t, webhooktest.Config{})
	s.Fail(webhooktest.Truncate().AfterStoring())
	if _, answer, _ := send(s, signed(t, s, flagged(""))); !strings.HasPrefix(answer, `{"data":{"0":{"flag"`) {
		t.Errorf("half of the answer is %q", answer)
	}
}

func TestHoldUntilReleased(t *testing.T) {
	each(t, func(t *testing.T, s *webhooktest.Server) {
		release := make(chan struct{})
		s.Fail(webhooktest.Hold(release))
		go func() {
			_, _ = s.WaitReceived(context.WithoutCancel(t.Context()), 1)
			if r := s.Requests()[0]; r.Answered || len(s.Changes()) != 0 {
				t.Error("answered or stored before the release")
			}
			close(release)
		}()
		if status, _ := post(t, s, hello); status != 200 {
			t.Error(status)
		}
		checkStored(t, s, true)
	})
}

func TestHoldUntilTheSenderGivesUp(t *testing.T) {
	for _, after := range []bool{false, true} {
		each(t, func(t *testing.T, s *webhooktest.Server) {
			fault := webhooktest.Hold(nil)
			if after {
				fault = fault.AfterStoring()
			}
			s.Fail(fault)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_, _ = s.WaitReceived(context.WithoutCancel(ctx), 1)
				cancel()
			}()
			if _, _, err := send(s, signed(t, s, hello).WithContext(ctx)); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			checkStored(t, s, after)
		})
	}
}

func TestEndless(t *testing.T) {
	each(t, func(t *testing.T, s *webhooktest.Server) {
		s.Fail(webhooktest.Endless())
		response, err := s.Client().Do(signed(t, s, hello))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyN(io.Discard, response.Body, 1<<20)
		if n != 1<<20 || err != nil {
			t.Errorf("it ended after %d bytes: %v", n, err)
		}
		response.Body.Close()
		checkStored(t, s, false)
	})
}

// Whatever goes on, Close ends it, and it may be called again.
func TestCloseEndsFaults(t *testing.T) {
	for _, fault := range []webhooktest.Fault{webhooktest.Hold(nil), webhooktest.Endless()} {
		each(t, func(t *testing.T, s *webhooktest.Server) {
			s.FailAlways(fault)
			go func() {
				_, _ = s.WaitReceived(context.WithoutCancel(t.Context()), 1)
				s.Close()
			}()
			if _, _, err := send(s, signed(t, s, hello)); err == nil {
				t.Error("there was a whole answer")
			}
			s.Close()
			if _, _, err := send(s, signed(t, s, hello)); err == nil {
				t.Error("it answers although it is closed")
			}
		})
	}
}

// A body that was not read to its end keeps the server from seeing the sender
// go.
// Nothing runs any more when Close returns, however many were held.
func TestCloseWaits(t *testing.T) {
	each(t, func(t *testing.T, s *webhooktest.Server) {
		const held = 50
		s.FailAlways(webhooktest.Hold(nil))
		var wg sync.WaitGroup
		for range held {
			wg.Go(func() { _, _, _ = send(s, signed(t, s, hello)) })
		}
		if _, err := s.WaitReceived(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		s.Close()
		for _, r := range s.Requests() {
			if !r.Answered {
				t.Fatalf("request %d is still held", r.Number)
			}
		}
		wg.Wait()
	})
}

func TestCloseEndsAHoldOverTheLimit(t *testing.T) {
	s := newServer(t, webhooktest.Config{MaxBody: 10})
	s.Fail(webhooktest.Hold(nil))
	go func() {
		_, _ = s.WaitReceived(context.WithoutCancel(t.Context()), 1)
		s.Close()
	}()
	if _, _, err := send(s, signed(t, s, hello)); err == nil {
		t.Error("there was an answer")
	}
	s.Close()
}

func TestFaultOrder(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	s.FailAlways(webhooktest.Status(503))
	s.Fail(webhooktest.Status(500), webhooktest.Fault{})
	s.Fail(webhooktest.Status(408))
	for _, want := range []int{500, 200, 408, 503, 503} {
		if got, _ := post(t, s, hello); got != want {
			t.Errorf("answered %d, want %d", got, want)
		}
	}
	s.Fail(webhooktest.Status(500))
	s.Recover()
	if got, _ := post(t, s, hello); got != 200 {
		t.Errorf("answered %d after Recover", got)
	}
	if !s.Requests()[1].Fault.IsZero() || s.Requests()[0].Fault.IsZero() {
		t.Error("the faults are noted wrongly")
	}
}

func TestFaultNames(t *testing.T) {
	for want, fault := range map[string]webhooktest.Fault{
		"none":                  {},
		"429 too many requests": webhooktest.RateLimited(time.Time{}),
		"500 internal server error after storing": webhooktest.Status(500).AfterStoring(),
		"599":                      webhooktest.Status(599),
		"hold":                     webhooktest.Hold(nil),
		"disconnect after storing": webhooktest.Disconnect().AfterStoring(),
		"truncate":                 webhooktest.Truncate(),
		"endless":                  webhooktest.Endless(),
	} {
		if got := fault.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A status with which no request ends would be a broken connection that nobody scripted.
func TestImpossibleStatus(t *testing.T) {
	for _, status := range []int{-1, 0, 100, 199, 1000} {
		for name, fault := range map[string]func(){
			"Status":   func() { webhooktest.Status(status) },
			"Answer":   func() { webhooktest.Answer(status, "", "") },
			"Redirect": func() { webhooktest.Redirect(status, "/") },
		} {
			func() {
				defer func() {
					if problem := fmt.Sprint(recover()); !strings.Contains(problem, strconv.Itoa(status)) {
						t.Errorf("%s(%d): %s", name, status, problem)
					}
				}()
				fault()
			}()
		}
	}
}
