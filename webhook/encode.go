package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

func (r rules) encodeAll(changes []Change, now time.Time) ([][]byte, error) {
	taken := make(map[int64]int, len(changes))
	for i, change := range changes {
		if change.ChangeID == 0 {
			continue
		}
		if first, repeated := taken[change.ChangeID]; repeated {
			return nil, &ChangeError{
				Index: i, Field: "ChangeID",
				Reason: fmt.Sprintf("is that of change %d as well; Sentry would silently drop the second in a request", first),
			}
		}
		taken[change.ChangeID] = i
	}
	encoded, sent := make([][]byte, len(changes)), make([]Change, len(changes))
	for i, change := range changes {
		var err error
		encoded[i], sent[i], err = r.encodeUnique(change, now, taken)
		if invalid, ok := errors.AsType[*ChangeError](err); ok {
			invalid.Index = i
		}
		if err != nil {
			return nil, err
		}
		taken[sent[i].ChangeID] = i
	}
	r.warn(sent, now)
	return encoded, nil
}

// encodeUnique encodes a change; an identifier that is made up for it is none
// of those taken.
func (r rules) encodeUnique(change Change, now time.Time, taken map[int64]int) ([]byte, Change, error) {
	if change.ChangeID == 0 {
		change.ChangeID = newChangeID()
		for _, used := taken[change.ChangeID]; used; _, used = taken[change.ChangeID] {
			change.ChangeID = newChangeID()
		}
	}
	return r.encode(change, now)
}

// timeFormat is ISO 8601 to the microsecond, which is as fine as Sentry stores.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

type wireChange struct {
	Action    Action     `json:"action"`
	ChangeID  int64      `json:"change_id"`
	CreatedAt string     `json:"created_at"`
	CreatedBy wireAuthor `json:"created_by"`
	Flag      string     `json:"flag"`
}

type wireAuthor struct {
	ID   string     `json:"id"`
	Type AuthorType `json:"type"`
}

// encode completes a change, checks it and returns it as the JSON object that
// goes into a request. A refusal is a *ChangeError without its Index.
func (r rules) encode(change Change, now time.Time) ([]byte, Change, error) {
	change = r.complete(change, now)
	if err := r.validate(change); err != nil {
		return nil, Change{}, err
	}
	encoded, err := json.Marshal(wireChange{
		Action:    change.Action,
		ChangeID:  change.ChangeID,
		CreatedAt: strings.Replace(change.CreatedAt.Format(timeFormat), "Z", "+00:00", 1),
		CreatedBy: wireAuthor{ID: change.CreatedBy.ID, Type: change.CreatedBy.Type},
		Flag:      change.Flag,
	})
	if err != nil {
		return nil, Change{}, fmt.Errorf("webhook: encode a change: %w", err)
	}
	return encoded, change, nil
}

// newChangeID makes up an identifier: positive, and unlikely to be made twice.
func newChangeID() int64 { return 1 + rand.Int64N(math.MaxInt64) }

// joinBody appends to dst the request body that carries the encoded changes.
func joinBody(dst []byte, encoded ...[]byte) []byte {
	size := len(encoded) + 40 // commas and what is around them
	for _, e := range encoded {
		size += len(e)
	}
	dst = append(slices.Grow(dst, size), `{"data":[`...)
	for i, e := range encoded {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, `],"meta":{"version":1}}`...)
}

// items checks changes and turns them into items for a store. The body of one is
// the change as it goes into a request.
func (r rules) items(changes []Change, now time.Time) ([]queue.Item, error) {
	items, sent := make([]queue.Item, len(changes)), make([]Change, len(changes))
	for i, change := range changes {
		encoded, complete, err := r.encode(change, now)
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
	r.warn(sent, now)
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
