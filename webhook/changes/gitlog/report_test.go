package gitlog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// standIn is a Sentry within the process, and a client of it.
func standIn(t testing.TB, config webhooktest.Config) (*webhooktest.Server, *webhook.Client) {
	t.Helper()
	config.InMemory = true
	server := webhooktest.NewServer(config)
	t.Cleanup(server.Close)
	client, err := webhook.NewClient(webhook.Config{
		URL: server.URL(), Secrets: []signing.Secret{server.Secret()}, HTTPClient: server.Client(), OnWarning: func(webhook.Warning) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func someChanges(n int) []webhook.Change {
	list := make([]webhook.Change, n)
	for i := range list {
		list[i] = webhook.Change{
			Action: webhook.ActionUpdated, ChangeID: int64(i + 1), CreatedAt: start.Add(time.Duration(i) * time.Second),
			CreatedBy: email("ada@example.com"), Flag: fmt.Sprint("flag-", i%7),
		}
	}
	return list
}

// TestReport has Sentry fail in every way at some request, gives up and reports
// again: with a token each change is in the log once, in order.
func TestReport(t *testing.T) {
	for title, fault := range map[string]webhooktest.Fault{
		"rate limited":               webhooktest.RateLimited(time.Date(2000, 1, 1, 0, 0, 20, 0, time.UTC)), // when synctest begins
		"server fault":               webhooktest.Status(http.StatusInternalServerError),
		"server fault after storing": webhooktest.Status(http.StatusBadGateway).AfterStoring(),
		"cut off":                    webhooktest.Disconnect(),
		"cut off after storing":      webhooktest.Disconnect().AfterStoring(),
		"a proxy's page":             webhooktest.ProxyPage(),
		"a page after storing":       webhooktest.ProxyPage().AfterStoring(),
		"never answered":             webhooktest.Hold(nil),
		"endless after storing":      webhooktest.Endless().AfterStoring(),
		"too large":                  webhooktest.Status(http.StatusRequestEntityTooLarge),
		"unauthorized":               webhooktest.Status(http.StatusUnauthorized),
	} {
		for at := range 3 {
			synctest.Test(t, func(t *testing.T) {
				server, client := standIn(t, webhooktest.Config{})
				list := someChanges(250)
				config := gitlog.ReportConfig{Client: client, Token: server.Token()}
				server.Fail(append(make([]webhooktest.Fault, at), fault)...)
				var all gitlog.Reported
				tries := 0
				for ; tries < 3; tries++ {
					done, err := gitlog.Report(t.Context(), config, list...)
					all.Sent += done.Sent
					if err == nil {
						break
					}
					if !strings.Contains(err.Error(), "report them again: what has arrived is left out") {
						t.Error(err)
					}
				}
				if want := map[bool]int{true: 1, false: 0}[title == "unauthorized"]; tries != want {
					t.Errorf("%s at %d: %d tries", title, at, tries)
				}
				if diff := cmp.Diff(list, server.Changes()); diff != "" || all.Sent != len(list) {
					t.Errorf("%s at %d: %d sent: %s", title, at, all.Sent, diff)
				}
				again, err := gitlog.Report(t.Context(), config, list...)
				if err != nil || again.Sent != 0 || again.There != len(list) {
					t.Errorf("%s at %d: again: %+v, %v", title, at, again, err)
				}
				server.Close()
			})
		}
	}
}

// TestReportStops ends by its context or when its patience does, and what is left
// is sent another time.
func TestReportStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := standIn(t, webhooktest.Config{})
		list := someChanges(250)
		config := gitlog.ReportConfig{Client: client, Token: server.Token(), Patience: time.Minute}
		server.Fail(webhooktest.Fault{})
		server.FailAlways(webhooktest.Status(http.StatusServiceUnavailable))
		began := time.Now()
		done, err := gitlog.Report(t.Context(), config, list...)
		if !errors.Is(err, webhook.ErrAmbiguous) || done.Sent != 100 || time.Since(began) > time.Minute {
			t.Errorf("%+v after %v: %v", done, time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if done, err = gitlog.Report(ctx, config, list...); !errors.Is(err, context.DeadlineExceeded) || done.There != 100 {
			t.Errorf("%+v: %v", done, err)
		}
		server.Recover()
		if done, err = gitlog.Report(t.Context(), config, list...); err != nil || done.Sent != 150 || done.There != 100 {
			t.Errorf("%+v: %v", done, err)
		}
		if diff := cmp.Diff(list, server.Changes()); diff != "" {
			t.Error(diff)
		}
		config.Token = "wrong"
		if _, err = gitlog.Report(t.Context(), config, list...); !errors.Is(err, webhook.ErrUnauthorized) || !strings.Contains(err.Error(), "org:read") {
			t.Error(err)
		}
		server.Close()
	})
}

// TestReportAtOnce has a second job report the same when the first has read the
// log and sends.
func TestReportAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, other := standIn(t, webhooktest.Config{})
		list := someChanges(250)
		if err := other.Send(t.Context(), list[:20]...); err != nil {
			t.Fatal(err)
		}
		posts := 0
		transport := server.Transport()
		client, err := webhook.NewClient(webhook.Config{
			URL: server.URL(), Secrets: []signing.Secret{server.Secret()}, OnWarning: func(webhook.Warning) {},
			HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPost {
					if posts++; posts == 2 { // it has sent 100
						done, err := gitlog.Report(t.Context(), gitlog.ReportConfig{Client: other, Token: server.Token()}, list...)
						if err != nil || done.Sent != 130 || done.There != 120 || done.Twice != 0 {
							t.Errorf("%+v: %v", done, err)
						}
					}
				}
				return transport.RoundTrip(r)
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		done, err := gitlog.Report(t.Context(), gitlog.ReportConfig{Client: client, Token: server.Token()}, list...)
		if err != nil || done.Sent != 230 || done.There != 20 || done.Twice != 130 {
			t.Errorf("%+v: %v", done, err)
		}
		server.Close()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestReportIsPatient: a report that takes longer than its patience goes on after
// a failure, as long as something gets through.
func TestReportIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := standIn(t, webhooktest.Config{})
		list := someChanges(700)
		config := gitlog.ReportConfig{Client: client, Token: server.Token(), Patience: 30 * time.Second}
		for range 7 {
			server.Fail(webhooktest.Status(http.StatusServiceUnavailable), webhooktest.Fault{})
		}
		if done, err := gitlog.Report(t.Context(), config, list...); err != nil || done.Sent != 700 {
			t.Errorf("%+v: %v", done, err)
		}
		if diff := cmp.Diff(list, server.Changes()); diff != "" {
			t.Error(diff)
		}
		server.Close()
	})
}

// TestReportWithoutToken loses nothing, and repeats.
func TestReportWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := standIn(t, webhooktest.Config{})
		list := someChanges(150)
		config := gitlog.ReportConfig{Client: client}
		server.Fail(webhooktest.Status(http.StatusBadGateway))
		for range 2 {
			if done, err := gitlog.Report(t.Context(), config, list...); err != nil || done.Sent != 150 || done.There != 0 {
				t.Errorf("%+v: %v", done, err)
			}
		}
		if n := len(server.Changes()); n != 300 {
			t.Error(n)
		}
		server.FailAlways(webhooktest.Status(http.StatusUnauthorized))
		if _, err := gitlog.Report(t.Context(), config, list...); !errors.Is(err, webhook.ErrUnauthorized) || !strings.Contains(err.Error(), "set a token") {
			t.Error(err)
		}
		server.Close()
	})
}

// TestReportLeavesOut has changes that this side or only Sentry refuses.
func TestReportLeavesOut(t *testing.T) {
	for shape, errorShape := range map[string]webhooktest.ErrorShape{"list": webhooktest.ErrorsInList, "index": webhooktest.ErrorsByIndex} {
		synctest.Test(t, func(t *testing.T) {
			server, client := standIn(t, webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026, ErrorShape: errorShape})
			list := someChanges(150)
			for _, i := range []int{3, 99, 100, 149} {
				list[i].Flag = strings.Repeat("x", 150)
			}
			list[7].Flag, list[120].CreatedBy.ID = strings.Repeat("x", 300), " "
			done, err := gitlog.Report(t.Context(), gitlog.ReportConfig{Client: client, Token: server.Token()}, list...)
			if err != nil || done.Sent != 144 || len(done.Refused) != 6 || len(server.Changes()) != 144 {
				t.Errorf("%s: %d sent, %d refused, %v", shape, done.Sent, len(done.Refused), err)
			}
			for _, refusal := range done.Refused {
				if !errors.Is(refusal.Err, webhook.ErrRejected) && !errors.Is(refusal.Err, webhook.ErrInvalidChange) {
					t.Error(refusal.Err)
				}
			}
			server.Close()
		})
	}
	if _, err := gitlog.Report(t.Context(), gitlog.ReportConfig{}); !errors.Is(err, gitlog.ErrInvalidConfig) {
		t.Error(err)
	}
}
