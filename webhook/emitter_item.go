package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// items checks changes and turns them into items for a store.
func (c *Client) items(changes []Change, now time.Time) ([]Item, error) {
	items, sent := make([]Item, len(changes)), make([]Change, len(changes))
	for i, change := range changes {
		encoded, complete, err := c.encode(change, now)
		if invalid, ok := errors.AsType[*ChangeError](err); ok {
			invalid.Index = i
		}
		if err != nil {
			return nil, err
		}
		items[i] = Item{ID: itemID(complete.ChangeID, encoded), Key: itemKey(complete.Flag), Body: encoded}
		sent[i] = complete
	}
	c.warn(sent, now)
	return items, nil
}

// itemID makes one item of the same change from several replicas, and two of
// different changes that share a ChangeID.
func itemID(changeID int64, encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return strconv.FormatInt(changeID, 10) + "-" + hex.EncodeToString(sum[:16])
}

// changeIDOf returns the ChangeID in an item's ID, as text. An ID of any other
// form stands for itself.
func changeIDOf(itemID string) string {
	changeID, _, _ := strings.Cut(itemID, "-")
	return changeID
}

// itemKey orders changes by flag. Only with a [Config.MaxFlag] beyond Sentry's
// own a name can be too long for a key.
func itemKey(flag string) string {
	if len(flag) <= MaxItemKey {
		return flag
	}
	sum := sha256.Sum256([]byte(flag))
	return "sha256:" + hex.EncodeToString(sum[:])
}
