package signing

// The headers that carry a signature.
const (
	// Header carries the signature of a request to Sentry's change-tracking
	// endpoint (…/flags/hooks/provider/generic/).
	Header = "X-Sentry-Signature"

	// HookHeader carries Sentry's signature on a webhook to an integration.
	HookHeader = "Sentry-Hook-Signature"
)

// Sign returns the signature of body: 64 lower-case hexadecimal digits. Send
// exactly the bytes that were signed, uncompressed.
//
// It fails with [ErrEmptySecret] or [ErrShortSecret].
func Sign(secret Secret, body []byte) (string, error) {
	if err := secret.usable(); err != nil {
		return "", err
	}
	return secret.key.sign(body), nil
}

// Verify returns nil if signature is that of body under one of keys, comparing
// in constant time. Verify the bytes as they arrived: decoding and encoding
// them again changes them.
//
// It fails with [ErrMissingSignature] when signature is empty,
// [ErrMalformedSignature] when it is not 64 lower-case hexadecimal digits,
// [ErrMismatch] when no secret made it, and [ErrEmptySecret] or
// [ErrShortSecret] when keys cannot be used. It does not allocate.
func Verify(keys Keys, body []byte, signature string) error {
	if err := wellFormed(signature); err != nil {
		return err
	}
	if len(keys.secrets) == 0 {
		return ErrEmptySecret
	}
	for _, s := range keys.secrets {
		if err := s.usable(); err != nil {
			return err
		}
		if s.key.verify(body, signature) {
			return nil
		}
	}
	return ErrMismatch
}

func wellFormed(signature string) error {
	if signature == "" {
		return ErrMissingSignature
	}
	if len(signature) != digestLen {
		return ErrMalformedSignature
	}
	for i := range len(signature) {
		c := signature[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ErrMalformedSignature
		}
	}
	return nil
}
