// Package flagtracktest helps an application to test that its errors carry its flags.
//
//	ctx, sent := flagtracktest.New(t)
//	checkout(ctx) // evaluates a flag and captures an error on the hub of ctx
//	got := flagtracktest.Flags(sent.Last())
//
// Where the code under test captures with sentry.CaptureException or makes a hub for each request, give a Transport to
// sentry.Init instead.
//
// It shows what Sentry would get, not what Sentry makes of it.
package flagtracktest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/flagtrack"
)

// Transport keeps events instead of sending them. The zero value is ready, for sentry.ClientOptions.Transport.
type Transport struct {
	mu     sync.Mutex
	events []*sentry.Event
}

var _ sentry.Transport = (*Transport)(nil)

// New returns a context with a hub of its own, all of whose errors and transactions are kept. Nothing of other tests is
// in it, and nothing of it in the process-wide scope. The hub's client is closed when the test ends.
func New(t testing.TB) (context.Context, *Transport) {
	t.Helper()
	sent := &Transport{}
	client, err := sentry.NewClient(sentry.ClientOptions{
		Dsn:              "https://key@sentry.invalid/1", // or the client would be off
		EnableTracing:    true,
		TracesSampleRate: 1,
		Transport:        sent,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	scope := sentry.NewScope()
	flagtrack.PrepareScope(scope)
	return sentry.SetHubOnContext(context.Background(), sentry.NewHub(client, scope)), sent
}

// Events returns what was captured so far, oldest first.
func (t *Transport) Events() []*sentry.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

// Last returns the error or message that was captured last, or nil. A transaction, which finishes after its errors, is
// among Events.
func (t *Transport) Last() *sentry.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, event := range slices.Backward(t.events) {
		if event.Type == "" || event.Type == "event" { // the latter where an application says it itself
			return event
		}
	}
	return nil
}

// Reset forgets what was captured so far.
func (t *Transport) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = nil
}

// SendEvent keeps the event. It is for sentry-go, as are Configure, Flush, FlushWithContext and Close, which do nothing.
func (t *Transport) SendEvent(event *sentry.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, event)
}

// Configure does nothing.
func (t *Transport) Configure(sentry.ClientOptions) {}

// Flush does nothing and reports true: nothing waits.
func (t *Transport) Flush(time.Duration) bool { return true }

// FlushWithContext does nothing and reports true: nothing waits.
func (t *Transport) FlushWithContext(context.Context) bool { return true }

// Close does nothing.
func (t *Transport) Close() {}

// Flags returns the flags that an event carries to Sentry: those of an error or a message, oldest first, or those of a
// transaction's root span, by name. It returns nil for nil and for an event without flags.
func Flags(event *sentry.Event) []flagtrack.Value {
	if event == nil {
		return nil
	}
	if event.Type == "transaction" {
		data, _ := event.Contexts["trace"]["data"].(map[string]any)
		return attributes(data)
	}
	switch values := event.Contexts["flags"]["values"].(type) {
	case []flagtrack.Value:
		return slices.Clone(values)
	case []any: // a BeforeSend has taken them through JSON
		return decoded(values)
	}
	return nil
}

// decoded returns flags as JSON has them.
func decoded(values []any) (flags []flagtrack.Value) {
	for _, value := range values {
		object, _ := value.(map[string]any)
		name, _ := object["flag"].(string)
		if result, isBool := object["result"].(bool); isBool && name != "" {
			flags = append(flags, flagtrack.Value{Flag: name, Result: result})
		}
	}
	return flags
}

// SpanFlags returns the flags of a finished child span, which a transaction has in its Spans, by name.
func SpanFlags(span *sentry.Span) []flagtrack.Value {
	if span == nil {
		return nil
	}
	return attributes(span.Data)
}

// attributes returns the flags among a span's attributes.
func attributes(data map[string]any) (values []flagtrack.Value) {
	for key, value := range data {
		name, isFlag := strings.CutPrefix(key, "flag.evaluation.")
		if result, isBool := value.(bool); isFlag && isBool {
			values = append(values, flagtrack.Value{Flag: name, Result: result})
		}
	}
	slices.SortFunc(values, func(a, b flagtrack.Value) int { return cmp.Compare(a.Flag, b.Flag) })
	return values
}
