package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// lockedFile is a file that this process alone has locked, until it is closed.
type lockedFile = io.Closer

// errLocked means that somebody else has the lock.
var errLocked = errors.New("locked by another taker")

// errClosedWaiting ends the wait for a turn when the store is closed.
var errClosedWaiting = webhook.ErrStoreClosed

// hash is a digest of texts that cannot run into each other.
func hash(texts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func shortHash(texts ...string) string {
	sum := hash(texts...)
	return hex.EncodeToString(sum[:6])
}
