package vwo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
)

// hook is one request of a storm and what must come of it.
type hook struct {
	kind    string
	body    []byte
	edit    func(http.Header)
	status  []int  // any of them
	acts    string // the feature that it must switch off
	refused bool
}

// forgeries are twenty ways to get a good alert wrong.
func forgeries() map[string]func(body []byte, h http.Header) []byte {
	sign := func(secret string, body []byte) string {
		signature, err := signing.Sign(signing.NewSecret(secret), body)
		if err != nil {
			panic(err)
		}
		return signature
	}
	right := "the-client-secret-of-the-integration"
	header := func(f func(http.Header, string)) func([]byte, http.Header) []byte {
		return func(body []byte, h http.Header) []byte { f(h, sign(right, body)); return body }
	}
	set := func(f func(string) string) func([]byte, http.Header) []byte {
		return header(func(h http.Header, signature string) { h.Set(signing.HookHeader, f(signature)) })
	}
	reencode := func(body []byte) []byte {
		var v any
		_ = json.Unmarshal(body, &v)
		again, _ := json.Marshal(v)
		return again
	}
	return map[string]func([]byte, http.Header) []byte{
		"no signature":             header(func(h http.Header, _ string) { h.Del(signing.HookHeader) }),
		"empty signature":          set(func(string) string { return "" }),
		"upper case":               set(strings.ToUpper),
		"with a prefix":            set(func(s string) string { return "sha256=" + s }),
		"cut":                      set(func(s string) string { return s[:63] }),
		"lengthened":               set(func(s string) string { return s + "0" }),
		"one digit off":            set(func(s string) string { return flipHex(s) }),
		"zeros":                    set(func(string) string { return strings.Repeat("0", 64) }),
		"another secret":           func(b []byte, h http.Header) []byte { h.Set(signing.HookHeader, sign("guess", b)); return b },
		"the empty body's":         func(b []byte, h http.Header) []byte { h.Set(signing.HookHeader, sign(right, nil)); return b },
		"another body's":           func(b []byte, h http.Header) []byte { h.Set(signing.HookHeader, sign(right, []byte("{}"))); return b },
		"body decoded and encoded": func(b []byte, _ http.Header) []byte { return reencode(b) },
		"body with a space more":   func(b []byte, _ http.Header) []byte { return append(slices.Clone(b), ' ') },
		"body with another flag":   func(b []byte, _ http.Header) []byte { return bytes.Replace(b, []byte("flag"), []byte("flog"), 1) },
		"body cut":                 func(b []byte, _ http.Header) []byte { return b[:len(b)-1] },
		"no body":                  func(_ []byte, _ http.Header) []byte { return nil },
		"no body, signed": func(_ []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, sign(right, nil))
			return nil
		},
		"as an app's call":        header(func(h http.Header, s string) { h.Del(signing.HookHeader); h.Set("Sentry-App-Signature", s) }),
		"as a change's signature": header(func(h http.Header, s string) { h.Del(signing.HookHeader); h.Set(signing.Header, s) }),
		"with another resource":   header(func(h http.Header, _ string) { h.Set("Sentry-Hook-Resource", "metric_alert") }),
	}
}

func flipHex(s string) string {
	last := byte('0')
	if s[63] == '0' {
		last = '1'
	}
	return s[:63] + string(last)
}

// storm makes n requests: one in a hundred acts, one in ten is forged.
func storm(n int) (hooks []hook, features []string) {
	for i := range n / 100 {
		feature := fmt.Sprintf("flag_%d", i)
		features = append(features, feature)
		body := eventAlert(feature, time.Now())
		if i%3 == 0 {
			body = metricAlert(feature, "critical", time.Now())
		}
		hooks = append(hooks, hook{kind: "acts", body: body, status: []int{200, 202}, acts: feature})
	}
	ways := forgeries()
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range ways {
			if !yield(name) {
				return
			}
		}
	})
	for i := range n / 10 {
		forge := ways[names[i%len(names)]]
		header := http.Header{"Sentry-Hook-Resource": {"event_alert"}}
		good := eventAlert(features[i%len(features)], time.Now())
		signature, err := signing.Sign(clientSecret, good)
		if err != nil {
			panic(err)
		}
		header.Set(signing.HookHeader, signature)
		body := forge(good, header)
		hooks = append(hooks, hook{kind: "forged: " + names[i%len(names)], body: body, status: []int{401}, refused: true, edit: func(h http.Header) {
			clear(h)
			for k, v := range header {
				h[k] = v
			}
		}})
	}
	for i := 0; len(hooks) < n; i++ {
		feature := features[i%len(features)]
		one := hook{status: []int{200}}
		switch i % 9 {
		case 0:
			one.kind, one.body = "resolved", metricAlert(feature, "resolved", time.Now())
		case 1:
			one.kind, one.body = "warning", metricAlert(feature, "warning", time.Now())
		case 2:
			one.kind, one.body = "other alert", eventAlert("another", time.Now())
		case 3:
			one.kind, one.body = "other project", bytes.ReplaceAll(bytes.ReplaceAll(eventAlert(feature, time.Now()), []byte("/shop/"), []byte("/blog/")), []byte("4505"), []byte("4506"))
		case 4:
			one.kind, one.body = "test", bytes.Replace(eventAlert(feature, time.Now()), []byte(`[["level","error"]]`), []byte(`[["level","error"],["sample_event","yes"]]`), 1)
		case 5:
			one.kind, one.body = "old", eventAlert(feature, time.Now().Add(-time.Hour))
		case 6:
			one.kind, one.body = "issue", []byte(`{"action":"created","installation":{"uuid":"7a485448"},"data":{"issue":{"id":"1"}},"actor":{}}`)
		case 7:
			one.kind, one.body = "error", bytes.Replace(bytes.Replace(eventAlert(feature, time.Now()), []byte(`"data":{"event"`), []byte(`"data":{"error"`), 1), []byte(`"triggered"`), []byte(`"created"`), 1)
		case 8: // a repeat of one that acts; whichever comes first acts
			one = hooks[i/9%len(features)]
			one.kind = "repeat"
		}
		hooks = append(hooks, one)
	}
	rand.Shuffle(len(hooks), func(i, j int) { hooks[i], hooks[j] = hooks[j], hooks[i] })
	return hooks, features
}

// send posts hooks over loopback, as many at a time as there are senders, and
// returns how long the answers took, the shortest first.
func send(t testing.TB, senders int, address string, hooks []hook, check func(h hook, status int)) []time.Duration {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	times := make([]time.Duration, len(hooks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(hooks) {
					return
				}
				request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address, bytes.NewReader(hooks[i].body))
				if err != nil {
					t.Error(err)
					return
				}
				signature, err := signing.Sign(clientSecret, hooks[i].body)
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set(signing.HookHeader, signature)
				if hooks[i].edit != nil {
					hooks[i].edit(request.Header)
				}
				start := time.Now()
				response, err := client.Do(request)
				times[i] = time.Since(start)
				if err != nil {
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				check(hooks[i], response.StatusCode)
			}
		})
	}
	wg.Wait()
	slices.Sort(times)
	return times
}

// stormy makes a relay between loopback and a stand-in for VWO, with the
// limiter, the cool-down and the cap off.
func stormy(t testing.TB, features []string, config vwo.RelayConfig) (*vwotest.Server, *vwo.Relay, string) {
	t.Helper()
	standIn, client := newStandIn(t, features...)
	config.Toggler = client
	config.Rules = ruled(features...)
	config.CoolDown, config.CapPerHour = -1, -1
	relay := newRelay(t, config)
	server := httptest.NewServer(relay)
	t.Cleanup(server.Close)
	return standIn, relay, server.URL
}

func toggledOff(standIn *vwotest.Server) map[string]int {
	counts := map[string]int{}
	for _, toggle := range standIn.Toggles() {
		if !toggle.Enabled {
			counts[toggle.Feature]++
		}
	}
	return counts
}

func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// TestStorm is 10,000 mixed alerts over loopback.
func TestStorm(t *testing.T) {
	hooks, features := storm(10_000)
	var recorded records
	standIn, relay, address := stormy(t, features, vwo.RelayConfig{Emitter: &recorded})
	var wrong, forged, forgedOK atomic.Int64
	times := send(t, 8, address, hooks, func(h hook, status int) {
		if !slices.Contains(h.status, status) {
			wrong.Add(1)
			t.Errorf("%s: status %d, want %v", h.kind, status, h.status)
		}
		if h.refused {
			forged.Add(1)
			if status < 400 {
				forgedOK.Add(1)
			}
		}
	})
	if err := relay.Close(t.Context()); err != nil {
		t.Error(err)
	}
	counts := toggledOff(standIn)
	missing, more := 0, 0
	for _, feature := range features {
		switch counts[feature] {
		case 0:
			missing++
		case 1:
		default:
			more++
		}
	}
	on := len(standIn.Toggles())
	for _, n := range counts {
		on -= n
	}
	t.Logf("%d alerts, %d forged in %d ways: forged that acted %d, right ones that did not act %d, acted twice %d, switched on %d, wrong statuses %d, p99 %v",
		len(hooks), forged.Load(), len(forgeries()), forgedOK.Load()+int64(len(standIn.Toggles())-len(features)), missing, more, on, wrong.Load(), times[len(times)*99/100])
	if missing+more+on > 0 || len(counts) != len(features) || forged.Load() != 1000 || len(forgeries()) != 20 {
		t.Errorf("%d of %d flags switched", len(counts), len(features))
	}
	if n := len(recorded.all()); n != len(features) {
		t.Errorf("%d records", n)
	}
}

// TestAnswersWhileVWOHangs measures the answers over loopback.
func TestAnswersWhileVWOHangs(t *testing.T) {
	var hooks []hook
	features := []string{"a", "b", "c", "d"}
	for i := range 160 {
		hooks = append(hooks, hook{kind: "acts", body: eventAlert(features[i%4], time.Now()), status: []int{202}})
	}
	standIn, _, address := stormy(t, features, vwo.RelayConfig{})
	standIn.SetFault(vwotest.Fault{Hang: true})
	times := send(t, 40, address, hooks, func(h hook, status int) {
		if status != 202 {
			t.Errorf("status %d", status)
		}
	})
	p99 := times[len(times)*99/100]
	t.Logf("answers while VWO hangs: median %v, p99 %v, longest %v", times[len(times)/2], p99, times[len(times)-1])
	if p99 >= time.Second {
		t.Errorf("the 99th percentile is %v", p99)
	}
	standIn.SetFault(vwotest.Fault{})
	standIn.Release()
}

// TestVWODownAndBack refuses connections and answers 5xx in turn, then works.
func TestVWODownAndBack(t *testing.T) {
	var features []string
	for i := range 100 {
		features = append(features, fmt.Sprintf("flag_%d", i))
	}
	var hooks []hook
	for _, feature := range features {
		hooks = append(hooks, hook{body: eventAlert(feature, time.Now()), status: []int{200, 202}})
	}
	var recorded records
	var heard reports
	standIn, relay, address := stormy(t, features, vwo.RelayConfig{Emitter: &recorded, OnReport: heard.add, AnswerWithin: 50 * time.Millisecond})
	var n atomic.Int64
	standIn.SetFaults(func(*http.Request) vwotest.Fault {
		switch n.Add(1) % 4 {
		case 0:
			return vwotest.Fault{Break: true}
		case 1:
			return vwotest.Fault{Status: 500}
		case 2:
			return vwotest.Fault{Status: 502, Body: "<html>bad gateway</html>"}
		default:
			return vwotest.Fault{Applied: true, Break: true} // done, and the answer lost
		}
	})
	send(t, 8, address, hooks, func(h hook, status int) {
		if status != 202 {
			t.Errorf("status %d", status)
		}
	})
	standIn.SetFaults(nil)
	eventually(t, 20*time.Second, "every flag is off", func() bool {
		stats, err := relay.Stats(t.Context())
		return err == nil && stats.Waiting == 0
	})
	confirmed := map[string]int{}
	for _, change := range recorded.all() {
		confirmed[change.Flag]++
	}
	for _, feature := range features {
		if confirmed[feature] != 1 || standIn.Enabled("production", feature) {
			t.Errorf("%s: %d records, enabled=%t", feature, confirmed[feature], standIn.Enabled("production", feature))
		}
	}
	t.Logf("VWO down and back: %d kills accepted, %d confirmed and recorded once, %d failed attempts, %d reports", len(hooks), len(confirmed), n.Load(), len(heard.all()))
	if len(heard.all()) > 0 {
		t.Errorf("reports: %v", heard.all())
	}
}
