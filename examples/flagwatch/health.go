package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// handler serves /healthz and /metrics.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// health answers 200 when every source can be read and the store asked. What
// waits for Sentry is no reason to restart anything.
func (s *service) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var told strings.Builder
	well := true
	for _, watcher := range s.watchers {
		stats := watcher.Stats()
		if stats.Problem == nil {
			fmt.Fprintf(&told, "ok      %s: %d flags, %d changes, %d pending%s\n", watcher.Name(), stats.Flags, stats.Changes, stats.Pending, refused(stats.Refused))
			continue
		}
		well = false
		fmt.Fprintf(&told, "FAILED  %s, since %s: %v\n", watcher.Name(), stats.Since.UTC().Format(time.RFC3339), stats.Problem)
	}
	well = s.tellDoors(&told) && well
	if stats, err := s.emitter.Inspector().Stats(ctx, healthMost); err != nil {
		well = false
		fmt.Fprintln(&told, "FAILED  the store cannot be asked")
	} else {
		fmt.Fprintf(&told, "ok      %s changes wait for Sentry, %s were refused\n", counts(stats.Waiting), counts(stats.Dead))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, told.String())
}

// healthMost is where the counts end: to count all would make a long queue look
// like a store that does not answer.
const healthMost = 10_000

func counts(n int) string {
	if n == healthMost {
		return strconv.Itoa(n) + " or more"
	}
	return strconv.Itoa(n)
}

// refused tells of changes that were left out, if there are any.
func refused(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d that Sentry would refuse", n)
}

// metrics writes Prometheus's text format.
func (s *service) metrics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for _, metric := range []struct{ name, kind, help string }{
		{"looks_total", "counter", "How often the source was looked at."},
		{"changes_total", "counter", "Changes found and kept by this process."},
		{"refused_total", "counter", "Changes that Sentry would refuse."},
		{"flags", "gauge", "Flags in the last good documents."},
		{"pending", "gauge", "Differences that are known and not kept yet."},
		{"failing", "gauge", "1 if the source or the store cannot be read."},
		{"last_good_seconds", "gauge", "When documents were last read, in Unix time."},
	} {
		fmt.Fprintf(w, "# HELP flagwatch_%s %s\n# TYPE flagwatch_%s %s\n", metric.name, metric.help, metric.name, metric.kind)
		for _, watcher := range s.watchers {
			stats := watcher.Stats()
			value := map[string]int64{
				"looks_total": stats.Looks, "changes_total": stats.Changes, "refused_total": stats.Refused, "flags": int64(stats.Flags),
				"pending": int64(stats.Pending), "failing": 0, "last_good_seconds": max(stats.LastGood.Unix(), 0),
			}[metric.name]
			if metric.name == "failing" && stats.Problem != nil {
				value = 1
			}
			fmt.Fprintf(w, "flagwatch_%s{source=\"%s\"} %d\n", metric.name, labels.Replace(watcher.Name()), value)
		}
	}
	s.doorMetrics(w)
	_ = s.emitter.WriteMetrics(ctx, w) // nobody is left to tell
}

// labels escapes what a label's value must not hold.
var labels = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
