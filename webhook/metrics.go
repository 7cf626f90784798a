package webhook

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// metricsCall bounds the questions to the store.
	metricsCall = time.Second
	// metricsMost is where the counts end: the numbers must not be missing because
	// there is much to count.
	metricsMost = 100_000
)

// WriteMetrics writes the numbers of [Emitter.Stats] in the text format of
// Prometheus, with the queue as the only label; docs/metrics.md says which there
// are and what alarms to set on them. Counts end at 100,000. When the store does
// not answer within a second its numbers are left out, and
// sentryflags_changes_store_up is 0. The error is that of w.
func (e *Emitter) WriteMetrics(ctx context.Context, w io.Writer) error {
	if ctx == nil {
		return errNilContext
	}
	ctx, cancel := context.WithTimeout(ctx, metricsCall)
	defer cancel()
	stats, err := e.stats(ctx, metricsMost, slices.Collect(maps.Keys(e.state.wakes))...)
	_, err = io.WriteString(w, stats.prometheus(e.config.Queue, err == nil))
	return err
}

// labelValue escapes a value of a label.
var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (s EmitterStats) prometheus(queue string, storeUp bool) string {
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		name = "sentryflags_changes_" + name
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s{queue=\"%s\"} %v\n", name, help, name, kind, name, labelValue.Replace(queue), value)
	}
	metric("delivered_total", "counter", "Changes that Sentry has taken from this process.", float64(s.Delivered))
	metric("rejected_total", "counter", "Changes that this process has sent to the dead letters.", float64(s.Rejected))
	metric("failures", "gauge", "Failures in a row, of Sentry or the store, in this process.", float64(s.Failures))
	metric("unattended_queues", "gauge", "Other queues of the store that nobody works on.", float64(s.Unattended))
	metric("dropped_events_total", "counter", "Events that OnEvent was too slow for.", float64(s.DroppedEvents))
	metric("store_up", "gauge", "Whether the store can be asked.", truth(storeUp))
	if !storeUp {
		return b.String()
	}
	metric("waiting", "gauge", "Changes that wait for delivery.", float64(s.Waiting))
	metric("oldest_age_seconds", "gauge", "How long the oldest of them has been waiting; 0 if none waits.", s.OldestAge.Seconds())
	metric("paused", "gauge", "Whether delivery waits after a failure.", truth(s.Paused))
	metric("dead", "gauge", "Changes that Sentry has refused and nobody has looked after.", float64(s.Dead))
	metric("dropped_dead_total", "counter", "Dead letters that a bounded store has dropped.", float64(s.DroppedDead))
	return b.String()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
