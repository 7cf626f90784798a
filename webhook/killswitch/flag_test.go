package killswitch

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

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
	before := string(base.encode())
	view := base.clone()
	switched(view, "4")
	view.refuses(&kill{At: now, Signed: now}, limits{coolDown: time.Nanosecond}, now.Add(time.Hour))
	view.Cooling[0].Alert, view.Hits[0], view.Applied[0] = "changed", now.Add(1), "changed"
	if after := string(base.encode()); after != before {
		t.Errorf("a copy that was written to has changed the original:\n%s\n%s", before, after)
	}
	again, err := decodeFlag("flag f", []byte(before))
	if err != nil || string(again.encode()) != before || again.N != 3 || len(again.Hits) != 3 {
		t.Errorf("%s, %v", again.encode(), err)
	}
	for _, body := range []string{"", "{}", `{"v":2}`, "[]"} {
		if _, err := decodeFlag("flag f", []byte(body)); err == nil {
			t.Errorf("%q was taken for a flag", body)
		}
	}
}

// TestFlagIsReadAsWritten has flags with all that they can hold written and read.
func TestFlagIsReadAsWritten(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "checkout", `"`, "\\", "\u2028<&>", "\x00\n\u007f"}))
	moment := rapid.Map(rapid.Int64Range(-1e9, 4e9), func(s int64) time.Time { return time.Unix(s, s*1000%1e9).UTC() })
	kills := rapid.Custom(func(t *rapid.T) kill {
		target := Target{Flag: text.Draw(t, "flag")}
		for _, name := range []string{"environment", "\u00e9"} {
			if rapid.Bool().Draw(t, "attribute") {
				if target.Attributes == nil {
					target.Attributes = map[string]string{}
				}
				target.Attributes[name] = text.Draw(t, "value")
			}
		}
		return kill{
			killVersion, target, text.Draw(t, "shown"), rapid.Bool().Draw(t, "on"), text.Draw(t, "alert"), Trigger(text.Draw(t, "trigger")), text.Draw(t, "by"), moment.Draw(t, "at"),
			rapid.Int64().Draw(t, "order"), rapid.Bool().Draw(t, "again"), moment.Draw(t, "signed"), text.Draw(t, "identity"), text.Draw(t, "incident"), rapid.Bool().Draw(t, "ends"),
		}
	})
	decisions := rapid.Ptr(rapid.Custom(func(t *rapid.T) decided {
		return decided{rapid.Int64().Draw(t, "order"), kills.Draw(t, "kill"), text.Draw(t, "id")}
	}), true)
	rapid.Check(t, func(t *rapid.T) {
		f := &flagState{
			Version: flagVersion, N: rapid.Int64().Draw(t, "n"), Off: decisions.Draw(t, "off"), On: decisions.Draw(t, "on"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "applied") {
			f.Hits, f.Applied = append(f.Hits, moment.Draw(t, "hit")), append(f.Applied, text.Draw(t, "id"))
		}
		for range rapid.IntRange(0, 2).Draw(t, "cooling") {
			f.Cooling = append(f.Cooling, cooling{text.Draw(t, "alert"), rapid.Bool().Draw(t, "on"), moment.Draw(t, "since")})
		}
		if rapid.Bool().Draw(t, "killed") {
			f.Killed = &killed{text.Draw(t, "id"), kills.Draw(t, "kill"), moment.Draw(t, "since"), rapid.SampledFrom([]State{StateUnknown, StateOff, StateOn}).Draw(t, "was")}
		}
		read, err := decodeFlag("flag f", f.encode())
		if err != nil || !reflect.DeepEqual(read, f) {
			t.Errorf("%v\n%s\n%s", err, f.encode(), encoded(read))
		}
	})
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
