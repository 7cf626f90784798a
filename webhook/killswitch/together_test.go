package killswitch

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// TestStateIsCopiedOnlyWhereItIsWritten holds a state to what its parts share: a
// copy that is written to leaves the other as it was, and what is encoded is what
// a whole encoding would be.
func TestStateIsCopiedOnlyWhereItIsWritten(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	kills := func(s *state, flag string) {
		k := kill{Version: killVersion, Target: Target{Flag: flag}, Flag: flag, Alert: "a", Identity: "a", At: now, Signed: now}
		s.admit(&k, "id-"+flag, limits{maxAge: time.Hour, coolDown: time.Minute, cap: 3}, now)
		s.apply(&k, "id-"+flag, StateOn, now, func(string) bool { return false })
	}
	base, err := decodeState(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := base.clone()
	for i := range 20 {
		kills(next, fmt.Sprint("flag-", i))
	}
	before := next.encode()
	view := next.clone()
	kills(view, "flag-3")
	kills(view, "another")
	if after := next.encode(); !bytes.Equal(before, after) {
		t.Errorf("a copy that was written to has changed the original:\n%s\n%s", before, after)
	}
	text := view.encode()
	again, err := decodeState(text, next)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := decodeState(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.encode(), text) || !bytes.Equal(whole.encode(), text) || !bytes.Equal(encoded(whole), text) {
		t.Errorf("the encodings differ:\n%s\n%s\n%s", text, again.encode(), encoded(whole))
	}
	if again.Flags["flag-7"] != next.Flags["flag-7"] {
		t.Error("a flag that is as it was known was read again")
	}
	if again.Flags["flag-3"] == next.Flags["flag-3"] || len(again.Flags["flag-3"].Hits) != 2 {
		t.Errorf("a flag that has changed was taken for known: %s", again.Flags["flag-3"].text)
	}
}
