package alert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/webhook/alert"
)

// alertOf is a realistic issue alert of about size bytes: what is added are
// stack frames.
func alertOf(size int) []byte {
	frame := []byte(`{"function":"handleCheckout","module":"main","filename":"checkout.go","abs_path":"/app/checkout.go","lineno":42,"in_app":true,"context_line":"\treturn charge(ctx, card)"},`)
	small := fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"7a485448"},"data":{"event":{"event_id":"e4874d664c3540c1a32eab185f12c5ab","project":4505,`+
		`"url":"https://sentry.io/api/0/projects/acme/shop/events/e4/","level":"error","environment":"production","tags":[["level","error"],["browser","Chrome 134"]],`+
		`"title":"PaymentError","datetime":"2026-09-01T11:59:30.250000Z","timestamp":1788263970.0,"exception":{"values":[{"stacktrace":{"frames":[FRAMES{}]}}]},`+
		`"contexts":{"flags":{"values":[{"flag":"new-checkout","result":true},{"flag":"guest-checkout","result":false}]}},"user":{"id":"4711"}},`+
		`"triggered_rule":"Checkout failing"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}`)
	frames := bytes.Repeat(frame, max(0, (size-len(small))/len(frame)))
	return bytes.Replace(small, []byte("FRAMES"), frames, 1)
}

// BenchmarkParse reports xMap: Parse against json.Unmarshal of the same body
// into a map. It is to stay at or below 0.5.
func BenchmarkParse(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("kB=%d", size/1000), func(b *testing.B) {
			body := alertOf(size)
			ours := func() {
				if a, err := alert.Parse(body); err != nil || a.Name == "" {
					b.Fatal(err)
				}
			}
			generic := func() {
				var v map[string]any
				if err := json.Unmarshal(body, &v); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				ours()
			}
			b.ReportMetric(benchratio.Of(ours, generic, max(5, 500_000/size)), "xMap")
		})
	}
}

// What is not kept costs nothing: an alert of any size allocates the same.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are asserted without the race detector")
	}
	for _, size := range []int{1_000, 100_000} {
		body := alertOf(size)
		if n := testing.AllocsPerRun(100, func() { _, _ = alert.Parse(body) }); n > 20 {
			t.Errorf("%d bytes allocate %v times, at most 20 are promised", size, n)
		}
	}
}
