package signing_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
)

const treasure = "f00dfacef00dfacef00dfacef00dface"

func TestEmptySecretIsAnErrorEverywhere(t *testing.T) {
	right, err := signing.Sign(signing.NewSecret(treasure), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]signing.Secret{
		"zero":        {},
		"empty":       signing.NewSecret(""),
		"white space": signing.NewSecret(" \t\r\n\x1c\u00a0"),
	} {
		t.Run(name, func(t *testing.T) {
			if !secret.IsZero() {
				t.Error("IsZero is false")
			}
			if got, err := signing.Sign(secret, []byte("x")); !errors.Is(err, signing.ErrEmptySecret) || got != "" {
				t.Errorf("Sign = %q, %v", got, err)
			}
			if _, err := signing.NewKeys(signing.NewSecret(treasure), secret); !errors.Is(err, signing.ErrEmptySecret) {
				t.Errorf("NewKeys = %v", err)
			}
		})
	}
	if _, err := signing.NewKeys(); !errors.Is(err, signing.ErrEmptySecret) {
		t.Errorf("NewKeys of nothing = %v", err)
	}
	if err := signing.Verify(signing.Keys{}, nil, right); !errors.Is(err, signing.ErrEmptySecret) {
		t.Errorf("Verify with zero keys = %v", err)
	}
}

func TestKeysDoNotFollowTheCallersSlice(t *testing.T) {
	secrets := []signing.Secret{signing.NewSecret(treasure)}
	keys, err := signing.NewKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signing.Sign(secrets[0], []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	secrets[0] = signing.NewSecret("another")
	if err := signing.Verify(keys, []byte("x"), signature); err != nil {
		t.Error(err)
	}
}

// foreign stands for a struct of somebody else's, whose fields fmt prints
// without calling their methods.
type foreign struct {
	Exported   signing.Secret
	unexported signing.Secret
	list       []signing.Secret
	keys       signing.Keys
}

// renamed has lost the methods that redact.
type renamed signing.Secret

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := signing.NewSecret(treasure)
	if _, err := signing.Sign(secret, []byte("x")); err != nil { // so that the pool holds a keyed state
		t.Fatal(err)
	}
	keys := keysOf(t, treasure)
	holder := foreign{secret, secret, []signing.Secret{secret}, keys}
	values := map[string]any{
		"secret": secret, "pointer": &secret, "struct": holder, "pointer to struct": &holder,
		"slice": []signing.Secret{secret}, "map": map[string]signing.Secret{"k": secret}, "keys": keys, "renamed": renamed(secret),
	}
	var out strings.Builder
	for _, verb := range "vdstTpqxXbcoOUeEfFgGw" {
		for _, flags := range []string{"", "+", "#", " ", "-10.3", "0"} {
			for _, v := range values {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
			}
		}
	}
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	text, err := xml.Marshal(secret)
	if err != nil {
		t.Error(err)
	}
	out.Write(text)

	for _, spelled := range spellings(treasure) {
		if strings.Contains(out.String(), spelled) {
			t.Errorf("the output shows the secret, as %.12q…", spelled)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, secret); got != "[redacted]" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if got, _ := json.Marshal(secret); string(got) != `"[redacted]"` {
		t.Errorf("JSON is %s", got)
	}
}

// spellings are the ways in which fmt shows a string or its bytes.
func spellings(s string) []string {
	b := []byte(s)
	trim := func(v string) string { return strings.Trim(v, "[]{}") }
	return []string{
		s, fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), trim(fmt.Sprintf("%v", b)), trim(fmt.Sprintf("%x", b)),
		trim(fmt.Sprintf("% x", b)), trim(fmt.Sprintf("%#v", b)[len("[]byte"):]), trim(fmt.Sprintf("%o", b)), trim(fmt.Sprintf("%b", b)),
	}
}

func TestErrorsCarryNoSecretOrSignature(t *testing.T) {
	keys := keysOf(t, treasure)
	signature, err := signing.Sign(signing.NewSecret(treasure), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, given := range []string{"", signature, strings.ToUpper(signature), signature[1:], treasure} {
		fmt.Fprintf(&out, "%+v\n", signing.Verify(keys, []byte("other"), given))
	}
	for _, hidden := range []string{treasure, signature, strings.ToUpper(signature), "other"} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("an error shows %.12q…", hidden)
		}
	}
}

// TestFIPSOnly runs in a child process, since the mode is read at start.
func TestFIPSOnly(t *testing.T) {
	if os.Getenv("SIGNING_FIPS_CHILD") != "" {
		fipsChild(t)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPSOnly$", "-test.v")
	child.Env = append(os.Environ(), "GODEBUG=fips140=only", "SIGNING_FIPS_CHILD=1")
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFIPSOnly")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func fipsChild(t *testing.T) {
	short, long := signing.NewSecret("thirteen-byte"), signing.NewSecret("fourteen-bytes")
	if got, err := signing.Sign(short, nil); !errors.Is(err, signing.ErrShortSecret) {
		t.Errorf("Sign with 13 bytes = %q, %v", got, err)
	}
	if _, err := signing.NewKeys(short); !errors.Is(err, signing.ErrShortSecret) {
		t.Errorf("NewKeys with 13 bytes = %v", err)
	}
	signature, err := signing.Sign(long, nil)
	if err != nil {
		t.Fatalf("Sign with 14 bytes: %v", err)
	}
	keys, err := signing.NewKeys(long)
	if err != nil {
		t.Fatal(err)
	}
	if err := signing.Verify(keys, nil, signature); err != nil {
		t.Error(err)
	}
}
