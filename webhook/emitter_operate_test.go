package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// newEmitter is one that a test closes by itself.
func newEmitter(t *testing.T, client *webhook.Client, store queue.Store, config webhook.EmitterConfig) *webhook.Emitter {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	emitter, err := webhook.NewEmitter(client, store, config)
	if err != nil {
		t.Fatal(err)
	}
	return emitter
}

func closeEmitters(t *testing.T, emitters ...*webhook.Emitter) {
	t.Helper()
	for _, emitter := range emitters {
		if err := emitter.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestQueueNames: staging and production on one database, two organisations in
// one Sentry, the regions of sentry.io.
func TestQueueNames(t *testing.T) {
	for _, tc := range []struct {
		host, organization, want string
	}{
		{"", "acme", "flag-changes:sentry.io/acme"},
		{"us.sentry.io", "acme", "flag-changes:sentry.io/acme"},
		{"acme.sentry.io", "acme", "flag-changes:sentry.io/acme"},
		{"", "other", "flag-changes:sentry.io/other"},
		{"https://Sentry.Example.com:9000", "acme", "flag-changes:sentry.example.com:9000/acme"},
		{"https://" + strings.Repeat("a.", 90) + "example.com", strings.Repeat("x", 60), ""},
	} {
		client, err := webhook.NewClient(webhook.Config{
			Host: tc.host, Organization: tc.organization, Secrets: []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)},
		})
		if err != nil {
			t.Fatal(err)
		}
		emitter := newEmitter(t, client, newMemory(t, queue.MemoryConfig{}), webhook.EmitterConfig{})
		if got := emitter.Queue(); tc.want != "" && got != tc.want || len(got) > queue.MaxName {
			t.Errorf("%s of %s: %q", tc.organization, tc.host, got)
		}
		closeEmitters(t, emitter)
	}
}

// TestEmittersOfTwoOrganisations share a store and nothing else.
func TestEmittersOfTwoOrganisations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(t, queue.MemoryConfig{})
		var emitters []*webhook.Emitter
		var servers []*webhooktest.Server
		for i := range 2 {
			server := webhooktest.NewServer(webhooktest.Config{InMemory: true, Organization: fmt.Sprintf("org-%d", i)})
			defer server.Close()
			client, err := webhook.NewClient(webhook.Config{
				URL: server.URL(), Secrets: []signing.Secret{server.Secret()}, HTTPClient: server.Client(), AllowHTTP: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			servers = append(servers, server)
			emitters = append(emitters, newEmitter(t, client, store, webhook.EmitterConfig{}))
			if err := emitters[i].Emit(t.Context(), someChange(fmt.Sprintf("flag-%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		closeEmitters(t, emitters...)
		for i, server := range servers {
			if got := server.Changes(); len(got) != 1 || got[0].Flag != fmt.Sprintf("flag-%d", i) {
				t.Errorf("organisation %d got %v", i, got)
			}
		}
	})
}

// TestEmitterFormerQueues: what waits under a former name is delivered; without
// the setting it is reported, once.
func TestEmitterFormerQueues(t *testing.T) {
	for _, former := range [][]string{nil, {"flag-changes"}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigConfig{emitter: webhook.EmitterConfig{FormerQueues: former}})
			items, err := r.emitter.Items(numberedChanges(3)...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.store.Add(t.Context(), "flag-changes", queue.Addition{Items: items}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			stats, err := r.emitter.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.close()
			delivered, reported := len(r.server.Changes()), r.kinds()[webhook.EventUnattended]
			if former == nil && (delivered != 0 || reported != 1 || stats.Unattended != 1) {
				t.Errorf("delivered %d, reported %d times, %d in Stats", delivered, reported, stats.Unattended)
			}
			if former != nil && (delivered != 3 || reported != 0 || stats.Unattended != 0) {
				t.Errorf("with the former name delivered %d, reported %d times", delivered, reported)
			}
		})
	}
}

// TestEmitterBehindAGatewayThatAnswersOK: it passes the request on, Sentry stores
// the changes, and the answer is the gateway's own. Three processes try.
func TestEmitterBehindAGatewayThatAnswersOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := newPair(t, webhooktest.Config{InMemory: true}, func(c *webhook.Config) {
			sentry := c.HTTPClient.Transport
			c.HTTPClient = &http.Client{Transport: roundTrip(func(request *http.Request) (*http.Response, error) {
				response, err := sentry.RoundTrip(request)
				if err != nil {
					return nil, err
				}
				response.Body.Close()
				answer, err := fakeAnswer(200, "OK")
				return answer, err
			})}
		})
		store := newMemory(t, queue.MemoryConfig{})
		var emitters []*webhook.Emitter
		for range 3 {
			emitters = append(emitters, newEmitter(t, client, store, webhook.EmitterConfig{}))
		}
		if err := emitters[0].Emit(t.Context(), numberedChanges(100)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if rows := len(server.Changes()); rows > 200 {
			t.Errorf("100 changes became %d rows in a minute", rows)
		}
		for _, emitter := range emitters {
			if stats, err := emitter.Stats(t.Context()); err != nil || !stats.Paused {
				t.Errorf("stats: %+v, %v", stats, err)
			}
		}
		for _, emitter := range emitters {
			ended, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := emitter.Close(ended); err == nil {
				t.Error("Close with changes waiting")
			}
			cancel()
		}
	})
}

func fakeAnswer(status int, body string) (*http.Response, error) {
	sentry := &fakeSentry{answer: func([]string) (int, string) { return status, body }}
	request, err := http.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	return sentry.RoundTrip(request)
}

// TestEmitterIsLoudByDefault: who gives no Logger sees at the first answer that
// the secret is wrong.
func TestEmitterIsLoudByDefault(t *testing.T) {
	var text lockedBuffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		server, client := newPair(t, webhooktest.Config{InMemory: true}, nil)
		server.SetSecret(signing.NewSecret("somebody-has-saved-another-secret"))
		store := newMemory(t, queue.MemoryConfig{})
		emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if err := emitter.Emit(t.Context(), someChange("flag")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		emitter.Close(ended)
		if !strings.Contains(text.String(), "check the signing secret") {
			t.Errorf("the log: %s", text.String())
		}

		// The next one says what it waits for.
		next, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !strings.Contains(text.String(), "the end of a pause") {
			t.Errorf("the log after a restart: %s", text.String())
		}
		next.Close(ended)

		// Once the secret is right the first start delivers, whatever the rest.
		server.SetSecret(signing.NewSecret(webhooktest.DefaultSecret))
		start := time.Now()
		mended, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if err := mended.Close(t.Context()); err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		if got := len(server.Changes()); got != 1 {
			t.Errorf("%d of 1 stored", got)
		}
	})
}

// TestEmitterWake: a transaction that has committed need not wait for the poll.
func TestEmitterWake(t *testing.T) {
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{PollInterval: time.Hour}}, func(t *testing.T, r *rig) {
		synctest.Wait()
		items, err := r.emitter.Items(numberedChanges(2)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Add(t.Context(), r.emitter.Queue(), queue.Addition{Items: items}); err != nil {
			t.Fatal(err)
		}
		r.emitter.Wake()
		synctest.Wait()
		if got := len(r.server.Changes()); got != 2 {
			t.Errorf("%d of 2 stored", got)
		}
	})
}

// TestEmitterItemID: three replicas report the same change, each with a time of
// its own.
// A server that takes longer names than a store's keys have room for still has its changes ordered by flag.
func TestEmitterLongNames(t *testing.T) {
	long := strings.Repeat("x", queue.MaxKey)
	emitterTest(t, rigConfig{client: func(c *webhook.Config) { c.MaxFlag = 2 * queue.MaxKey }}, func(t *testing.T, r *rig) {
		items, err := r.emitter.Items(someChange(long), someChange(long+"y"), someChange(long+"z"), someChange(long+"y"))
		if err != nil {
			t.Fatal(err)
		}
		if items[0].Key != long || items[1].Key != items[3].Key || items[1].Key == items[2].Key || !strings.HasPrefix(items[1].Key, "sha256:") {
			t.Errorf("the keys are %q", []string{items[0].Key, items[1].Key, items[2].Key, items[3].Key})
		}
		r.close()
	})
}

func TestEmitterItemID(t *testing.T) {
	for id, want := range map[string]int{"": 3, "checkout v7": 1} {
		emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
			for i := range 3 {
				change := someChange("checkout")
				change.ItemID = id
				change.CreatedAt = change.CreatedAt.Add(time.Duration(i) * time.Millisecond)
				r.emit(change)
			}
			r.close()
			if got := len(r.server.Changes()); got != want {
				t.Errorf("with ItemID %q: %d rows, want %d", id, got, want)
			}
			for _, bad := range []string{strings.Repeat("x", 201), "\x00", "\xff"} {
				change := someChange("checkout")
				change.ItemID = bad
				_, err := r.emitter.Items(change)
				if invalid, ok := errors.AsType[*webhook.ChangeError](err); !ok || invalid.Field != "ItemID" {
					t.Errorf("ItemID %.5q: %v", bad, err)
				}
			}
		})
	}
}

// frozenStore does not answer once it is frozen, as a database under SIGSTOP.
type frozenStore struct {
	queue.Store
	frozen atomic.Bool
}

func (s *frozenStore) wait(ctx context.Context) error {
	if !s.frozen.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *frozenStore) Due(ctx context.Context, name string, after int64, limit int) ([]queue.Entry, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.Due(ctx, name, after, limit)
}

func (s *frozenStore) Stats(ctx context.Context, name string, most int) (queue.Stats, error) {
	if err := s.wait(ctx); err != nil {
		return queue.Stats{}, err
	}
	return s.Store.Stats(ctx, name, most)
}

// TestEmitterSaysThatTheStoreHangs: an event, a log line and a number, within the
// deadline of the call that failed, and all of it once it is over.
func TestEmitterSaysThatTheStoreHangs(t *testing.T) {
	var text lockedBuffer
	synctest.Test(t, func(t *testing.T) {
		store := &frozenStore{Store: newMemory(t, queue.MemoryConfig{})}
		r := newRig(t, rigConfig{store: store, emitter: webhook.EmitterConfig{Logger: slog.New(slog.NewTextHandler(&text, nil))}})
		r.emit(someChange("flag"))
		time.Sleep(time.Second)
		store.frozen.Store(true)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stats, err := r.emitter.Stats(ctx)
		if err == nil || !stats.Paused || stats.Failures == 0 || stats.LastError == nil {
			t.Errorf("stats: %+v, %v", stats, err)
		}
		store.frozen.Store(false)
		r.emit(someChange("other"))
		time.Sleep(10 * time.Second)
		if stats := r.counts(0, 0); stats.Paused {
			t.Errorf("stats: %+v", stats)
		}
		r.close()
		if r.kinds()[webhook.EventPaused] == 0 || r.kinds()[webhook.EventResumed] != 1 {
			t.Errorf("events: %v", r.kinds())
		}
	})
	if !strings.Contains(text.String(), "the store fails") || !strings.Contains(text.String(), "works again") {
		t.Errorf("the log: %s", text.String())
	}
}

// TestEmitterClosedWhileATransportHangs: one that does not honour its context
// does not keep Close.
func TestEmitterClosedWhileATransportHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, rigConfig{client: func(c *webhook.Config) {
			c.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				<-release
				return fakeAnswer(200, "")
			})}
		}})
		r.emit(someChange("flag"))
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := r.emitter.Close(ctx); err == nil || time.Since(start) > 4*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		close(release) // what comes of it goes nowhere
		synctest.Wait()
		r.counts(1, 0)
	})
}

// TestEmitterForeignItems: what is no change goes to the dead letters, and is not
// said to be delivered.
func TestEmitterForeignItems(t *testing.T) {
	emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
		for id, body := range map[string]string{"1": "", "2": "{}", "3": "null", "4": `]}`, "5": `{"data":[]}`} {
			item := queue.Item{ID: id, Body: []byte(body)}
			if _, err := r.store.Add(t.Context(), r.emitter.Queue(), queue.Addition{Items: []queue.Item{item}}); err != nil {
				t.Fatal(err)
			}
		}
		r.emit(someChange("flag"))
		r.close()
		r.counts(0, 5)
		if got := len(r.server.Changes()); got != 1 || r.kinds()[webhook.EventDelivered] != 1 {
			t.Errorf("%d stored, events %v", got, r.kinds())
		}
	})
}

// TestEmitterTellsHowLongChangesWaited and with which status they ended.
func TestEmitterTellsHowLongChangesWaited(t *testing.T) {
	emitterTest(t, rigConfig{server: webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026}}, func(t *testing.T, r *rig) {
		r.server.Fail(webhooktest.Status(503).WithHeader("Retry-After", "600"))
		r.emit(someChange("flag"), someChange(strings.Repeat("x", 150)))
		r.close()
		for _, event := range r.events {
			want := map[webhook.EventKind]int{webhook.EventPaused: 503, webhook.EventRejected: 200, webhook.EventDelivered: 200}[event.Kind]
			if event.Status != want || event.Queue != r.emitter.Queue() {
				t.Errorf("%v: status %d of %q", event.Kind, event.Status, event.Queue)
			}
			late := event.Kind == webhook.EventDelivered || event.Kind == webhook.EventRejected
			if late && event.Waited.Round(time.Second) != 10*time.Minute {
				t.Errorf("%v: waited %v", event.Kind, event.Waited)
			}
		}
	})
}

func TestDecodeItem(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{}, nil)
	emitter := newEmitter(t, client, newMemory(t, queue.MemoryConfig{}), webhook.EmitterConfig{})
	defer closeEmitters(t, emitter)
	rapid.Check(t, func(rt *rapid.T) {
		change := webhook.Change{
			Action:    rapid.SampledFrom([]webhook.Action{webhook.ActionCreated, webhook.ActionUpdated, webhook.ActionDeleted}).Draw(rt, "action"),
			ChangeID:  rapid.Int64Min(1).Draw(rt, "ChangeID"),
			ItemID:    rapid.SampledFrom([]string{"", "mine"}).Draw(rt, "ItemID"),
			CreatedAt: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(rt, "CreatedAt")).UTC(),
			CreatedBy: webhook.Author{ID: rapid.StringMatching(`[a-z<>"]{1,20}`).Draw(rt, "author"), Type: webhook.AuthorName},
			Flag:      rapid.StringMatching(`[a-z<>"&é]{1,20}`).Draw(rt, "flag"),
		}
		items, err := emitter.Items(change)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := webhook.DecodeItem(items[0]); got != change || err != nil {
			rt.Fatalf("%+v became %+v, %v", change, got, err)
		}
	})
	for _, body := range []string{"", "{}", "null", `{"action":"updated"}`, `{"action":"x","created_at":"2026-01-01T00:00:00Z"}`} {
		if _, err := webhook.DecodeItem(queue.Item{ID: "1", Body: []byte(body)}); err == nil {
			t.Errorf("%s is a change", body)
		}
	}
}

// hostileHandler is for logs, and panics or never returns.
type hostileHandler struct {
	slog.Handler
	release chan struct{} // nil: panics
}

func (h hostileHandler) Handle(context.Context, slog.Record) error {
	if h.release == nil {
		panic("a defect of the caller's")
	}
	<-h.release
	return nil
}

// TestEmitterWithAHostileLogger: one that panics changes nothing, and one that
// never returns does not keep Close.
func TestEmitterWithAHostileLogger(t *testing.T) {
	base := slog.NewTextHandler(&lockedBuffer{}, nil)
	emitterTest(t, rigConfig{emitter: webhook.EmitterConfig{Logger: slog.New(hostileHandler{Handler: base})}}, func(t *testing.T, r *rig) {
		r.server.Fail(webhooktest.Status(503))
		r.emit(someChange("flag"))
		r.close()
		r.counts(0, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, rigConfig{emitter: webhook.EmitterConfig{Logger: slog.New(hostileHandler{base, release})}})
		r.server.FailAlways(webhooktest.Status(503))
		r.emit(someChange("flag"))
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := r.emitter.Close(ctx); err == nil || time.Since(start) > 6*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		close(release)
		synctest.Wait()
	})
}

// TestPauseThatSomebodyElseEnds: a process says that it is paused for as long as
// what it failed with waits, not until it has something to deliver again.
func TestPauseThatSomebodyElseEnds(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusUnauthorized, http.StatusBadRequest} {
		for name, end := range map[string]func(t *testing.T, r *rig){
			"another process delivers": func(t *testing.T, r *rig) {
				r.server.Recover()
				other := newEmitter(t, r.client, r.store, webhook.EmitterConfig{PollInterval: 20 * time.Millisecond})
				time.Sleep(2 * time.Minute)
				closeEmitters(t, other)
			},
			"a person gives them up": func(t *testing.T, r *rig) {
				inspector := r.emitter.Inspector()
				entries, err := inspector.List(t.Context(), queue.Filter{States: []queue.State{queue.Waiting}})
				if err == nil {
					_, err = inspector.Discard(t.Context(), entries...)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				emitterTest(t, rigConfig{}, func(t *testing.T, r *rig) {
					r.server.FailAlways(webhooktest.Status(status))
					r.emit(numberedChanges(5)...)
					time.Sleep(10 * time.Second)
					dead := 0
					if status == http.StatusBadRequest {
						dead = 5 // each refused alone, with a pause before the next
					} else if !r.counts(5, 0).Paused {
						t.Fatal("it does not say that it is paused")
					}
					end(t, r)
					time.Sleep(2 * time.Minute)
					if stats := r.counts(0, dead); stats.Paused || stats.Failures != 0 || stats.LastError != nil || !stats.PausedSince.IsZero() {
						t.Errorf("nothing waits, and it is paused: %+v", stats)
					}
					// The next outage is another one.
					r.server.FailAlways(webhooktest.Status(http.StatusServiceUnavailable))
					began := time.Now()
					r.emit(someChange("later"))
					time.Sleep(time.Minute)
					if stats := r.counts(1, dead); !stats.Paused || stats.PausedSince.Before(began) {
						t.Errorf("%v after an outage began: %+v", time.Since(began), stats)
					}
					r.server.Recover()
					r.close()
					if r.kinds()[webhook.EventResumed] < 2 {
						t.Errorf("it was not said that the pauses ended: %v", r.kinds())
					}
				})
			})
		}
	}
}
