package readme

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// metricAlert is what Sentry sends when a metric alert becomes critical, cut to
// what matters here.
const metricAlert = `{"action":"critical","installation":{"uuid":"7a485448-a9e2-4c85-8a3c-4f44175783c9"},` +
	`"data":{"metric_alert":{"id":"91","identifier":"17","title":"Checkout error rate","status":20,"status_method":3,` +
	`"projects":["shop"],"date_started":%[1]q,"date_detected":%[1]q,"date_created":%[1]q,"date_closed":null,` +
	`"alert_rule":{"id":"3307","name":"Checkout error rate","environment":"production","projects":["shop"]}}},` +
	`"actor":{"type":"application","id":"sentry","name":"Sentry"}}`

func TestAlert(t *testing.T) {
	const clientSecret = "the-client-secret-of-the-test-01"
	service := vwotest.NewServer(vwotest.Config{Features: []string{"new-checkout"}})
	defer service.Close()
	standInForVWO(t, service.URL)
	t.Setenv("VWO_TOKEN", service.Token())
	t.Setenv("SENTRY_CLIENT_SECRET", clientSecret)
	t.Setenv("VWO_ENVIRONMENT", "production") // the stand-in's id
	emitter := new(recorder)
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()

	// README
	switcher, err := vwo.NewClient(vwo.ClientConfig{Token: vwo.NewToken(os.Getenv("VWO_TOKEN"))})
	if err != nil {
		log.Fatal(err)
	}
	relay, err := killswitch.NewRelay(killswitch.Config{
		Secrets:  []signing.Secret{signing.NewSecret(os.Getenv("SENTRY_CLIENT_SECRET"))},
		Togglers: map[string]killswitch.Toggler{"vwo": switcher}, // or any other flag system
		Rules: []killswitch.Rule{{
			Alert:   "Checkout error rate", // the monitor's name in Sentry; for issue alerts the alert's
			Project: "shop",
			Target: killswitch.Target{
				Flag:       "new-checkout",
				Attributes: map[string]string{"environment": os.Getenv("VWO_ENVIRONMENT")}, // its id or SDK key
			},
		}},
		Store:   store,   // cool-downs, caps and what is switched off survive a crash
		Emitter: emitter, // records each switch in Sentry's flag log
	})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("POST /sentry/alerts", relay)
	// end of README

	body := fmt.Sprintf(metricAlert, time.Now().UTC().Format(time.RFC3339))
	signature, err := signing.Sign(signing.NewSecret(clientSecret), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, forged := range []bool{true, false} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/sentry/alerts", strings.NewReader(body))
		r.Header.Set("Sentry-Hook-Resource", "metric_alert")
		want := http.StatusOK
		if r.Header.Set(signing.HookHeader, signature); forged {
			r.Header.Set(signing.HookHeader, strings.Repeat("0", len(signature)))
			want = http.StatusUnauthorized
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("forged %v: status %d, want %d", forged, w.Code, want)
		}
		if on := service.Enabled("production", "new-checkout"); on != forged {
			t.Errorf("forged %v: the feature is on: %v", forged, on)
		}
	}
	if err := relay.Close(t.Context()); err != nil {
		t.Error(err)
	}
	recorded := *emitter
	if len(recorded) != 1 || recorded[0].Flag != "new-checkout" || recorded[0].CreatedBy.ID != "Checkout error rate" {
		t.Errorf("recorded %v", recorded)
	}
}

// recorder takes the place of a [webhook.Emitter].
type recorder []webhook.Change

func (r *recorder) Emit(_ context.Context, changes ...webhook.Change) error {
	*r = append(*r, changes...)
	return nil
}

// standInForVWO makes requests to VWO's own address end at the stand-in.
func standInForVWO(t *testing.T, address string) {
	t.Helper()
	stand, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	real := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = real })
	http.DefaultTransport = roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = stand.Scheme, stand.Host
		r.URL.Path = stand.Path + strings.TrimPrefix(r.URL.Path, "/api/v2")
		return real.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
