package signing

import (
	"crypto/fips140"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
)

// redacted is all that is ever printed of a secret.
const redacted = "[redacted]"

// minFIPSKey is the shortest HMAC key, in bytes, that crypto/hmac takes under
// GODEBUG=fips140=only; it panics at a shorter one.
const minFIPSKey = 14

// Secret is a signing secret: the one set on Sentry's feature-flag settings
// page, or the Client Secret of an internal integration.
//
// It prints as "[redacted]" under every fmt verb and in JSON, text and slog
// output. In a struct that prints its unexported fields it shows as an address,
// because it holds nothing but a pointer to state without the secret's bytes
// in a place that a printer can reach.
//
// Secrets are safe for concurrent use and cheap to copy. The zero value is an
// empty secret: every use of it fails with [ErrEmptySecret].
type Secret struct {
	key *key
}

// NewSecret makes a Secret of s, without the white space around it: Sentry
// trims a secret when it saves it, and one read from a file usually ends in a
// line break. A secret of Sentry's change tracking has 10 to 64 characters
// (exactly 32 on servers before July 2025); this is left to Sentry to judge.
//
// An empty s gives the zero Secret, so that one missing from the configuration
// is refused where it would be used.
func NewSecret(s string) Secret {
	s = strings.TrimFunc(s, isPythonSpace)
	if s == "" {
		return Secret{}
	}
	return Secret{key: newKey([]byte(s))}
}

// isPythonSpace reports whether Python's str.strip, which Sentry trims with,
// takes r for white space: Unicode's spaces and the four ASCII separators.
func isPythonSpace(r rune) bool {
	return unicode.IsSpace(r) || (r >= 0x1c && r <= 0x1f)
}

// IsZero reports whether the secret is empty, and so unusable.
func (s Secret) IsZero() bool { return s.key == nil }

// usable returns the error that keeps the secret from being used, if any.
func (s Secret) usable() error {
	if s.key == nil {
		return ErrEmptySecret
	}
	if s.key.size < minFIPSKey && fips140.Enforced() {
		return ErrShortSecret
	}
	return nil
}

// Format implements fmt.Formatter: every verb prints "[redacted]".
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// MarshalText returns "[redacted]"; JSON, XML and other encoders use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer with "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
