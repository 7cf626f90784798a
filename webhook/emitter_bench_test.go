package webhook

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// BenchmarkEmitter measures what the emitter does for a request, from stored
// items to Sentry's answer judged, against a bare net/http POST of the same
// bytes to the same server, as xRaw. It is to stay at or below 1.25 for 1 change,
// 1.3 for 10 and 2.0 for 100.
func BenchmarkEmitter(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("changes=%d", n), func(b *testing.B) { benchmarkEmitter(b, server, n) })
	}
}

func benchmarkEmitter(b *testing.B, server *httptest.Server, n int) {
	client, err := NewClient(Config{
		URL:        server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/",
		Secrets:    []signing.Secret{signing.NewSecret("benchmark-secret-0123456789abcdef")},
		HTTPClient: server.Client(),
	})
	if err != nil {
		b.Fatal(err)
	}
	changes := make([]Change, n)
	for i := range changes {
		changes[i] = Change{
			Action: ActionUpdated, ChangeID: int64(1000 + i), CreatedAt: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC),
			CreatedBy: Author{ID: "deploy-bot", Type: AuthorName}, Flag: fmt.Sprintf("checkout-flow-%d", i),
		}
	}
	items, err := client.items(changes, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	entries := make([]queue.Entry, n)
	for i, item := range items {
		entries[i] = queue.Entry{Item: item, Seq: int64(i + 1)}
	}
	d := &delivery{Emitter: &Emitter{client: client}, size: n, most: n}
	var ready []byte
	emit := func() {
		if err := d.post(b.Context(), d.choose(entries)); err != nil {
			b.Fatal(err)
		}
	}
	raw := func() {
		response, err := server.Client().Post(server.URL, "application/json", bytes.NewReader(ready))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	emit()
	ready = joinBody(nil, d.encoded...)
	raw()
	ratio := benchratio.Of(emit, raw, 100)
	for b.Loop() {
		emit()
	}
	b.ReportMetric(ratio, "xRaw")
}
