package signing_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
)

type vectors struct {
	Sign []struct {
		Name, Secret, Body, Signature string
	}
	Verify []struct {
		Name, Body, Signature, Error string
		Secrets                      []string
	}
}

func readVectors(tb testing.TB) vectors {
	tb.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		tb.Fatal(err)
	}
	if len(v.Sign) < 10 || len(v.Verify) < 15 {
		tb.Fatalf("read %d and %d vectors: the file has lost some", len(v.Sign), len(v.Verify))
	}
	return v
}

// causes maps the words in the vectors to what errors.Is finds.
var causes = map[string]error{
	"":          nil,
	"missing":   signing.ErrMissingSignature,
	"malformed": signing.ErrMalformedSignature,
	"mismatch":  signing.ErrMismatch,
}

func keysOf(tb testing.TB, secrets ...string) signing.Keys {
	tb.Helper()
	var all []signing.Secret
	for _, s := range secrets {
		all = append(all, signing.NewSecret(s))
	}
	keys, err := signing.NewKeys(all...)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func TestSignVectors(t *testing.T) {
	for _, v := range readVectors(t).Sign {
		t.Run(v.Name, func(t *testing.T) {
			secret := signing.NewSecret(v.Secret)
			// Twice, because the second time meets a pooled state.
			for range 2 {
				got, err := signing.Sign(secret, []byte(v.Body))
				if err != nil || got != v.Signature {
					t.Fatalf("Sign = %q, %v; want %q", got, err, v.Signature)
				}
			}
			if err := signing.Verify(keysOf(t, v.Secret), []byte(v.Body), v.Signature); err != nil {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

func TestVerifyVectors(t *testing.T) {
	for _, v := range readVectors(t).Verify {
		t.Run(v.Name, func(t *testing.T) {
			want, known := causes[v.Error]
			if !known {
				t.Fatalf("the vector names an unknown error %q", v.Error)
			}
			err := signing.Verify(keysOf(t, v.Secrets...), []byte(v.Body), v.Signature)
			if !errors.Is(err, want) || (want == nil && err != nil) {
				t.Errorf("Verify = %v, want %v", err, want)
			}
		})
	}
}
