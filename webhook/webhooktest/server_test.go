package webhooktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestAddresses(t *testing.T) {
	s := newServer(t, webhooktest.Config{Organization: "shop"})
	if want := s.BaseURL() + "/api/0/organizations/shop/flags/hooks/provider/generic/"; s.URL() != want {
		t.Errorf("URL is %s, want %s", s.URL(), want)
	}
	if want := s.BaseURL() + "/api/0/organizations/shop/flags/logs/"; s.LogsURL() != want {
		t.Errorf("LogsURL is %s, want %s", s.LogsURL(), want)
	}
	if s.Token() != webhooktest.DefaultToken {
		t.Error(s.Token())
	}
}

func TestRotation(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	old, replacement := s.Secret(), signing.NewSecret("  the next secret \n")
	for _, step := range []struct {
		saved, used signing.Secret
		status      int
	}{
		{old, old, 200},
		{replacement, old, 401},
		{replacement, replacement, 200},
		{signing.Secret{}, replacement, 401},
		{old, old, 200},
	} {
		s.SetSecret(step.saved)
		r := signed(t, s, hello)
		r.Header.Set(signing.Header, sign(t, step.used, hello))
		if response, _, err := send(s, r); err != nil || response.StatusCode != step.status {
			t.Errorf("%v, %v; want %d", response, err, step.status)
		}
	}
}

func TestRequests(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	post(t, s, hello)
	post(t, s, flagged(""))
	requests := s.Requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	first, second := requests[0], requests[1]
	if first.Number != 1 || first.Method != "POST" || first.URI != s.Path() || string(first.Body) != hello ||
		first.Header.Get(signing.Header) == "" || !first.Answered || first.Status != 200 || first.Answer != nil || first.Stored != 1 {
		t.Errorf("%+v", first)
	}
	if second.Number != 2 || second.Status != 200 || !strings.Contains(string(second.Answer), "may not be blank") || second.Stored != 0 {
		t.Errorf("%+v", second)
	}
	first.Body[0], second.Answer[0] = 'x', 'x'
	first.Header.Set("X", "x")
	if again := s.Requests(); string(again[0].Body) != hello || again[0].Header.Get("X") != "" || again[1].Answer[0] == 'x' {
		t.Error("a caller can change what is noted")
	}
	record := s.Records()[0]
	if record.ID != 1 || record.Request != 1 || record.ChangeID != "9734362632" || record.Change.ChangeID != 9734362632 || time.Since(record.StoredAt) > time.Minute {
		t.Errorf("%+v", record)
	}
}

func TestHandlerInAServerOfOnesOwn(t *testing.T) {
	h := webhooktest.NewHandler(webhooktest.Config{})
	own := httptest.NewTLSServer(h)
	defer own.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", own.URL+h.Path(), strings.NewReader(hello))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signing.Header, sign(t, h.Secret(), hello))
	response, err := own.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 || len(h.Changes()) != 1 {
		t.Error(response.Status, h.Changes())
	}
}

// What an answer quotes need not be UTF-8.
func TestAnswersAreUTF8(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	for name, value := range map[string]string{"Content-Type": "text/\xff"} {
		r := signed(t, s, hello)
		r.Header.Set(name, value)
		if _, answer, err := send(s, r); err != nil || !json.Valid([]byte(answer)) || !utf8.ValidString(answer) {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	r := signed(t, s, hello)
	r.URL.Path = s.Path() + "\xff"
	if response, answer, err := send(s, r); err != nil || response.StatusCode != 404 || !utf8.ValidString(answer) {
		t.Errorf("%v %q, %v", response, answer, err)
	}
}

func TestWait(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if changes, err := s.WaitChanges(t.Context(), 3); err != nil || len(changes) < 3 {
			t.Error(changes, err)
		}
	})
	wg.Go(func() {
		if requests, err := s.WaitAnswered(t.Context(), 3); err != nil || len(requests) < 3 {
			t.Error(requests, err)
		}
	})
	for range 3 {
		post(t, s, hello)
	}
	wg.Wait()
	ctx, cancel := context.WithCancelCause(t.Context())
	given := errors.New("given up")
	cancel(given)
	if _, err := s.WaitReceived(ctx, 4); !errors.Is(err, given) || !strings.Contains(err.Error(), "3 of 4") {
		t.Error(err)
	}
	post(t, s, flagged(""))
	if _, err := s.WaitChanges(ctx, 4); err == nil || !strings.Contains(err.Error(), "3 of 4") || !strings.Contains(err.Error(), "may not be blank") {
		t.Error("the error does not lead to the sender's fault:", err)
	}
	if _, err := newServer(t, webhooktest.Config{}).WaitChanges(ctx, 1); err == nil || !strings.Contains(err.Error(), "no request came") {
		t.Error(err)
	}
}

// TestWaitCountsBeforeItCopies: whoever waits for many changes looks at each that
// comes, and copies them all once.
func TestWaitCountsBeforeItCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := webhooktest.NewHandler(webhooktest.Config{})
		signature := sign(t, h.Secret(), hello)
		deliver := func() {
			r := httptest.NewRequest(http.MethodPost, h.Path(), strings.NewReader(hello))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(signing.Header, signature)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		const already, coming = 2000, 200
		for range already {
			deliver()
		}
		go func() { _, _ = h.WaitChanges(t.Context(), already+coming) }()
		go func() { _, _ = h.WaitAnswered(t.Context(), already+coming) }()
		before := bytesAllocated()
		for range coming {
			synctest.Wait() // they look
			deliver()
		}
		if each := (bytesAllocated() - before) / coming; each > 100<<10 {
			t.Errorf("%d kB for each change that comes while somebody waits", each>>10)
		}
	})
}

func bytesAllocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestConcurrentSenders(t *testing.T) {
	each(t, func(t *testing.T, s *webhooktest.Server) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if response, _, err := send(s, signed(t, s, hello)); err != nil || response.StatusCode != 200 {
						t.Error(response, err)
					}
				}
			})
		}
		wg.Wait()
		for i, r := range s.Records() {
			if r.ID != int64(i+1) {
				t.Fatalf("record %d has the ID %d", i, r.ID)
			}
		}
		if n := len(s.Changes()); n != 160 {
			t.Errorf("%d changes stored, want 160", n)
		}
	})
}

// A server in memory lives in a bubble, on its clock.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webhooktest.NewServer(webhooktest.Config{InMemory: true})
		defer s.Close()
		s.Fail(webhooktest.Hold(nil))
		client, start := s.Client(), time.Now()
		client.Timeout = time.Hour
		if _, err := client.Do(signed(t, s, hello)); err == nil {
			t.Error("there was an answer")
		}
		if waited := time.Since(start); waited != time.Hour {
			t.Errorf("waited %v", waited)
		}
		post(t, s, hello)
		if at := s.Records()[0].StoredAt; !at.Equal(start.Add(time.Hour)) {
			t.Errorf("stored at %v", at)
		}
		if requests := s.Requests(); !requests[0].ReceivedAt.Equal(start) || !requests[1].ReceivedAt.Equal(start.Add(time.Hour)) {
			t.Errorf("received at %v and %v", requests[0].ReceivedAt, requests[1].ReceivedAt)
		}
	})
}

func TestImpossibleConfig(t *testing.T) {
	for field, config := range map[string]webhooktest.Config{
		"Organization": {Organization: "a/b"},
		"MaxFlag":      {MaxFlag: -1},
		"MaxBody":      {MaxBody: -1},
		"ErrorShape":   {ErrorShape: 7},
	} {
		func() {
			defer func() {
				if problem := fmt.Sprint(recover()); !strings.Contains(problem, field) {
					t.Errorf("%s: %v", field, problem)
				}
			}()
			webhooktest.NewHandler(config)
		}()
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	s := newServer(t, webhooktest.Config{})
	post(t, s, hello)
	if text := fmt.Sprint(s.Handler, s.Secret()); strings.Contains(text, webhooktest.DefaultSecret) || strings.Contains(text, "username") {
		t.Error(text)
	}
	if text := fmt.Sprintf("%+v %v", s.Handler, s); strings.Contains(text, webhooktest.DefaultSecret) {
		t.Error(text)
	}
}
