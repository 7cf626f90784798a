package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func TestEmitterMetrics(t *testing.T) {
	config := rigConfig{server: olderSentry, emitter: webhook.EmitterConfig{Queue: "a \"queue\"\\\n"}}
	emitterTest(t, config, func(t *testing.T, r *rig) {
		r.deadLetter()
		r.emit(numberedChanges(3)...)
		r.flush()
		metrics := func() map[string]string {
			t.Helper()
			var text strings.Builder
			if err := r.emitter.WriteMetrics(t.Context(), &text); err != nil {
				t.Fatal(err)
			}
			values := make(map[string]string)
			for line := range strings.Lines(text.String()) {
				if strings.HasPrefix(line, "#") {
					continue
				}
				found := regexp.MustCompile(`^sentryflags_changes_([a-z_]+)\{queue="a \\"queue\\"\\\\\\n"\} ([0-9.]+)\n$`).FindStringSubmatch(line)
				if found == nil {
					t.Fatalf("not a metric: %q", line)
				}
				values[found[1]] = found[2]
			}
			return values
		}
		is := func(want map[string]string) {
			t.Helper()
			got := metrics()
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s is %q, want %q", name, got[name], value)
				}
			}
		}
		is(map[string]string{"delivered_total": "4", "rejected_total": "1", "waiting": "0", "dead": "1", "paused": "0", "oldest_age_seconds": "0", "store_up": "1", "failures": "0"})
		r.server.FailAlways(webhooktest.Status(503))
		r.emit(someChange("late"))
		time.Sleep(90 * time.Second)
		got := metrics()
		if got["waiting"] != "1" || got["paused"] != "1" || got["failures"] == "0" || got["oldest_age_seconds"] != "90" {
			t.Errorf("in an outage: %v", got)
		}
		documented := metricsInDocs(t)
		for name := range got {
			if !documented[name] {
				t.Errorf("docs/metrics.md does not have %s", name)
			}
		}
		for name := range documented {
			if _, found := got[name]; !found {
				t.Errorf("docs/metrics.md has %s, which there is not", name)
			}
		}
		if err := r.emitter.WriteMetrics(t.Context(), failingWriter{}); err == nil {
			t.Error("a writer that fails is not told of")
		}
		r.server.Recover()
		r.close()
		r.store.Close()
		is(map[string]string{"store_up": "0", "waiting": "", "dead": "", "delivered_total": "5"})
	})
}

// countlessStore has so much waiting that to count it all takes too long.
type countlessStore struct{ queue.Store }

func (s countlessStore) Stats(ctx context.Context, name string, most int) (queue.Stats, error) {
	if most == 0 || most > 100_000 {
		<-ctx.Done()
		return queue.Stats{}, ctx.Err()
	}
	return queue.Stats{Waiting: most, Dead: 1, Oldest: time.Now().Add(-time.Hour)}, nil
}

// TestMetricsOfALongQueue wants the number that the alarm is set on just when the
// queue is longest.
func TestMetricsOfALongQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, err := queue.NewMemory(queue.MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		server := webhooktest.NewServer(webhooktest.Config{InMemory: true})
		defer server.Close()
		client, err := webhook.NewClient(webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}, HTTPClient: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		emitter, err := webhook.NewEmitter(client, countlessStore{memory}, webhook.EmitterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := emitter.WriteMetrics(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"store_up{queue=\"%s\"} 1", "waiting{queue=\"%s\"} 100000", "oldest_age_seconds{queue=\"%s\"} 3600", "dead{queue=\"%s\"} 1"} {
			if want = "sentryflags_changes_" + fmt.Sprintf(want, emitter.Queue()) + "\n"; !strings.Contains(text.String(), want) {
				t.Errorf("no %q in\n%s", want, text.String())
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = emitter.Close(ctx)
	})
}

func metricsInDocs(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, found := range regexp.MustCompile(`\| `+"`"+`sentryflags_changes_([a-z_]+)`+"`"+` \|`).FindAllStringSubmatch(string(text), -1) {
		names[found[1]] = true
	}
	return names
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("full") }
