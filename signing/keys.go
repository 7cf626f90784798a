package signing

import (
	"fmt"
	"slices"
)

// Keys are the secrets that a receiver accepts, the usual one first. More than
// one is needed only while a secret is being replaced.
//
// Keys are immutable and safe for concurrent use. The zero value accepts
// nothing: verifying with it fails with [ErrEmptySecret].
type Keys struct {
	secrets []Secret
}

// NewKeys prepares secrets for verifying. It fails with [ErrEmptySecret] when
// there is none or one of them is empty, and with [ErrShortSecret] when one is
// too short for FIPS 140-only mode.
func NewKeys(secrets ...Secret) (Keys, error) {
	if len(secrets) == 0 {
		return Keys{}, ErrEmptySecret
	}
	for i, s := range secrets {
		if err := s.usable(); err != nil {
			return Keys{}, fmt.Errorf("secret %d of %d: %w", i+1, len(secrets), err)
		}
	}
	return Keys{secrets: slices.Clone(secrets)}, nil
}
