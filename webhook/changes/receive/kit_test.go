package receive_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// emitter makes items that hold the change as it is, and delivers nothing.
type emitter struct{}

func (emitter) Queue() string { return "flag-changes" }
func (emitter) Wake()         {}

func (emitter) Items(list ...webhook.Change) ([]queue.Item, error) {
	items := make([]queue.Item, len(list))
	for i, change := range list {
		if strings.ContainsRune(change.Flag, 0) {
			return nil, &webhook.ChangeError{Index: i, Field: "Flag", Reason: "must not contain U+0000"}
		}
		body, err := json.Marshal(change)
		if err != nil {
			return nil, err
		}
		items[i] = queue.Item{ID: change.ItemID, Key: change.Flag, Body: body}
	}
	return items, nil
}

// store is a queue.Store that can be out of order, or hang.
type store struct {
	queue.Store
	mu    sync.Mutex
	fails error
	hangs bool
	lies  bool // it takes what comes, and says that it does not
}

func newStore(t testing.TB) *store {
	t.Helper()
	memory, err := queue.NewMemory(queue.MemoryConfig{Capacity: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return &store{Store: memory}
}

func (s *store) be(fails error, hangs, lies bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails, s.hangs, s.lies = fails, hangs, lies
}

var errDown = errors.New("down")

func (s *store) ask(ctx context.Context) (lies bool, err error) {
	s.mu.Lock()
	fails, hangs, lies := s.fails, s.hangs, s.lies
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return lies, fails
}

func (s *store) Add(ctx context.Context, name string, a queue.Addition) (int, error) {
	lies, err := s.ask(ctx)
	if err != nil {
		return 0, err
	}
	n, err := s.Store.Add(ctx, name, a)
	if lies && err == nil {
		return 0, errDown
	}
	return n, err
}

func (s *store) Note(ctx context.Context, name, note string) (queue.Note, error) {
	if _, err := s.ask(ctx); err != nil {
		return queue.Note{}, err
	}
	return s.Store.Note(ctx, name, note)
}

// emitted returns the changes in the queue, in their order.
func emitted(t testing.TB, s queue.Store) []webhook.Change {
	t.Helper()
	var all []webhook.Change
	filter := queue.Filter{Limit: queue.MaxList}
	for {
		entries, err := s.List(context.Background(), "flag-changes", filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			var change webhook.Change
			if err := json.Unmarshal(entry.Body, &change); err != nil {
				t.Fatal(err)
			}
			all = append(all, change)
			filter.After = entry.Seq
		}
		if len(entries) < queue.MaxList {
			return all
		}
	}
}

// told lists changes as "action flag by type author".
func told(list []webhook.Change) []string {
	said := []string{}
	for _, c := range list {
		said = append(said, fmt.Sprintf("%s %s by %s %s", c.Action, c.Flag, c.CreatedBy.Type, c.CreatedBy.ID))
	}
	return said
}

const secret = "a-secret-of-the-product"

var products = map[string]receive.Product{
	"growthbook": receive.GrowthBook{}, "flipt": receive.Flipt{}, "go-feature-flag": receive.GoFeatureFlag{}, "webhook": receive.Any{Header: "X-Secret"},
}

// newReceiver starts a receiver that ends with the test.
func newReceiver(t testing.TB, c receive.Config) *receive.Receiver {
	t.Helper()
	if c.Emitter == nil {
		c.Emitter = emitter{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Secrets == nil {
		c.Secrets = []signing.Secret{signing.NewSecret(secret)}
	}
	r, err := receive.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.Close(ctx)
	})
	return r
}

// sign puts a product's signature on a request.
func sign(r *http.Request, product, secret, body string) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	digest := hex.EncodeToString(mac.Sum(nil))
	switch product {
	case "growthbook":
		r.Header.Set("X-GrowthBook-Signature", digest)
	case "flipt":
		r.Header.Set("x-flipt-webhook-signature", digest)
	case "go-feature-flag":
		r.Header.Set("X-Hub-Signature-256", "sha256="+digest)
	default:
		r.Header.Set("X-Secret", secret)
	}
}

func request(product, secret, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	sign(r, product, secret, body)
	return r
}

// serve has a request taken, and returns the answer.
func serve(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return w.Code, strings.TrimSpace(string(text))
}

// send sends a body that the product has signed.
func send(t testing.TB, r *receive.Receiver, product, body string) string {
	t.Helper()
	status, text := serve(r, request(product, secret, body))
	if status != http.StatusOK {
		t.Errorf("%d %s: %s", status, text, body)
	}
	return text
}

// growthBook is a webhook of GrowthBook about a flag, the n-th.
func growthBook(action, flag, email string, n int, created time.Time) string {
	return fmt.Sprintf(`{"event":"feature.%s","object":"feature","created":%d,"data":{"object":{"id":%q,"revision":{"version":%d}}},"user":{"type":"dashboard","id":"u","email":%q,"name":""},"environments":["production"]}`,
		action, created.UnixMilli(), flag, n, email)
}

func flipt(action, flag, email string, n int, at time.Time) string {
	return fmt.Sprintf(`{"version":"0.1","type":"flag","action":%q,"metadata":{"actor":{"email":%q}},"payload":{"key":%q,"description":"%d"},"timestamp":%q}`,
		action, email, flag, n, at.Format(time.RFC3339))
}

// goff is a webhook of GO Feature Flag: a flag's definition was one number, and is
// another. 0 is none.
func goff(flag string, from, to int, host string) string {
	definition := func(n int) string { return fmt.Sprintf(`{"variations":{"v":%d}}`, n) }
	added, deleted, updated := "", "", ""
	switch {
	case from == 0:
		added = fmt.Sprintf("%q:%s", flag, definition(to))
	case to == 0:
		deleted = fmt.Sprintf("%q:%s", flag, definition(from))
	default:
		updated = fmt.Sprintf(`%q:{"old_value":%s,"new_value":%s}`, flag, definition(from), definition(to))
	}
	return fmt.Sprintf(`{"meta":{"hostname":%q},"flags":{"deleted":{%s},"added":{%s},"updated":{%s}}}`, host, deleted, added, updated)
}
