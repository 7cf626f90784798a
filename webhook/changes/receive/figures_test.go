package receive_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

// TestFiveThousandCalls: of 5,000 calls to two processes a fifth is forged,
// truncated, a copy of an earlier one, or of another product. What is right is
// kept, once, and nothing else.
func TestFiveThousandCalls(t *testing.T) {
	const senders, each = 10, 500
	s := newStore(t)
	receivers := map[string][]*receive.Receiver{}
	for name, product := range products {
		if name != "webhook" {
			receivers[name] = []*receive.Receiver{
				newReceiver(t, receive.Config{Product: product, Store: s, Patience: time.Minute}), newReceiver(t, receive.Config{Product: product, Store: s, Patience: time.Minute}),
			}
		}
	}
	var mu sync.Mutex
	want, bad := map[string]int{}, map[string]int{}
	var wait sync.WaitGroup
	for sender := range senders {
		wait.Go(func() {
			c := caller{r: rand.New(rand.NewPCG(1, uint64(sender))), sender: sender, receivers: receivers}
			for range each {
				kind, status, change := c.call()
				mu.Lock()
				switch kind {
				case "right":
					want[change]++
				default:
					bad[kind]++
				}
				refused := kind == "forged" || kind == "truncated" || kind == "of another product"
				if (status == http.StatusOK) == refused {
					t.Errorf("%s: %d", kind, status)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	got := map[string]int{}
	for _, change := range emitted(t, s) {
		got[fmt.Sprintf("%s %s by %s", change.Action, change.Flag, change.CreatedBy.ID)]++
	}
	lost, twice, invented, right := 0, 0, 0, 0
	for change, n := range want {
		lost += max(n-got[change], 0)
		twice += max(got[change]-n, 0)
		right += n
	}
	for change, n := range got {
		if want[change] == 0 {
			invented += n
		}
	}
	t.Logf("%d right ones: lost %d, twice %d; %v: emitted %d", right, lost, twice, bad, invented)
	if lost+twice+invented > 0 || len(bad) != 4 || right > 4100 || right < 3900 {
		t.Fail()
	}
}

// caller is a product that sends webhooks, and whoever else does.
type caller struct {
	r         *rand.Rand
	sender, n int
	receivers map[string][]*receive.Receiver
	sent      []call
}

type call struct{ product, body string }

func (c *caller) call() (kind string, status int, change string) {
	if c.r.IntN(5) > 0 || len(c.sent) == 0 {
		right, change := c.right()
		c.sent = append(c.sent, right)
		return "right", c.send(right.product, request(right.product, secret, right.body)), change
	}
	right, _ := c.right()
	switch c.r.IntN(4) {
	case 0:
		return "forged", c.send(right.product, request(right.product, "the-secret-of-a-stranger", right.body)), ""
	case 1:
		r := request(right.product, secret, right.body)
		cut := request(right.product, secret, right.body[:c.r.IntN(len(right.body))])
		cut.Header = r.Header
		return "truncated", c.send(right.product, cut), ""
	case 2:
		old := c.sent[c.r.IntN(len(c.sent))]
		return "a copy", c.send(old.product, request(old.product, secret, old.body)), ""
	}
	others := slices.DeleteFunc([]string{"growthbook", "flipt", "go-feature-flag"}, func(p string) bool { return p == right.product })
	other := others[c.r.IntN(2)]
	if c.r.IntN(2) == 0 {
		return "of another product", c.send(other, request(right.product, secret, right.body)), ""
	}
	return "of another product", c.send(other, request(other, secret, right.body)), ""
}

// right makes a webhook that was never sent before.
func (c *caller) right() (call, string) {
	c.n++
	flag, action := fmt.Sprintf("flag-%d-%d", c.sender, c.r.IntN(20)), []string{"created", "updated", "deleted"}[c.r.IntN(3)]
	email := fmt.Sprintf("%d@example.com", c.n)
	switch c.r.IntN(3) {
	case 0:
		return call{"growthbook", growthBook(action, flag, email, c.n, time.Now())}, fmt.Sprintf("%s %s by %s", action, flag, email)
	case 1:
		return call{"flipt", flipt(action, flag, email, c.n, time.Now())}, fmt.Sprintf("%s %s by %s", action, flag, email)
	}
	flag = fmt.Sprintf("goff-%d-%d", c.sender, c.r.IntN(20)) // as far as is known it skips some
	return call{"go-feature-flag", goff(flag, c.n, c.n+1, "x")}, "updated " + flag + " by go-feature-flag"
}

func (c *caller) send(product string, r *http.Request) int {
	status, _ := serve(c.receivers[product][c.r.IntN(2)], r)
	return status
}
