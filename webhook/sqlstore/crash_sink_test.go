package sqlstore_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

// sink plays Sentry for processes that are killed: it records first and answers
// a little later, so that a kill hits requests under way.
type sink struct {
	*httptest.Server
	keys  signing.Keys
	delay time.Duration

	mu            sync.Mutex
	seen          map[int64]int // arrivals by ChangeID
	last          map[string]int64
	inversions    int
	badSignatures int
	sharedIDs     int // a ChangeID twice in one request
	requests      int
	lastArrival   time.Time
	longestGap    time.Duration
	arrived       chan struct{} // notes an arrival
}

const sinkSecret = "crash-test-secret-0123456789abcd"

func newSink(delay time.Duration) *sink {
	keys, err := signing.NewKeys(signing.NewSecret(sinkSecret))
	if err != nil {
		panic(err)
	}
	s := &sink{keys: keys, delay: delay, seen: map[int64]int{}, last: map[string]int64{}, arrived: make(chan struct{}, 1)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

func (s *sink) url() string {
	return s.URL + "/api/0/organizations/acme/flags/hooks/provider/generic/"
}

func (s *sink) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	if !s.record(body, r.Header.Get(signing.Header)) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	time.Sleep(s.delay)
	w.WriteHeader(http.StatusOK)
}

func (s *sink) record(body []byte, signature string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	var payload struct {
		Data []struct {
			ChangeID int64 `json:"change_id"`
			Flag     string
		}
	}
	if signing.Verify(s.keys, body, signature) != nil || json.Unmarshal(body, &payload) != nil {
		s.badSignatures++
		return false
	}
	now := time.Now()
	if !s.lastArrival.IsZero() {
		s.longestGap = max(s.longestGap, now.Sub(s.lastArrival))
	}
	s.lastArrival = now
	within := make(map[int64]bool)
	for _, change := range payload.Data {
		if within[change.ChangeID] {
			s.sharedIDs++
		}
		within[change.ChangeID] = true
		s.seen[change.ChangeID]++
		if s.seen[change.ChangeID] > 1 {
			continue // order is that of the first arrivals
		}
		if change.ChangeID < s.last[change.Flag] {
			s.inversions++
		}
		s.last[change.Flag] = change.ChangeID
	}
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	return true
}

func (s *sink) unique() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// repeats counts arrivals beyond the first.
func (s *sink) repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, arrivals := range s.seen {
		n += arrivals - 1
	}
	return n
}

// missing returns the ids that never arrived.
func (s *sink) missing(ids []int64) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return s.seen[id] > 0 })
}
