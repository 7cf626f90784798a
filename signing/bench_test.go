package signing_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/benchratio"
	"github.com/sentryflags/sentryflags-go/signing"
)

var (
	benchKey  = []byte("0123456789abcdef0123456789abcdef")
	benchBody = bytes.Repeat([]byte("x"), 200)
)

// plain is how one signs with the standard library.
func plain() string {
	mac := hmac.New(sha256.New, benchKey)
	mac.Write(benchBody)
	return hex.EncodeToString(mac.Sum(nil))
}

// BenchmarkSign reports xHMAC: the time against hmac.New and hex in the same
// run. It is to stay at or below 0.6.
func BenchmarkSign(b *testing.B) {
	secret := signing.NewSecret(string(benchKey))
	sign := func() {
		if _, err := signing.Sign(secret, benchBody); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		sign()
	}
	b.ReportMetric(benchratio.Of(sign, func() { plain() }, 2000), "xHMAC")
}

// BenchmarkVerify reports xHMAC as BenchmarkSign does.
func BenchmarkVerify(b *testing.B) {
	keys := keysOf(b, string(benchKey))
	signature := plain()
	verify := func() {
		if err := signing.Verify(keys, benchBody, signature); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		verify()
	}
	b.ReportMetric(benchratio.Of(verify, func() { plain() }, 2000), "xHMAC")
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are asserted without the race detector")
	}
	secret, keys, signature := signing.NewSecret(string(benchKey)), keysOf(t, "another", string(benchKey)), plain()
	if n := testing.AllocsPerRun(1000, func() { _, _ = signing.Sign(secret, benchBody) }); n > 1 {
		t.Errorf("Sign allocates %v times, at most 1 is promised", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = signing.Verify(keys, benchBody, signature) }); n != 0 {
		t.Errorf("Verify allocates %v times, none is promised", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	secret, keys := signing.NewSecret("shared"), keysOf(t, "shared")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i)}, 100*i)
			for range 500 {
				signature, err := signing.Sign(secret, body)
				if err != nil || signing.Verify(keys, body, signature) != nil {
					t.Error("a signature made on one goroutine was spoilt by another")
					return
				}
			}
		})
	}
	wg.Wait()
}
