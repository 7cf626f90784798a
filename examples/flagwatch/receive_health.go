package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

// manyForged is how many wrong signatures in a row, or missing ones of a product
// that was never heard, are worth a word.
const manyForged = 3

// tellDoors tells of the receivers, and whether they can keep what comes. Wrong
// signatures are told and make nothing ill: any stranger can send them, and nobody
// should be able to have the service restarted.
func (s *service) tellDoors(told io.Writer) (well bool) {
	well = true
	for _, path := range s.paths() {
		receiver := s.doors[path]
		stats := receiver.Stats()
		state := "ok    "
		switch {
		case stats.Problem != nil:
			state, well = "FAILED", false
		case deaf(stats):
			state = "DEAF? "
		}
		fmt.Fprintf(told, "%s  webhooks of %s: %s, %d changes, %d authors lent", state, receiver.Name(), lastHeard(stats.LastAuthentic), stats.Changes, stats.Lent)
		for _, run := range wrongRuns(stats) {
			fmt.Fprint(told, "; ", run)
		}
		if n := stats.Results[receive.Unreadable]; n > 0 {
			fmt.Fprintf(told, "; %d that cannot be read", n)
		}
		if n := stats.Results[receive.Unknown]; n > 0 {
			fmt.Fprintf(told, "; %d of no use, %q", n, slices.Sorted(maps.Keys(stats.Unknown)))
		}
		if stats.Refused > 0 {
			fmt.Fprintf(told, "; %d changes that Sentry would refuse", stats.Refused)
		}
		if stats.Problem != nil {
			fmt.Fprintf(told, "; %d wait in memory: %v", stats.Waiting, stats.Problem)
		}
		fmt.Fprintln(told)
	}
	s.elsewhere.tell(told)
	return well
}

// deaf reports whether a product may try in vain.
func deaf(stats receive.Stats) bool {
	return stats.ForgedRun >= manyForged || stats.UnsignedRun >= manyForged && stats.LastAuthentic.IsZero()
}

// wrongRuns tells of what has come since the last authentic webhook.
func wrongRuns(stats receive.Stats) (told []string) {
	if stats.ForgedRun > 0 {
		told = append(told, fmt.Sprintf("%d wrong signatures in a row since %s: a wrong secret, or a stranger", stats.ForgedRun, stats.ForgedSince.UTC().Format(time.RFC3339)))
	}
	if stats.UnsignedRun > 0 {
		told = append(told, fmt.Sprintf("%d in a row without a signature: the product has no secret, or a stranger", stats.UnsignedRun))
	}
	return told
}

// unheard is why a product's webhooks may be lost, and since when if that is known.
func unheard(stats receive.Stats) (problem string, since time.Time) {
	switch {
	case stats.Problem != nil:
		return fmt.Sprintf("%d wait in memory: %v", stats.Waiting, stats.Problem), time.Time{}
	case deaf(stats):
		return strings.Join(wrongRuns(stats), "; "), stats.ForgedSince
	}
	return "", time.Time{}
}

func lastHeard(last time.Time) string {
	if last.IsZero() {
		return "none yet"
	}
	return "the last at " + last.UTC().Format(time.RFC3339)
}

// doorMetrics writes the receivers' numbers in Prometheus's text format.
func (s *service) doorMetrics(w io.Writer) {
	if len(s.doors) == 0 {
		return
	}
	s.elsewhere.metric(w)
	const results = "flagwatch_webhooks_total"
	fmt.Fprintf(w, "# HELP %s Webhooks by what became of them.\n# TYPE %s counter\n", results, results)
	for _, path := range s.paths() {
		stats := s.doors[path].Stats()
		for _, result := range slices.Sorted(maps.Keys(stats.Results)) {
			fmt.Fprintf(w, "%s{receiver=\"%s\",result=\"%s\"} %d\n", results, labels.Replace(s.doors[path].Name()), result, stats.Results[result])
		}
	}
	for _, metric := range []struct {
		name, kind, help string
		value            func(receive.Stats) int64
	}{
		{"webhook_changes_total", "counter", "Changes that webhooks have told of, kept by this process.", func(s receive.Stats) int64 { return s.Changes }},
		{"webhook_refused_total", "counter", "Changes that Sentry would refuse.", func(s receive.Stats) int64 { return s.Refused }},
		{"webhook_authors_total", "counter", "Authors given to watched sources.", func(s receive.Stats) int64 { return s.Lent }},
		{"webhook_last_authentic_seconds", "gauge", "When the last authentic webhook came, in Unix time; 0 for none yet.", func(s receive.Stats) int64 { return max(s.LastAuthentic.Unix(), 0) }},
		{"webhook_wrong_signatures_run", "gauge", "Wrong signatures since the last authentic webhook.", func(s receive.Stats) int64 { return s.ForgedRun }},
		{"webhook_waiting", "gauge", "Webhooks that wait in memory for the store.", func(s receive.Stats) int64 { return int64(s.Waiting) }},
	} {
		fmt.Fprintf(w, "# HELP flagwatch_%s %s\n# TYPE flagwatch_%s %s\n", metric.name, metric.help, metric.name, metric.kind)
		for _, path := range s.paths() {
			fmt.Fprintf(w, "flagwatch_%s{receiver=\"%s\"} %d\n", metric.name, labels.Replace(s.doors[path].Name()), metric.value(s.doors[path].Stats()))
		}
	}
}
