package signing_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
)

// FuzzVerify holds Verify against the plain definition of the signature:
// whatever the secret, the body and the text that comes as a signature.
func FuzzVerify(f *testing.F) {
	for _, v := range readVectors(f).Verify {
		f.Add(v.Secrets[0], []byte(v.Body), v.Signature)
	}
	f.Fuzz(func(t *testing.T, text string, body []byte, signature string) {
		secret := signing.NewSecret(text)
		keys, err := signing.NewKeys(secret)
		if secret.IsZero() != (err != nil) {
			t.Fatalf("IsZero is %v and NewKeys says %v", secret.IsZero(), err)
		}
		if err != nil {
			return
		}
		own, err := signing.Sign(secret, body)
		if err != nil {
			t.Fatal(err)
		}
		if err := signing.Verify(keys, body, own); err != nil {
			t.Fatalf("its own signature is refused: %v", err)
		}
		if accepted := signing.Verify(keys, body, signature) == nil; accepted != (signature == own) {
			t.Fatalf("%q accepted: %v; right is %q", signature, accepted, own)
		}
	})
}

// FuzzSign compares with crypto/hmac for secrets that need no trimming.
func FuzzSign(f *testing.F) {
	f.Add("456", []byte("{}"))
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		if signing.NewSecret("|" + text + "|").IsZero() {
			t.Fatal("a secret was lost")
		}
		mac := hmac.New(sha256.New, []byte("|"+text+"|"))
		mac.Write(body)
		got, err := signing.Sign(signing.NewSecret("|"+text+"|"), body)
		if want := hex.EncodeToString(mac.Sum(nil)); err != nil || got != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	})
}
