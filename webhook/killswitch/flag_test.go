package killswitch

import (
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// TestFlagIsCopiedBeforeItIsWritten has a copy of what is known of a flag go its own
// way: what readers hold is never changed.
func TestFlagIsCopiedBeforeItIsWritten(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	switched := func(f *flagState, id string) {
		k := kill{Version: killVersion, Target: Target{Flag: "f"}, Flag: "f", Alert: "a", Identity: id, At: now, Signed: now}
		f.admit(&k, id, limits{maxAge: time.Hour, coolDown: time.Minute, cap: 3}, now)
		f.apply(&k, id, StateOn, now, func(string) bool { return false })
	}
	base := &flagState{Version: flagVersion}
	for _, id := range []string{"1", "2", "3"} {
		switched(base, id)
	}
	before := string(encoded(base))
	view := base.clone()
	switched(view, "4")
	view.refuses(&kill{At: now, Signed: now}, limits{coolDown: time.Nanosecond}, now.Add(time.Hour))
	view.Cooling[0].Alert, view.Hits[0], view.Applied[0] = "changed", now.Add(1), "changed"
	if after := string(encoded(base)); after != before {
		t.Errorf("a copy that was written to has changed the original:\n%s\n%s", before, after)
	}
	again, err := decodeFlag("flag f", []byte(before))
	if err != nil || string(encoded(again)) != before || again.N != 3 || len(again.Hits) != 3 {
		t.Errorf("%s, %v", encoded(again), err)
	}
	for _, body := range []string{"", "{}", `{"v":2}`, "[]"} {
		if _, err := decodeFlag("flag f", []byte(body)); err == nil {
			t.Errorf("%q was taken for a flag", body)
		}
	}
}

// TestNotesOfFlags have names that a store takes, however long a flag's is.
func TestNotesOfFlags(t *testing.T) {
	names := map[string]bool{}
	for _, n := range []int{1, 100, queue.MaxName, queue.MaxKey, queue.MaxKey + 1, 10_000} {
		for _, letter := range []string{"a", "b", "\x00", "\u20ac"} {
			name := (&kill{Target: Target{Flag: strings.Repeat(letter, n)}}).note()
			if err := queue.ValidateName("note", name); err != nil {
				t.Errorf("%d of %q: %v", n, letter, err)
			}
			names[name] = true
		}
	}
	if len(names) != 24 {
		t.Errorf("24 flags share %d names", len(names))
	}
}
