// Metrics gives an emitter's numbers to the Prometheus registry that a program
// has already, and sets the alarm that matters most.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// flagChanges are an emitter's numbers.
type flagChanges struct{ emitter *webhook.Emitter }

func (f flagChanges) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, ch) }

func (f flagChanges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // or a store that hangs holds up all other numbers
	defer cancel()
	stats, err := f.emitter.Inspector().Stats(ctx, 100_000) // counts no further
	if err != nil {
		return // the alarm on the numbers that are missing is the one on the store
	}
	for name, value := range map[string]float64{"oldest_age_seconds": stats.OldestAge.Seconds(), "waiting": float64(stats.Waiting), "dead": float64(stats.Dead)} {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("flag_changes_"+name, "", nil, nil), prometheus.GaugeValue, value)
	}
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	sentry := webhooktest.NewServer(webhooktest.Config{MaxFlag: 10})
	defer sentry.Close()
	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		return err
	}
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // what is in memory ends with the program
	emitter, err := webhook.NewEmitter(client, store, webhook.EmitterConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry() // yours
	registry.MustRegister(flagChanges{emitter})

	author := webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}
	err = emitter.Emit(ctx,
		webhook.Change{Action: webhook.ActionUpdated, Flag: "dark-mode", CreatedBy: author},
		webhook.Change{Action: webhook.ActionUpdated, Flag: "a-name-that-this-server-refuses", CreatedBy: author})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := emitter.Close(ctx); err != nil {
		return err
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		fmt.Println(family.GetName(), family.GetMetric()[0].GetGauge().GetValue())
	}
	return nil
}
