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

// BenchmarkDeliver100 measures how long an emitter takes from a queue of 100
// stored changes to the answer, the store's part included, against json.Marshal,
// hmac.New and go-retryablehttp for the same 100 changes, as xByHand.
func BenchmarkDeliver100(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	url := server.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/"
	changes := someChanges(100)
	items := newItems(b, url, changes)
	ours := newDeliverer(b, url, server.Client(), items)
	byHand := newByHand(url, server.Client(), changes)

	ours()
	byHand(b)
	ratio := benchratio.Of(ours, func() { byHand(b) }, 20)
	for b.Loop() {
		ours()
	}
	b.ReportMetric(ratio, "xByHand")
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

func newItems(b *testing.B, url string, changes []webhook.Change) []queue.Item {
	emitter, err := webhook.NewEmitter(newClient(b, url, nil), newLoop(nil), webhook.EmitterConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer emitter.Close(b.Context())
	items, err := emitter.Items(changes...)
	if err != nil {
		b.Fatal(err)
	}
	return items
}

// newDeliverer returns a function that has an emitter deliver the items once.
func newDeliverer(b *testing.B, url string, transport *http.Client, items []queue.Item) func() {
	store := newLoop(items)
	emitter, err := webhook.NewEmitter(newClient(b, url, transport), store, webhook.EmitterConfig{Linger: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		close(store.ask)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		emitter.Close(ctx)
	})
	return func() {
		store.ask <- struct{}{}
		<-store.settled
	}
}

// loop is a store that has the same items again each time it is asked, so that
// delivery alone is measured. What it does not implement is not called.
type loop struct {
	queue.Store
	entries      []queue.Entry
	ask, settled chan struct{}
	asked        bool // by the one goroutine that delivers
}

func newLoop(items []queue.Item) *loop {
	l := &loop{ask: make(chan struct{}), settled: make(chan struct{})}
	for i, item := range items {
		l.entries = append(l.entries, queue.Entry{Item: item, Seq: int64(i + 1)})
	}
	return l
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
func newByHand(url string, transport *http.Client, changes []webhook.Change) func(b *testing.B) {
	client := retryablehttp.NewClient()
	client.HTTPClient = transport
	client.Logger = nil
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
	return func(b *testing.B) {
		p := payload{Meta: map[string]int{"version": 1}}
		for _, c := range changes {
			p.Data = append(p.Data, change{string(c.Action), c.ChangeID, c.CreatedAt, author{c.CreatedBy.ID, string(c.CreatedBy.Type)}, c.Flag})
		}
		body, err := json.Marshal(p)
		if err != nil {
			b.Fatal(err)
		}
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
