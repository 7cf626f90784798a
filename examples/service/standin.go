package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

const (
	alertName  = "Checkout failing"
	project    = "shop"
	alertAfter = 10          // events of the issue, as one chooses in Sentry's alert form
	processing = time.Second // what Sentry takes from an event to an alert, when it is quick
)

// standIn is Sentry: it takes events as the SDK's transport, has a flag log, and
// sends a signed alert once an issue has too many events. Beside it, it is an
// OpenTelemetry exporter that remembers which traces there were.
type standIn struct {
	flagtracktest.Transport // what an SDK needs besides SendEvent, which does nothing

	flagLog      *webhooktest.Server
	clientSecret signing.Secret
	relay        string // where the alert goes; set before the first event
	sending      sync.WaitGroup

	mu       sync.Mutex
	events   map[string]arrived // by request
	repeated int                // events of a request that had one already
	failures int                // events of the issue that the alert watches
	alerted  time.Time
	failed   error
	traces   map[string]bool
}

// arrived is what is kept of an event.
type arrived struct{ flags, trace string }

func newStandIn() *standIn {
	return &standIn{
		flagLog: webhooktest.NewServer(webhooktest.Config{}), clientSecret: signing.NewSecret("the-client-secret-of-the-integration"),
		events: map[string]arrived{}, traces: map[string]bool{},
	}
}

// SendEvent implements [sentry.Transport].
func (s *standIn) SendEvent(event *sentry.Event) {
	var flags []string
	for _, flag := range flagtracktest.Flags(event) {
		flags = append(flags, fmt.Sprintf("%s=%t", flag.Flag, flag.Result))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	request := event.Tags["request"]
	if _, there := s.events[request]; there {
		s.repeated++
	}
	s.events[request] = arrived{strings.Join(flags, " "), fmt.Sprint(event.Contexts["trace"]["trace_id"])}
	if len(event.Exception) == 0 || event.Exception[0].Value != errNoCurrency.Error() {
		return
	}
	if s.failures++; s.failures == alertAfter {
		s.sending.Go(func() {
			time.Sleep(processing)
			s.alert(event)
		})
	}
}

// alert sends what Sentry sends when an issue alert fires, about the event that
// made it fire.
func (s *standIn) alert(event *sentry.Event) {
	s.mu.Lock()
	s.alerted = time.Now()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // Sentry waits no longer, and asks once
	defer cancel()
	flags := map[string]bool{}
	for _, flag := range flagtracktest.Flags(event) {
		flags[flag.Flag] = flag.Result
	}
	request, err := webhooktest.NewAlertRequest(ctx, s.relay, s.clientSecret, webhooktest.IssueAlert{
		Rule: alertName, Project: project, Title: "Error: " + errNoCurrency.Error(), EventID: string(event.EventID), Flags: flags, At: event.Timestamp,
	})
	if err == nil {
		var response *http.Response
		if response, err = http.DefaultClient.Do(request); err == nil {
			defer response.Body.Close()
			if response.StatusCode > 299 {
				err = fmt.Errorf("it was answered %s", response.Status)
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("the alert: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// ExportSpans implements [sdktrace.SpanExporter].
func (s *standIn) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range spans {
		s.traces[span.SpanContext().TraceID().String()] = true
	}
	return nil
}

// Shutdown implements [sdktrace.SpanExporter].
func (*standIn) Shutdown(context.Context) error { return nil }

// alertedAt returns when the alert was raised, or the zero time.
func (s *standIn) alertedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alerted
}

func (s *standIn) close() {
	s.sending.Wait()
	s.flagLog.Close()
}

// verdict is what became of the requests that failed.
type verdict struct {
	right, wrong int // errors that carried exactly what the request had received, and that did not
	traced       int // those in a trace that was exported
	first        string
}

// judge holds the events against what the callers were told: each failed request
// has one event, which carries the flags that it received, in their order.
func (s *standIn) judge(failed map[string]string) (v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	note := func(format string, args ...any) {
		v.wrong++
		if v.first == "" {
			v.first = fmt.Sprintf(format, args...)
		}
	}
	for request, received := range failed {
		event, there := s.events[request]
		switch {
		case !there:
			note("request %s failed with %q and has no event", request, received)
		case event.flags != received:
			note("request %s received %q, and its error carries %q", request, received, event.flags)
		default:
			v.right++
		}
		if s.traces[event.trace] {
			v.traced++
		}
	}
	for request := range s.events {
		if _, there := failed[request]; !there {
			note("request %s did not fail and has an event", request)
		}
	}
	v.wrong += s.repeated
	return v
}
