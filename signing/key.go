package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"sync"
)

// digestLen is the length of a signature: SHA-256 in hexadecimal.
const digestLen = 2 * sha256.Size

// key keeps HMACs that are already keyed, which saves hashing the key's two
// pads for each message. The secret itself lives in the closure of pool.New,
// where no printer, not even one that follows pointers, finds it.
type key struct {
	size int // of the secret, in bytes
	pool sync.Pool
}

func newKey(secret []byte) *key {
	k := &key{size: len(secret)}
	k.pool.New = func() any {
		m := &mac{hash: hmac.New(sha256.New, secret)}
		m.hash.Reset() // the first Reset is what saves the keyed state
		return m
	}
	return k
}

// mac is one keyed HMAC with room for its result, so that computing a
// signature allocates nothing.
type mac struct {
	hash  hash.Hash
	sum   [sha256.Size]byte
	text  [digestLen]byte
	given [digestLen]byte
}

// compute leaves the signature of body in m.text.
func (m *mac) compute(body []byte) {
	m.hash.Reset()
	m.hash.Write(body)
	hex.Encode(m.text[:], m.hash.Sum(m.sum[:0]))
}

func (k *key) sign(body []byte) string {
	m := k.pool.Get().(*mac)
	defer k.pool.Put(m)
	m.compute(body)
	return string(m.text[:])
}

// verify compares in constant time.
func (k *key) verify(body []byte, signature string) bool {
	m := k.pool.Get().(*mac)
	defer k.pool.Put(m)
	m.compute(body)
	copy(m.given[:], signature)
	return subtle.ConstantTimeCompare(m.text[:], m.given[:]) == 1
}
