package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/google/go-cmp/cmp"
)

func TestEnvelopes(t *testing.T) {
	want := []recordedFlag{{"new-checkout", true}, {"colour", "blue"}}
	for _, name := range []string{"length.envelope", "no-length.envelope", "mixed.envelope"} {
		body, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parseEnvelope(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(parsed.Events) != 1 {
			t.Errorf("%s: %d events", name, len(parsed.Events))
			continue
		}
		got := parsed.Events[0]
		if got.message() != "payment failed" || got.ID != "9ec79c33ec9942ab8353589fcb2e04dc" {
			t.Errorf("%s: %+v", name, got)
		}
		if diff := cmp.Diff(want, got.Contexts.Flags.Values); diff != "" {
			t.Errorf("%s: flags (-want +got):\n%s", name, diff)
		}
	}
}

func TestMalformedEnvelopes(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"", "envelope header"},
		{"not json\n", "envelope header"},
		{"{}\nnot json\n{}", "item 1: header"},
		{"{}\n{}\n{}", "no type"},
		{"{}\n{\"type\":\"event\",\"length\":-1}\n{}", "length -1"},
		{"{}\n{\"type\":\"event\",\"length\":3}\n{}", "2 bytes follow"},
		{"{}\n{\"type\":\"event\",\"length\":2}\n{}{}", "no line break"},
		{"{}\n{\"type\":\"session\"}\n{}\n{\"type\":\"event\"}\nnull and void", "item 2: event"},
		{"{}\n{\"type\":\"event\"}\n{\"exception\":7}", "item 1: event"},
	} {
		if _, err := parseEnvelope([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.body, err, c.want)
		}
	}
}

func TestEnvelopeWithoutItems(t *testing.T) {
	for _, body := range []string{"{}", "{}\n", "{}\n\n\n"} {
		if parsed, err := parseEnvelope([]byte(body)); err != nil || len(parsed.Events) != 0 {
			t.Errorf("%q: %+v, %v", body, parsed, err)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, name := range []string{"length.envelope", "no-length.envelope", "mixed.envelope"} {
		body, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := parseEnvelope(body)
		if err != nil && len(parsed.Events) > 0 {
			t.Error("events of a malformed envelope")
		}
		for _, e := range parsed.Events {
			_ = e.message()
		}
	})
}

// What the SDK really sends, by either of its pipelines.
func TestEnvelopesOfTheSDK(t *testing.T) {
	for name, direct := range map[string]bool{"buffered": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			events := &ingestion{project: "7", key: "key"}
			server := httptest.NewServer(events)
			defer server.Close()
			client, err := sentry.NewClient(sentry.ClientOptions{
				Dsn:                    events.dsn(server.URL),
				DisableTelemetryBuffer: direct,
				EnableTracing:          true,
				TracesSampleRate:       1,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			hub := sentry.NewHub(client, sentry.NewScope())
			hub.Scope().SetUser(sentry.User{Username: "carol"})
			hub.Scope().SetContext("flags", sentry.Context{"values": []recordedFlag{{"a", true}}})
			hub.Scope().AddAttachment(&sentry.Attachment{Filename: "a.txt", Payload: []byte("two\nlines\n")})
			hub.CaptureException(errors.New("first"))
			sentry.StartTransaction(sentry.SetHubOnContext(t.Context(), hub), "no error").Finish()
			hub.CaptureException(errors.New("second"))
			if !client.Flush(5 * time.Second) {
				t.Fatal("not sent")
			}
			var messages []string
			for _, e := range events.arrived() {
				messages = append(messages, e.message())
				if diff := cmp.Diff([]recordedFlag{{"a", true}}, e.Contexts.Flags.Values); diff != "" || e.User.Username != "carol" {
					t.Errorf("user %q, flags (-want +got):\n%s", e.User.Username, diff)
				}
			}
			if diff := cmp.Diff([]string{"first", "second"}, messages); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIngestion(t *testing.T) {
	const good = "{}\n{\"type\":\"event\"}\n{\"event_id\":\"1\"}\n"
	const right = "Sentry sentry_version=7, sentry_client=test/1, sentry_key=key"
	for _, c := range []struct {
		name         string
		method, path string
		auth         string
		encoding     string
		body         []byte
		want         int
	}{
		{"right", "POST", "/api/7/envelope/", right, "", []byte(good), 200},
		{"compressed", "POST", "/api/7/envelope/", right, "gzip", compressed(good), 200},
		{"key in the query", "POST", "/api/7/envelope/?sentry_key=key", "", "", []byte(good), 200},
		{"key in the envelope", "POST", "/api/7/envelope/", "", "", []byte(`{"dsn":"http://key@127.0.0.1/7"}` + good[2:]), 200},
		{"wrong key", "POST", "/api/7/envelope/", "Sentry sentry_key=other", "", []byte(good), 403},
		{"wrong key, right one in the envelope", "POST", "/api/7/envelope/", "Sentry sentry_key=other", "", []byte(`{"dsn":"http://key@127.0.0.1/7"}` + good[2:]), 403},
		{"wrong key in the query", "POST", "/api/7/envelope/?sentry_key=other", "", "", []byte(good), 403},
		{"wrong key in the envelope", "POST", "/api/7/envelope/", "", "", []byte(`{"dsn":"http://other@127.0.0.1/7"}` + good[2:]), 403},
		{"no key", "POST", "/api/7/envelope/", "", "", []byte(good), 403},
		{"another project", "POST", "/api/8/envelope/", right, "", []byte(good), 404},
		{"another endpoint", "POST", "/api/7/store/", right, "", []byte(good), 404},
		{"another method", "GET", "/api/7/envelope/", right, "", nil, 405},
		{"malformed", "POST", "/api/7/envelope/", right, "", []byte("?"), 400},
		{"not compressed", "POST", "/api/7/envelope/", right, "gzip", []byte(good), 400},
		{"cut short", "POST", "/api/7/envelope/", right, "gzip", compressed(good)[:30], 400},
		{"another compression", "POST", "/api/7/envelope/", right, "br", []byte(good), 400},
		{"too large", "POST", "/api/7/envelope/", right, "", make([]byte, maxEnvelope+1), 413},
		{"too large when decompressed", "POST", "/api/7/envelope/", right, "gzip", compressed(strings.Repeat(" ", maxEnvelope+1)), 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			events := &ingestion{project: "7", key: "key"}
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, bytes.NewReader(c.body))
			r.Header.Set("X-Sentry-Auth", c.auth)
			r.Header.Set("Content-Encoding", c.encoding)
			w := httptest.NewRecorder()
			events.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if kept := len(events.arrived()); (kept == 1) != (c.want == http.StatusOK) {
				t.Errorf("%d events kept", kept)
			}
		})
	}
}

func compressed(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}
