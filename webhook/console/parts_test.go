package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestNumbers(t *testing.T) {
	for want, got := range map[string]string{
		"0": number(0, 1000), "1,000": number(1000, 1000), "1,000+": number(1001, 1000), "1,234,567": grouped(1234567), "999": grouped(999),
		"59 s": length(59 * time.Second), "1 min": length(time.Minute), "47 h": length(47 * time.Hour), "2 d": length(48 * time.Hour), "0 s": length(-time.Second),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestDecisions(t *testing.T) {
	var d Decisions
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	d.add("acted", "", now)
	for i := range 60 {
		d.add("ignored", "no rule", now.Add(time.Duration(i)*time.Minute))
	}
	text := func(at time.Time) string { return fmt.Sprint(d.counts(at)) }
	if got := text(now.Add(59 * time.Minute)); got != "[{acted  1} {ignored no rule 60}]" {
		t.Error(got)
	}
	if got := text(now.Add(60 * time.Minute)); got != "[{ignored no rule 59}]" {
		t.Error(got)
	}
	if got := text(now.Add(90 * time.Minute)); got != "[{ignored no rule 29}]" {
		t.Error(got)
	}
	if got := text(now.Add(1000 * time.Hour)); got != "[]" {
		t.Error(got)
	}
	now = now.Add(2000 * time.Hour)
	for i := range 500 {
		d.add("refused", fmt.Sprint(i), now)
	}
	if got := d.counts(now); len(got) != maxDecisions+1 || got[0] != (decided{"others", "", 400}) {
		t.Errorf("%d kinds, first %v", len(got), got[0])
	}
	var back Decisions
	back.add("ignored", "", now)
	back.add("acted", "", now.Add(-time.Hour)) // a clock was set back
	if got := fmt.Sprint(back.counts(now)); got != "[{acted  1} {ignored  1}]" {
		t.Error(got)
	}
}

func TestPausedSince(t *testing.T) {
	since := time.Now().Add(-90 * time.Second)
	v := queueOf("q", webhook.EmitterStats{Waiting: 2, Paused: true, PausedSince: since, Failures: 3, LastError: errors.New("no <answer>"), Rest: 40 * time.Second}, plot{})
	var page strings.Builder
	if err := pages.ExecuteTemplate(&page, "queue", v); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Since <time datetime=\"" + since.UTC().Format(time.RFC3339) + "\">", "for 1 min: no &lt;answer&gt; (3 failures in a row)", "in 40 s.", "Try now",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
}

// pastStore lets entries have been done at given times.
type pastStore struct {
	queue.Store
	at func(seq int64) time.Time
}

func (s pastStore) List(ctx context.Context, name string, f queue.Filter) ([]queue.Entry, error) {
	entries, err := s.Store.List(ctx, name, f)
	for i := range entries {
		entries[i].Since = s.at(entries[i].Seq)
	}
	return entries, err
}

func TestTally(t *testing.T) {
	memory, err := queue.NewMemory(queue.MemoryConfig{Capacity: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	now := time.Date(2026, 9, 1, 12, 30, 30, 0, time.UTC)
	// 100 in each of the last 70 minutes, the newest last.
	const each, minutes = 100, 70
	store := pastStore{memory, func(seq int64) time.Time {
		return now.Add(-time.Duration(minutes-1-(seq-1)/each) * time.Minute)
	}}
	deliver := func(from, n int) {
		var items []queue.Item
		for i := from; i < from+n; i++ {
			items = append(items, queue.Item{ID: fmt.Sprint(i)})
		}
		if _, err := memory.Add(t.Context(), "q", queue.Addition{Items: items}); err != nil {
			t.Fatal(err)
		}
		due, err := memory.Due(t.Context(), "q", 0, n)
		if err != nil {
			t.Fatal(err)
		}
		var outcomes []queue.Outcome
		for _, e := range due {
			outcomes = append(outcomes, queue.Outcome{ID: e.ID, Seq: e.Seq, State: queue.Done})
		}
		if err := memory.Settle(t.Context(), "q", "me", outcomes...); err != nil {
			t.Fatal(err)
		}
	}
	inspector, err := webhook.NewInspector(store, "q", webhook.InspectorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var tally tally
	update := func(at time.Time) plot {
		p, err := tally.update(t.Context(), inspector, at)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := update(now); p.Total != 0 || len(p.Bars) != 0 || !p.From.IsZero() {
		t.Errorf("of nothing: %+v", p)
	}
	deliver(0, each*minutes)
	p := update(now)
	if p.Total != tallyPage || p.Most != each || p.From.IsZero() {
		t.Errorf("after one page: %d in all, from %v", p.Total, p.From)
	}
	for range 10 {
		p = update(now)
	}
	if p.Total != each*hour || len(p.Bars) != hour || !p.From.IsZero() {
		t.Errorf("in the end: %d in all, %d bars, from %v", p.Total, len(p.Bars), p.From)
	}
	deliver(each*minutes, 3*tallyPage)
	p = update(now.Add(10 * time.Minute)) // of what is new, a third is of the next minutes
	if p.Total != hour*each {
		t.Errorf("after more: %d in all", p.Total)
	}
	last := p.Bars[len(p.Bars)-1]
	if last.X+last.Width > float64(p.Width) || last.Y < 0 || last.Height > float64(p.Height) {
		t.Errorf("a bar beyond the edge: %+v", last)
	}
}

func TestPolicyKnowsTheTexts(t *testing.T) {
	memory, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	inspector, err := webhook.NewInspector(memory, "q", webhook.InspectorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Inspector: inspector, Password: signing.NewSecret("correct-horse-battery")})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	r.SetBasicAuth("ada", "correct-horse-battery")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	for _, tag := range []string{"style", "script"} {
		_, rest, _ := strings.Cut(w.Body.String(), "<"+tag+">")
		text, _, found := strings.Cut(rest, "</"+tag+">")
		sum := sha256.Sum256([]byte(text))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !found || !strings.Contains(w.Header().Get("Content-Security-Policy"), want) {
			t.Errorf("the policy does not have %s", want)
		}
	}
}
