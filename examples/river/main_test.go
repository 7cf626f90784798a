package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestPlay(t *testing.T) {
	database := os.Getenv("SENTRYFLAGS_TEST_POSTGRES")
	if database == "" {
		t.Skip("SENTRYFLAGS_TEST_POSTGRES is not set")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := play(ctx, database, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"snoozed for ", "to be tried again", "change 1: delivered", "change 2: delivered", "change 3: cancelled", "river: 2 of 3 changes delivered"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not %q in\n%s", want, out.String())
		}
	}
}

// TestMapped asks a stand-in for Sentry for each kind of answer.
func TestMapped(t *testing.T) {
	good := changes(time.Now())[0]
	long := changes(time.Now())[2]
	for what, test := range map[string]struct {
		fault  []webhooktest.Fault
		change webhook.Change
		want   string
	}{
		"delivered":     {nil, good, "delivered"},
		"rejected":      {nil, long, "cancel"},
		"invalid":       {nil, webhook.Change{}, "cancel"},
		"refused":       {[]webhooktest.Fault{webhooktest.Status(413)}, good, "cancel"},
		"rate limited":  {[]webhooktest.Fault{webhooktest.RateLimited(time.Now().Add(30 * time.Second))}, good, "snooze for as long as it says"},
		"limit over":    {[]webhooktest.Fault{webhooktest.RateLimited(time.Now().Add(-time.Second))}, good, "snooze 5s"},
		"no time named": {[]webhooktest.Fault{webhooktest.Status(429).WithHeader("X-Sentry-Rate-Limit-Reset", "")}, good, "snooze 5s"},
		"wrong secret":  {[]webhooktest.Fault{webhooktest.Status(401)}, good, "snooze 1m0s"},
		"wrong address": {[]webhooktest.Fault{webhooktest.Status(404)}, good, "snooze 1m0s"},
		"another page":  {[]webhooktest.Fault{webhooktest.ProxyPage()}, good, "snooze 1m0s"},
		"overloaded":    {[]webhooktest.Fault{webhooktest.Status(503)}, good, "retry"},
		"cut off":       {[]webhooktest.Fault{webhooktest.Disconnect()}, good, "retry"},
	} {
		server := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
		client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}})
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range test.fault {
			server.FailAlways(fault)
		}
		if got := kind(mapped(client.Send(t.Context(), test.change))); got != test.want {
			t.Errorf("%s: %s, want %s", what, got, test.want)
		}
		server.Close()
	}
}

func kind(err error) string {
	var cancel *river.JobCancelError
	var snooze *river.JobSnoozeError
	switch {
	case err == nil:
		return "delivered"
	case errors.As(err, &cancel):
		return "cancel"
	case errors.As(err, &snooze):
		if snooze.Duration > 25*time.Second && snooze.Duration <= 31*time.Second {
			return "snooze for as long as it says"
		}
		return "snooze " + snooze.Duration.String()
	}
	return "retry"
}
