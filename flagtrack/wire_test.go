package flagtrack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
)

// wire is a Sentry server that keeps what it receives.
type wire struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
}

func newWire(t *testing.T) *wire {
	w := &wire{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.bodies = append(w.bodies, string(body))
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *wire) dsn() string { return strings.Replace(w.URL, "http://", "http://key@", 1) + "/1" }

func (w *wire) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.bodies, "\n")
}

// items returns the payloads of the envelope items of a type.
func (w *wire) items(t *testing.T, kind string) (payloads [][]byte) {
	t.Helper()
	for line := range bytes.Lines([]byte(w.all())) {
		var header struct {
			Type string `json:"type"`
		}
		if len(payloads) > 0 && payloads[len(payloads)-1] == nil {
			payloads[len(payloads)-1] = line
			continue
		}
		if json.Unmarshal(line, &header) == nil && header.Type == kind && !bytes.Contains(line, []byte(`event_id`)) {
			payloads = append(payloads, nil)
		}
	}
	return payloads
}

// spy looks for anything internal in an event and everything that hangs on it.
type spy struct {
	t    *testing.T
	mu   sync.Mutex
	seen map[string]int
}

func (s *spy) look(where string, event *sentry.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[where]++
	for key := range event.Tags {
		if strings.ContainsRune(key, 0) {
			s.t.Errorf("%s sees the tag %q", where, key)
		}
	}
	for key := range event.Contexts {
		if strings.ContainsRune(key, 0) {
			s.t.Errorf("%s sees the context %q", where, key)
		}
	}
}

func (s *spy) processor(where string) sentry.EventProcessor {
	return func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
		s.look(where, event)
		return event
	}
}

func (s *spy) options(dsn string) sentry.ClientOptions {
	return sentry.ClientOptions{
		Dsn:              dsn,
		EnableTracing:    true,
		TracesSampleRate: 1,
		BeforeSend: func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
			s.look("BeforeSend", event)
			return event
		},
		BeforeSendTransaction: func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
			s.look("BeforeSendTransaction", event)
			return event
		},
	}
}

// TestNothingInternalIsSeen sends events of every kind, from hubs of every origin, through the real pipelines.
func TestNothingInternalIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		// hub returns the hub to use and whether processors of scope and client must be spared too.
		hub    func(client *sentry.Client) *sentry.Hub
		spared bool
		change func(*sentry.ClientOptions)
	}{
		"cloned from the current hub": {
			hub: func(client *sentry.Client) *sentry.Hub {
				hub := sentry.CurrentHub().Clone()
				hub.BindClient(client)
				return hub
			},
			spared: true,
		},
		"scope made by hand": {
			hub: func(client *sentry.Client) *sentry.Hub { return sentry.NewHub(client, sentry.NewScope()) },
		},
		"scope made by hand, with a flag": {
			hub: func(client *sentry.Client) *sentry.Hub {
				hub := sentry.NewHub(client, sentry.NewScope())
				AddFeatureFlag(sentry.SetHubOnContext(context.Background(), hub), "a", true)
				return hub
			},
			spared: true,
		},
		"scope made by hand and prepared": {
			hub: func(client *sentry.Client) *sentry.Hub {
				scope := sentry.NewScope()
				PrepareScope(scope)
				return sentry.NewHub(client, scope)
			},
			spared: true,
		},
		"client bound later": {
			hub: func(client *sentry.Client) *sentry.Hub {
				hub := sentry.NewHub(nil, sentry.NewScope())
				AddFeatureFlag(sentry.SetHubOnContext(context.Background(), hub), "early", true)
				hub.BindClient(client)
				return hub
			},
		},
		"no telemetry buffer": {
			hub:    func(client *sentry.Client) *sentry.Hub { return sentry.NewHub(client, sentry.NewScope()) },
			change: func(o *sentry.ClientOptions) { o.DisableTelemetryBuffer = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			s := &spy{t: t, seen: map[string]int{}}
			options := s.options(w.dsn())
			if c.change != nil {
				c.change(&options)
			}
			client, err := sentry.NewClient(options)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			hub := c.hub(client)
			if c.spared {
				client.AddEventProcessor(s.processor("a client processor"))
				hub.Scope().AddEventProcessor(s.processor("a scope processor"))
			}
			sendAll(hub)
			if !client.Flush(10 * time.Second) {
				t.Fatal("not flushed")
			}
			if all := w.all(); strings.Contains(all, `\u0000`) || strings.Contains(all, "\x00") {
				t.Errorf("something internal is on the wire:\n%q", all)
			}
			if c.spared && (s.seen["a client processor"] == 0 || s.seen["a scope processor"] == 0) ||
				s.seen["BeforeSend"] == 0 || s.seen["BeforeSendTransaction"] == 0 {
				t.Errorf("the spy was not everywhere: %v", s.seen)
			}
			want := "a=T"
			if name == "client bound later" {
				want = "early=T a=T"
			}
			events := w.items(t, "event")
			if len(events) != 3 {
				t.Fatalf("%d errors arrived", len(events))
			}
			for _, event := range events {
				wantFlags(t, flagsInJSON(t, event), want)
			}
			for _, kind := range []string{"transaction", "check_in", "log", "trace_metric"} {
				items := w.items(t, kind)
				if len(items) == 0 {
					t.Errorf("no %s arrived in\n%s", kind, w.all())
				}
				for _, item := range items {
					if bytes.Contains(item, []byte(`"flags"`)) {
						t.Errorf("flags on a %s: %s", kind, item)
					}
				}
			}
			if !bytes.Contains(bytes.Join(w.items(t, "transaction"), nil), []byte(`"flag.evaluation.a":true`)) {
				t.Error("no flag on the transaction's span")
			}
		})
	}
}

// sendAll sends one event of every kind, with the flag a recorded before.
func sendAll(hub *sentry.Hub) {
	ctx := sentry.SetHubOnContext(context.Background(), hub)
	span := sentry.StartTransaction(ctx, "job")
	AddFeatureFlag(span.Context(), "a", true)
	hub.CaptureMessage("message")
	hub.CaptureException(errors.New("exception"))
	func() {
		defer func() { hub.RecoverWithContext(ctx, recover()) }()
		panic("panic")
	}()
	hub.CaptureCheckIn(&sentry.CheckIn{MonitorSlug: "job", Status: sentry.CheckInStatusOK}, nil)
	sentry.NewLogger(ctx).Info().Emit("log")
	sentry.NewMeter(ctx).Count("metric", 1)
	span.Finish()
}

// TestTagsSurvive: taking the flags out leaves an application's own tags alone, and a map it can write to.
func TestTagsSurvive(t *testing.T) {
	ctx, hub, held := newHub(t, func(o *sentry.ClientOptions) {
		o.BeforeSend = func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
			event.Tags["late"] = "yes"
			return event
		}
	})
	AddFeatureFlag(ctx, "a", true)
	hub.Scope().SetTag("own", "1")
	hub.CaptureEvent(&sentry.Event{Message: "no maps at all"})
	event := held.last(t)
	if len(event.Tags) != 2 || event.Tags["own"] != "1" || event.Tags["late"] != "yes" {
		t.Errorf("tags are %v", event.Tags)
	}
	wantFlags(t, flagsOf(t, event), "a=T")
}

// TestDroppedEventLeavesNothing: sentry-go writes tags into the map of an event that the application made. If a
// processor drops the event, nothing of ours stays there, where it would get into the application's next event.
func TestDroppedEventLeavesNothing(t *testing.T) {
	drop := func(*sentry.Event, *sentry.EventHint) *sentry.Event { return nil }
	prepared, unprepared := sentry.NewScope(), sentry.NewScope()
	PrepareScope(prepared)
	for name, c := range map[string]struct {
		scope *sentry.Scope
		by    func(*sentry.Client, *sentry.Scope)
	}{
		"by a processor of the scope": {
			sentry.CurrentHub().Scope().Clone(),
			func(_ *sentry.Client, scope *sentry.Scope) { scope.AddEventProcessor(drop) },
		},
		"by a processor of a prepared scope": {
			prepared, func(_ *sentry.Client, scope *sentry.Scope) { scope.AddEventProcessor(drop) },
		},
		"by a processor of the client": {
			prepared.Clone(), func(client *sentry.Client, _ *sentry.Scope) { client.AddEventProcessor(drop) },
		},
		"by a processor of a scope by hand": { // it takes no flags
			unprepared, func(_ *sentry.Client, scope *sentry.Scope) { scope.AddEventProcessor(drop) },
		},
		"by a processor of the client, scope by hand": {
			sentry.NewScope(), func(client *sentry.Client, _ *sentry.Scope) { client.AddEventProcessor(drop) },
		},
		"by BeforeSend, scope by hand": {sentry.NewScope(), func(*sentry.Client, *sentry.Scope) {}},
	} {
		t.Run(name, func(t *testing.T) {
			client, held := newClient(t, func(o *sentry.ClientOptions) { o.BeforeSend = drop })
			c.by(client, c.scope)
			hub := sentry.NewHub(client, c.scope)
			AddFeatureFlag(sentry.SetHubOnContext(context.Background(), hub), "a", true)
			tags := map[string]string{"own": "1"}
			hub.CaptureEvent(&sentry.Event{Message: "error", Tags: tags})
			if len(held.all()) != 0 {
				t.Fatal("the event was not dropped")
			}
			c.scope.AddEventProcessor(drop) // after the first flag
			hub.CaptureEvent(&sentry.Event{Message: "another", Tags: tags})
			if len(tags) != 1 {
				t.Errorf("the application's map is %q", tags)
			}
		})
	}
}
