package browser

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/console"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

const password = "correct-horse-battery"

// stage is a console in front of an emitter, a stand-in for an older Sentry and a
// kill switch.
type stage struct {
	t         *testing.T
	sentry    *webhooktest.Server
	emitter   *webhook.Emitter
	switches  *switches
	decisions *console.Decisions
	store     *queue.Memory
	address   string      // host and port
	stop      func()      // ends the server
	hangs     atomic.Bool // the server takes requests and answers none
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, switches: &switches{}, decisions: &console.Decisions{}}
	s.sentry = webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
	t.Cleanup(s.sentry.Close)
	client, err := webhook.NewClient(webhook.Config{URL: s.sentry.URL(), Secrets: []signing.Secret{s.sentry.Secret()}, OnWarning: func(webhook.Warning) {}})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	s.store = memory
	quiet := slog.New(slog.DiscardHandler)
	s.emitter, err = webhook.NewEmitter(client, newAged(memory), webhook.EmitterConfig{Logger: quiet, Queue: "flag-changes:sentry.io/acme"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.emitter.Close(ctx)
	})
	page, err := console.New(console.Config{
		Title: "Feature flags in production", Inspector: s.emitter.Inspector(), Switches: s.switches, Decisions: s.decisions,
		Sources: func() []console.Source {
			return []console.Source{
				{Name: "flagd:checkout.json", Flags: 31, LastGood: time.Now().Add(-time.Second)},
				{Name: "launchdarkly:mobile", Flags: 12, LastGood: time.Now().Add(-7 * time.Minute), Since: time.Now().Add(-6 * time.Minute), Problem: "status 503 from the flag service"},
			}
		},
		Password: signing.NewSecret(password), Logger: quiet, Announce: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.serve(page)
	return s
}

// serve serves the page below a prefix, as an admin server does.
func (s *stage) serve(page http.Handler) {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/console/", http.StripPrefix("/console", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.hangs.Load() {
			<-r.Context().Done()
			return
		}
		page.ServeHTTP(w, r)
	})))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	s.stop = func() { server.Close() }
	s.t.Cleanup(s.stop)
	s.address = listener.Addr().String()
}

// url is the page's, with the name and the password of who looks at it.
func (s *stage) url() string { return "http://ada:" + password + "@" + s.address + "/console/" }

func (s *stage) emit(changes ...webhook.Change) {
	s.t.Helper()
	if err := s.emitter.Emit(s.t.Context(), changes...); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := s.emitter.Flush(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func change(action webhook.Action, flag, author string) webhook.Change {
	return webhook.Change{Action: action, Flag: flag, CreatedBy: webhook.Author{ID: author, Type: webhook.AuthorEmail}}
}

// longFlag is what the older Sentry refuses: 150 characters.
var longFlag = "checkout.experiment.2026-q4.express-payment-with-saved-address." + strings.Repeat("variant-", 10) + "enabled"

// fill makes the page look as on a working day.
func (s *stage) fill() {
	authors := []string{"ada@example.com", "grace@example.com", "linus@example.com", "deploy-bot@example.com"}
	flags := []string{"new-checkout", "express-payment", "saved-baskets", "dark-mode", "parcel-lockers", "search-v3", "guest-checkout"}
	actions := []webhook.Action{webhook.ActionUpdated, webhook.ActionUpdated, webhook.ActionUpdated, webhook.ActionCreated, webhook.ActionDeleted}
	random := rand.New(rand.NewPCG(1, 2))
	var changes []webhook.Change
	for range delivered {
		changes = append(changes, change(actions[random.IntN(len(actions))], flags[random.IntN(len(flags))], authors[random.IntN(len(authors))]))
	}
	s.emit(changes...)
	if len(longFlag) != 150 {
		s.t.Fatalf("%d characters", len(longFlag))
	}
	s.emit(change(webhook.ActionCreated, longFlag, "grace@example.com"))
	s.switches.add(console.SwitchedOff{Target: "vwo:production/express-payment", Flag: "express-payment", Alert: "Checkout error rate", Since: time.Now().Add(-4 * time.Minute), Was: console.WasOn})
	for verdict, reasons := range map[string]map[string]int{"acted": {"": 1}, "ignored": {"no rule": 14, "cooling down": 3}, "refused": {"forged": 2}} {
		for reason, n := range reasons {
			for range n {
				s.decisions.Add(verdict, reason)
			}
		}
	}
}

// switches is a kill switch that restores at once.
type switches struct {
	mu       sync.Mutex
	off      []console.SwitchedOff
	restored []string
}

func (s *switches) add(off console.SwitchedOff) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = append(s.off, off)
}

func (s *switches) SwitchedOff(context.Context) ([]console.SwitchedOff, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]console.SwitchedOff(nil), s.off...), nil
}

func (s *switches) Restore(_ context.Context, target, by string, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, off := range s.off {
		if off.Target == target {
			s.off = append(s.off[:i], s.off[i+1:]...)
			s.restored = append(s.restored, target+" by "+by)
			return nil
		}
	}
	return fmt.Errorf("no such flag")
}

func (s *switches) Pending(context.Context) ([]console.PendingSwitch, error) { return nil, nil }

func (s *switches) Retry(context.Context, string, string) error { return fmt.Errorf("no such switch") }

func (s *switches) GiveUp(context.Context, string, string) error { return fmt.Errorf("no such switch") }

// aged lets the first changes that were delivered seem to have been delivered over
// the last hour, so that there is a plot to look at.
type aged struct {
	*queue.Memory
	began time.Time
	ago   []time.Duration // by Seq - 1
}

// delivered is how many of them there are.
const delivered = 260

func newAged(memory *queue.Memory) *aged {
	a := &aged{Memory: memory, began: time.Now()}
	random := rand.New(rand.NewPCG(3, 4)) // the same each time
	for i := range delivered {
		minutes := 59 * random.Float64()
		if i%3 == 0 { // somebody has rolled something out
			minutes = 17 + 4*random.NormFloat64()
		}
		a.ago = append(a.ago, time.Duration(max(minutes, 0)*float64(time.Minute)))
	}
	slices.SortFunc(a.ago, func(x, y time.Duration) int { return cmp.Compare(y, x) })
	return a
}

func (a *aged) List(ctx context.Context, name string, f queue.Filter) ([]queue.Entry, error) {
	entries, err := a.Memory.List(ctx, name, f)
	for i, e := range entries {
		if e.State == queue.Done && e.Seq <= delivered {
			entries[i].Since = a.began.Add(-a.ago[e.Seq-1])
		}
	}
	return entries, err
}
