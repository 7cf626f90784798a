package receive_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
)

// all is what an instance sends at its start.
func all(host string, flags map[string]int) string {
	var parts []string
	for _, flag := range []string{"a", "b", "c", "d"} {
		if flags[flag] != 0 {
			parts = append(parts, fmt.Sprintf(`%q:{"variations":{"v":%d}}`, flag, flags[flag]))
		}
	}
	return fmt.Sprintf(`{"meta":{"hostname":%q},"flags":{"deleted":{},"added":{%s},"updated":{}}}`, host, strings.Join(parts, ","))
}

func TestGoFeatureFlag(t *testing.T) {
	start := map[string]int{"a": 1, "b": 1}
	for name, c := range map[string]struct{ said, want []string }{
		"starts of all instances":               {[]string{all("x", start), all("y", start), all("x", start)}, nil},
		"a start with one flag, which is known": {[]string{goff("a", 1, 2, "x"), all("x", map[string]int{"a": 2}), all("x", map[string]int{"a": 2, "b": 1})}, []string{"updated a", "created b"}},
		"a flag that was added":                 {[]string{all("x", start), goff("c", 0, 1, "x"), goff("c", 0, 1, "y")}, []string{"created c"}},
		"what changed while nobody ran":         {[]string{all("x", start), all("x", map[string]int{"a": 2, "b": 1, "c": 1})}, []string{"updated a", "created c"}},
		"a copy of an earlier start":            {[]string{all("x", start), goff("a", 1, 2, "x"), all("x", start)}, []string{"updated a"}},
		"on, off, on, off": {
			[]string{all("x", start), goff("a", 1, 2, "x"), goff("a", 2, 1, "x"), goff("a", 1, 2, "x"), goff("a", 2, 1, "x")},
			[]string{"updated a", "updated a", "updated a", "updated a"},
		},
		"on and off, by two instances": {
			[]string{goff("a", 1, 2, "x"), goff("a", 1, 2, "y"), goff("a", 2, 1, "x"), goff("a", 2, 1, "y"), goff("a", 1, 2, "y"), goff("a", 1, 2, "x")},
			[]string{"updated a", "updated a", "updated a"},
		},
		"a copy that does not fit": {[]string{goff("a", 1, 2, "x"), goff("a", 2, 3, "x"), goff("a", 1, 2, "x")}, []string{"updated a", "updated a"}},
		"a copy, and then its edit in earnest": {
			[]string{goff("a", 1, 2, "x"), goff("a", 2, 3, "x"), goff("a", 1, 2, "x"), goff("a", 3, 2, "x")},
			[]string{"updated a", "updated a", "updated a"},
		},
		"one that was lost between": {[]string{goff("a", 1, 2, "x"), goff("a", 3, 4, "x")}, []string{"updated a", "updated a"}},
		"deleted, and added again": {
			[]string{all("x", start), goff("a", 1, 0, "x"), goff("a", 1, 0, "y"), goff("a", 0, 1, "x"), goff("a", 1, 0, "x")},
			[]string{"deleted a", "created a", "deleted a"},
		},
		"added, by two instances, is no start": {
			[]string{goff("n", 0, 1, "x"), goff("n", 0, 1, "y"), goff("a", 1, 0, "x"), goff("a", 1, 0, "y"), goff("b", 1, 2, "x"), all("z", map[string]int{"b": 2, "c": 1, "d": 1})},
			[]string{"created n", "deleted a", "updated b"},
		},
		"an addition that comes twice is no start": {
			[]string{goff("n", 0, 1, "x"), goff("n", 0, 1, "x"), all("x", start)}, []string{"created n"},
		},
		"several that were added at first, which is taken for a start": {
			[]string{all("x", start), goff("c", 1, 2, "x"), goff("d", 1, 0, "x"), goff("d", 1, 0, "y")},
			[]string{"updated c", "deleted d"},
		},
		"deleted, and nothing was known":         {[]string{goff("a", 1, 0, "x"), goff("a", 1, 0, "y")}, []string{"deleted a"}},
		"an instance that sees two edits as one": {[]string{goff("a", 1, 2, "x"), goff("a", 1, 3, "y"), goff("a", 2, 3, "x")}, []string{"updated a", "updated a"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			for _, body := range c.said { // each to another process
				send(t, newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s}), "go-feature-flag", body)
			}
			var got []string
			for _, change := range emitted(t, s) {
				got = append(got, string(change.Action)+" "+change.Flag)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestGoFeatureFlagHistories has instances look at a file that is edited, each
// when it likes. What they say, some of it twice, gives each change of what any of
// them has seen, once.
func TestGoFeatureFlagHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore(t)
		receivers := []*receive.Receiver{
			newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s}), newReceiver(t, receive.Config{Product: receive.GoFeatureFlag{}, Store: s}),
		}
		file := map[string]int{"a": 1, "b": 1}
		seen, known := []map[string]int{{}, {}, {}}, map[string]int{}
		var want, sent []string
		const unknown = -1 // to the receiver, which came later, or hears of no starts
		started := rapid.Bool().Draw(rt, "started")
		for i := range seen {
			if started {
				send(t, receivers[0], "go-feature-flag", all(fmt.Sprint(i), file))
			}
			seen[i] = map[string]int{"a": 1, "b": 1}
		}
		known["a"], known["b"], known["c"] = 1, 1, 0
		if !started {
			known["a"], known["b"], known["c"] = unknown, unknown, unknown
		}
		flag, instance, edits := rapid.SampledFrom([]string{"a", "b", "c"}), rapid.IntRange(0, 2), 0
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "edit") {
				edits++
				file[flag.Draw(rt, "flag")] = rapid.IntRange(0, 3).Draw(rt, "value")
				continue
			}
			i := instance.Draw(rt, "instance")
			for _, flag := range []string{"a", "b", "c"} {
				if seen[i][flag] == file[flag] {
					continue
				}
				added := seen[i][flag] == 0
				body := goff(flag, seen[i][flag], file[flag], fmt.Sprint(i))
				for range 1 + rapid.IntRange(0, 1).Draw(rt, "again") {
					send(t, receivers[rapid.IntRange(0, 1).Draw(rt, "to")], "go-feature-flag", body)
				}
				// The same words again, where they do not fit, cannot be told from a copy.
				copied := slices.Contains(sent, body) && known[flag] != seen[i][flag]
				if copied && seen[i][flag] == 0 {
					known[flag] = file[flag] // it looks like a start
				}
				sent = append(sent, body)
				seen[i][flag] = file[flag]
				if known[flag] == file[flag] || copied {
					continue
				}
				action := "updated"
				switch {
				case file[flag] == 0:
					action = "deleted"
				case known[flag] == 0, known[flag] == unknown && added:
					action = "created"
				}
				want, known[flag] = append(want, action+" "+flag), file[flag]
			}
		}
		var got []string
		for _, change := range emitted(t, s) {
			got = append(got, string(change.Action)+" "+change.Flag)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%q\nwant %q\nafter %s", got, want, strings.Join(sent, "\n"))
		}
	})
}
