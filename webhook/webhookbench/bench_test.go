package webhookbench

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

const secret = "benchmark-secret-0123456789abcdef"

// BenchmarkDeliver measures how long an emitter takes from a queue of stored
// changes to the answer, the store's part included, against a POST of the ready
// bytes, as xRaw, and against json.Marshal, hmac.New and go-retryablehttp for the
// same changes, as xByHand. An emitter encodes changes when they are emitted, not
// when they are delivered; encoded-xRaw is both.
func BenchmarkDeliver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	url := server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/"
	for _, n := range []int{1, 3, 10, 30, 100, 300} {
		b.Run(fmt.Sprintf("changes=%d", n), func(b *testing.B) {
			changes := someChanges(n)
			d := newDeliverer(b, url, server.Client(), changes)
			byHand := newByHand(b, url, server.Client(), changes)
			raw := newRaw(b, url, server.Client(), changes)
			encoded := func() {
				d.encode(b, changes)
				d.deliver()
			}

			encoded()
			for b.Loop() {
				d.deliver()
			}
			const calls = 40
			b.ReportMetric(benchratio.Of(d.deliver, raw, calls), "xRaw")
			b.ReportMetric(benchratio.Of(encoded, raw, calls), "encoded-xRaw")
			b.ReportMetric(benchratio.Of(byHand, raw, calls), "byHand-xRaw")
			b.ReportMetric(benchratio.Of(d.deliver, byHand, calls), "xByHand")
		})
	}
}

func someChanges(n int) []webhook.Change {
	changes := make([]webhook.Change, n)
	for i := range changes {
		changes[i] = webhook.Change{
			Action: webhook.ActionUpdated, ChangeID: int64(1000 + i), CreatedAt: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC),
			CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}, Flag: fmt.Sprintf("checkout-flow-%d", i),
		}
	}
	return changes
}

func newClient(b *testing.B, url string, transport *http.Client) *webhook.Client {
	client, err := webhook.NewClient(webhook.Config{URL: url, Secrets: []signing.Secret{signing.NewSecret(secret)}, HTTPClient: transport})
	if err != nil {
		b.Fatal(err)
	}
	return client
}

// deliverer is an emitter with a store that has the same items again each time.
type deliverer struct {
	emitter *webhook.Emitter
	store   *loop
}

func newDeliverer(b *testing.B, url string, transport *http.Client, changes []webhook.Change) *deliverer {
	store := &loop{ask: make(chan struct{}), settled: make(chan struct{})}
	emitter, err := webhook.NewEmitter(newClient(b, url, transport), store,
		webhook.EmitterConfig{Linger: -1, BatchSize: len(changes)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		close(store.ask)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		emitter.Close(ctx)
	})
	d := &deliverer{emitter, store}
	d.encode(b, changes)
	return d
}

// encode makes items of the changes, as Emit does, and stores them.
func (d *deliverer) encode(b *testing.B, changes []webhook.Change) {
	items, err := d.emitter.Items(changes...)
	if err != nil {
		b.Fatal(err)
	}
	d.store.entries = d.store.entries[:0]
	for i, item := range items {
		d.store.entries = append(d.store.entries, queue.Entry{Item: item, Seq: int64(i + 1)})
	}
}

// deliver has the stored items delivered once.
func (d *deliverer) deliver() {
	d.store.ask <- struct{}{}
	<-d.store.settled
}

// loop is a store that has the same items again each time it is asked, so that
// delivery alone is measured. What it does not implement is not called.
type loop struct {
	queue.Store
	entries      []queue.Entry
	ask, settled chan struct{}
	asked        bool // by the one goroutine that delivers
}

func (l *loop) Lease(context.Context, string, string, time.Duration) (time.Duration, error) {
	return 0, nil
}

func (l *loop) Release(context.Context, string, string, time.Duration) error { return nil }
func (l *loop) Sweep(context.Context, int) (int, error)                      { return 0, nil }
func (l *loop) Queues(context.Context) ([]string, error)                     { return nil, nil }
func (l *loop) Stats(context.Context, string, int) (queue.Stats, error)      { return queue.Stats{}, nil }

func (l *loop) List(context.Context, string, queue.Filter) ([]queue.Entry, error) { return nil, nil }

func (l *loop) Due(ctx context.Context, _ string, _ int64, limit int) ([]queue.Entry, error) {
	if !l.asked {
		select {
		case _, l.asked = <-l.ask:
		case <-ctx.Done():
		}
	}
	if !l.asked {
		return nil, ctx.Err()
	}
	return l.entries[:min(limit, len(l.entries))], nil
}

func (l *loop) Settle(context.Context, string, string, ...queue.Outcome) error {
	l.asked = false
	l.settled <- struct{}{}
	return nil
}

// newByHand returns a function that encodes, signs and posts the changes as one
// would without this library.
func newByHand(b *testing.B, url string, transport *http.Client, changes []webhook.Change) func() {
	client := retryablehttp.NewClient()
	client.HTTPClient = transport
	client.Logger = nil
	return func() {
		body := marshal(b, changes)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		request, err := retryablehttp.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set(signing.Header, hex.EncodeToString(mac.Sum(nil)))
		response, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// newRaw returns a function that posts what is encoded already.
func newRaw(b *testing.B, url string, transport *http.Client, changes []webhook.Change) func() {
	body := marshal(b, changes)
	return func() {
		response, err := transport.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// marshal encodes changes by encoding/json.
func marshal(b *testing.B, changes []webhook.Change) []byte {
	type author struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	type change struct {
		Action    string    `json:"action"`
		ChangeID  int64     `json:"change_id"`
		CreatedAt time.Time `json:"created_at"`
		CreatedBy author    `json:"created_by"`
		Flag      string    `json:"flag"`
	}
	type payload struct {
		Data []change       `json:"data"`
		Meta map[string]int `json:"meta"`
	}
	p := payload{Meta: map[string]int{"version": 1}}
	for _, c := range changes {
		p.Data = append(p.Data, change{string(c.Action), c.ChangeID, c.CreatedAt, author{c.CreatedBy.ID, string(c.CreatedBy.Type)}, c.Flag})
	}
	body, err := json.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	return body
}
