package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// items checks changes and turns them into items for a store. The body of one is
// the change as it goes into a request.
func (c *Client) items(changes []Change, now time.Time) ([]queue.Item, error) {
	items, sent := make([]queue.Item, len(changes)), make([]Change, len(changes))
	for i, change := range changes {
		encoded, complete, err := c.encode(change, now)
		if err == nil {
			items[i] = queue.Item{ID: itemID(complete, encoded), Key: itemKey(complete.Flag), Body: encoded}
			if items[i].Validate() != nil {
				err = &ChangeError{Field: "ItemID", Reason: fmt.Sprintf("has to be at most %d bytes of valid UTF-8 without U+0000", queue.MaxID)}
			}
		}
		if invalid, ok := errors.AsType[*ChangeError](err); ok {
			invalid.Index = i
		}
		if err != nil {
			return nil, err
		}
		sent[i] = complete
	}
	c.warn(sent, now)
	return items, nil
}

// itemID makes one item of the same change from several replicas, and two of
// different changes that share a ChangeID.
func itemID(change Change, encoded []byte) string {
	if change.ItemID != "" {
		return change.ItemID
	}
	sum := sha256.Sum256(encoded)
	return strconv.FormatInt(change.ChangeID, 10) + "-" + hex.EncodeToString(sum[:16])
}

// itemKey orders changes by flag. Only with a [Config.MaxFlag] beyond Sentry's
// own a name can be too long for a key.
func itemKey(flag string) string {
	if len(flag) <= queue.MaxKey {
		return flag
	}
	sum := sha256.Sum256([]byte(flag))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// changeIDMark is what stands before the ChangeID in an item's body. It cannot
// stand there before that: only the action goes before it.
var changeIDMark = []byte(`,"change_id":`)

// changeIDOf returns the ChangeID in an item's body, as it stands there. A body
// that is not one of ours has none.
func changeIDOf(body []byte) []byte {
	_, rest, found := bytes.Cut(body[:min(len(body), 80)], changeIDMark)
	if !found {
		return nil
	}
	end := 0
	for end < len(rest) && (rest[end] == '-' || '0' <= rest[end] && rest[end] <= '9') {
		end++
	}
	return rest[:end]
}

// DecodeItem returns the change that an [Emitter] keeps in an item: for people
// who look at what waits or is dead. Its error means that the item is not an
// emitter's.
func DecodeItem(item queue.Item) (Change, error) {
	var wire wireChange
	if err := json.Unmarshal(item.Body, &wire); err != nil {
		return Change{}, errors.New("webhook: the item holds no change")
	}
	createdAt, err := time.Parse(time.RFC3339Nano, wire.CreatedAt)
	if err != nil || !wire.Action.valid() {
		return Change{}, errors.New("webhook: the item holds no change")
	}
	change := Change{
		Action: wire.Action, ChangeID: wire.ChangeID, CreatedAt: createdAt.UTC(),
		CreatedBy: Author{ID: wire.CreatedBy.ID, Type: wire.CreatedBy.Type}, Flag: wire.Flag,
	}
	if !strings.HasPrefix(item.ID, strconv.FormatInt(wire.ChangeID, 10)+"-") {
		change.ItemID = item.ID
	}
	return change, nil
}
