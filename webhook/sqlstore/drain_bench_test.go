package sqlstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// BenchmarkDrain delivers a queue in batches of 100, and one in batches of 1,
// and reports how many times faster the first is per change, as xSingle, which is to be at least 8.
func BenchmarkDrain(b *testing.B) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL} {
		b.Run("engine="+dialect.String(), func(b *testing.B) {
			var ratios []float64
			var perChange time.Duration
			for range 5 {
				single := drainTime(b, dialect, 200, 1)
				perChange = drainTime(b, dialect, 4000, 100)
				ratios = append(ratios, float64(single)/float64(perChange))
			}
			for b.Loop() {
				drainTime(b, dialect, 500, 100)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "xSingle")
			b.ReportMetric(float64(time.Second/perChange), "changes/s")
		})
	}
}

// drainTime returns the time per change.
func drainTime(b *testing.B, dialect sqlstore.Dialect, n, batch int) time.Duration {
	store := open(b, dialect, b.TempDir())
	defer store.Close()
	fill(b, store, n)
	sink := newSink(0)
	defer sink.Close()
	client, err := webhook.NewClient(webhook.Config{URL: sink.url(), Secrets: []signing.Secret{signing.NewSecret(sinkSecret)}})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{Queue: testQueue, BatchSize: batch, Linger: -1})
	if err != nil {
		b.Fatal(err)
	}
	if err := emitter.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if sink.unique() != n {
		b.Fatalf("%d of %d delivered", sink.unique(), n)
	}
	return took / time.Duration(n)
}
