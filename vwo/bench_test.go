package vwo_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/vwo"
)

// BenchmarkRelay reports xDirect: the time from the moment when the relay has
// received an alert until VWO, which answers at once, has confirmed the switch,
// against the bare PATCH to VWO. It is to stay at or below 3. The metric
// xDirectHTTP is the same with the whole way from Sentry, over a connection of
// its own, and has no limit.
func BenchmarkRelay(b *testing.B) {
	standIn, relay, address := stormy(b, []string{"f"}, vwo.RelayConfig{})
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	request := func(method, url string, header http.Header, body []byte) {
		request, err := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		request.Header = header
		response, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			b.Fatalf("status %d", response.StatusCode)
		}
	}
	var ahead alerts
	received := func() {
		w := httptest.NewRecorder()
		if relay.ServeHTTP(w, ahead.next(b)); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
	posted := func() {
		alert := ahead.next(b)
		body, _ := io.ReadAll(alert.Body)
		request(http.MethodPost, address, alert.Header, body)
	}
	direct := func() {
		request(http.MethodPatch, standIn.URL+"/accounts/current/environments/production/features/f/toggle",
			http.Header{"Token": {standIn.Token()}, "Content-Type": {"application/json"}}, []byte(`{"isEnabled":false}`))
	}
	b.ReportAllocs()
	for b.Loop() {
		received()
	}
	const calls = 40
	ahead.fill(31 * calls)
	b.ReportMetric(benchratio.Of(received, direct, calls), "xDirect")
	ahead.fill(31 * calls)
	b.ReportMetric(benchratio.Of(posted, direct, calls), "xDirectHTTP")
}

// alerts are made ahead: making and signing them is Sentry's work.
type alerts struct{ list []*http.Request }

func (a *alerts) fill(n int) {
	for range n {
		a.list = append(a.list, signed(eventAlert("f", time.Now())))
	}
}

func (a *alerts) next(b *testing.B) *http.Request {
	if len(a.list) == 0 {
		b.StopTimer()
		a.fill(1000)
		b.StartTimer()
	}
	last := a.list[len(a.list)-1]
	a.list = a.list[:len(a.list)-1]
	return last
}
