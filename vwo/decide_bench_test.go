package vwo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/signing"
)

// alertOf is a realistic issue alert of about size bytes: what is added are
// stack frames.
func alertOf(tb testing.TB, size int) []byte {
	tb.Helper()
	frame := []byte(`{"function":"handleCheckout","module":"main","filename":"checkout.go","abs_path":"/app/checkout.go","lineno":42,"in_app":true,"context_line":"\treturn charge(ctx, card)"},`)
	small := fmt.Appendf(nil, `{"action":"triggered","installation":{"uuid":"7a485448"},"data":{"event":{"event_id":"e4874d664c3540c1a32eab185f12c5ab","project":4505,`+
		`"url":"https://sentry.io/api/0/projects/acme/shop/events/e4/","level":"error","environment":"production","tags":[["level","error"],["browser","Chrome 134"]],`+
		`"title":"PaymentError","datetime":"2026-09-01T11:59:30.250000Z","timestamp":1788263970.0,"exception":{"values":[{"stacktrace":{"frames":[FRAMES{}]}}]},`+
		`"user":{"id":"4711"}},"triggered_rule":"Checkout failing"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}`)
	frames := bytes.Repeat(frame, max(0, (size-len(small))/len(frame)))
	return bytes.Replace(small, []byte("FRAMES"), frames, 1)
}

// BenchmarkDecide reports xMap: verify, decode and decide against verify and
// json.Unmarshal into a map. It is to stay at or below 0.8.
func BenchmarkDecide(b *testing.B) {
	secret := signing.NewSecret("the-client-secret-of-the-integration")
	keys, err := signing.NewKeys(secret)
	if err != nil {
		b.Fatal(err)
	}
	rules := sampleRules()
	for name, size := range map[string]int{"1k": 1000, "10k": 10_000} {
		b.Run(name, func(b *testing.B) {
			body := alertOf(b, size)
			signature, err := signing.Sign(secret, body)
			if err != nil {
				b.Fatal(err)
			}
			ours := func() {
				if err := signing.Verify(keys, body, signature); err != nil {
					b.Fatal(err)
				}
				a, err := decodeAlert(body)
				if err != nil {
					b.Fatal(err)
				}
				if kills, reason := decide(&a, rules, 15*time.Minute, sampleNow); len(kills) != 1 {
					b.Fatal(reason)
				}
			}
			generic := func() {
				if err := signing.Verify(keys, body, signature); err != nil {
					b.Fatal(err)
				}
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
			b.ReportMetric(benchratio.Of(ours, generic, 50), "xMap")
		})
	}
}
