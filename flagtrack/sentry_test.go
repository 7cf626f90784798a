package flagtrack

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
)

// heldEvents is a transport that keeps the live events, as a slow custom transport does.
type heldEvents struct {
	mu     sync.Mutex
	events []*sentry.Event
}

func (h *heldEvents) Configure(sentry.ClientOptions)        {}
func (h *heldEvents) Flush(time.Duration) bool              { return true }
func (h *heldEvents) FlushWithContext(context.Context) bool { return true }
func (h *heldEvents) Close()                                {}
func (h *heldEvents) SendEvent(event *sentry.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

func (h *heldEvents) all() []*sentry.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// reset forgets what was captured so far.
func (h *heldEvents) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = nil
}

func (h *heldEvents) last(t testing.TB) *sentry.Event {
	t.Helper()
	events := h.all()
	if len(events) == 0 {
		t.Fatal("no event was captured")
	}
	return events[len(events)-1]
}

// newHub returns a context with a hub of its own, cloned from the current one as an integration does, and the events
// that it captures.
func newHub(t testing.TB, change ...func(*sentry.ClientOptions)) (context.Context, *sentry.Hub, *heldEvents) {
	t.Helper()
	client, held := newClient(t, change...)
	hub := sentry.CurrentHub().Clone()
	hub.BindClient(client)
	return sentry.SetHubOnContext(context.Background(), hub), hub, held
}

func newClient(t testing.TB, change ...func(*sentry.ClientOptions)) (*sentry.Client, *heldEvents) {
	t.Helper()
	held := &heldEvents{}
	options := sentry.ClientOptions{
		Dsn:              "https://key@sentry.invalid/1",
		Transport:        held,
		EnableTracing:    true,
		TracesSampleRate: 1,
	}
	for _, c := range change {
		c(&options)
	}
	client, err := sentry.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, held
}

func forkHub(hub *sentry.Hub) (context.Context, *sentry.Hub) {
	fork := hub.Clone()
	return sentry.SetHubOnContext(context.Background(), fork), fork
}

// flagsOf renders an event's flags as the facts write them: "a=T b=F". No contexts.flags at all is "".
func flagsOf(t testing.TB, event *sentry.Event) string {
	t.Helper()
	b, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return flagsInJSON(t, b)
}

func flagsInJSON(t testing.TB, event []byte) string {
	t.Helper()
	if strings.Contains(string(event), `\u0000`) {
		t.Errorf("something internal is on the wire: %s", event)
	}
	var wire struct {
		Contexts struct {
			Flags *struct {
				Values []struct {
					Flag   string `json:"flag"`
					Result any    `json:"result"`
				} `json:"values"`
			} `json:"flags"`
		} `json:"contexts"`
	}
	if err := json.Unmarshal(event, &wire); err != nil {
		t.Fatal(err)
	}
	if wire.Contexts.Flags == nil {
		return ""
	}
	if len(wire.Contexts.Flags.Values) == 0 {
		t.Errorf("contexts.flags is there but empty: %s", event)
	}
	var list []string
	for _, v := range wire.Contexts.Flags.Values {
		switch v.Result {
		case true:
			list = append(list, v.Flag+"=T")
		case false:
			list = append(list, v.Flag+"=F")
		default:
			t.Errorf("the result of %s is %v", v.Flag, v.Result)
		}
	}
	return strings.Join(list, " ")
}

// captured captures an error on hub and renders its flags.
func captured(t testing.TB, hub *sentry.Hub, held *heldEvents) string {
	t.Helper()
	before := len(held.all())
	hub.CaptureMessage("error")
	if len(held.all()) != before+1 {
		t.Fatal("the error did not arrive")
	}
	return flagsOf(t, held.last(t))
}

func wantFlags(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("flags are [%s], want [%s]", got, want)
	}
}

func mustNew(t testing.TB, opts ...Option) *Tracker {
	t.Helper()
	tracker, err := New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

// add records flags written as in the facts: "a=T b=F".
func add(ctx context.Context, tracker *Tracker, flags string) {
	for f := range strings.FieldsSeq(flags) {
		name, value, _ := strings.Cut(f, "=")
		tracker.AddFeatureFlag(ctx, name, value == "T")
	}
}
