package changes_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// listOf is a list of n names.
func listOf(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"user-%07d"`, i)
	}
	return "[" + strings.Join(names, ",") + "]"
}

// A large part that many flags refer to is worked on once, and counts for all of
// them.
func TestLargePartsAreShared(t *testing.T) {
	const flags, members = 2000, 100_000
	for name, c := range map[string]struct {
		format changes.Format
		write  func(last string) string
	}{
		"growthbook": {changes.Keyed("/features", "").Shared("/savedGroups", "", "$inGroup"), func(last string) string {
			var all []string
			for i := range flags {
				all = append(all, fmt.Sprintf(`"flag-%d":{"rules":[{"condition":{"id":{"$inGroup":"large"}}}]}`, i))
			}
			return `{"features":{` + strings.Join(all, ",") + `},"savedGroups":{"large":[` + last + `,` + listOf(members)[1:] + `}}`
		}},
		"flagd": {changes.Flagd{}, func(last string) string {
			var all []string
			for i := range flags {
				all = append(all, fmt.Sprintf(`"flag-%d":{"targeting":{"if":[{"$ref":"outer"},"on"]}}`, i))
			}
			return `{"flags":{` + strings.Join(all, ",") + `},"$evaluators":{"outer":{"!":[{"$ref":"large"}]},"large":{"in":[{"var":"id"},[` + last + `,` + listOf(members)[1:] + `]}}}`
		}},
	} {
		began := time.Now()
		var read [3]changes.Definitions
		for i, last := range []string{`"a"`, `"b"`, `"a"`} {
			var err error
			if read[i], err = c.format.Read("flags.json", []byte(c.write(last))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		edits, err := changes.DiffDefinitions(read[0], read[1])
		if err != nil || len(edits) != flags {
			t.Errorf("%s: %d of %d flags, %v", name, len(edits), flags, err)
		}
		if edits, err := changes.DiffDefinitions(read[0], read[2]); err != nil || len(edits) != 0 {
			t.Errorf("%s: %d flags, %v", name, len(edits), err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("%s: it takes %v", name, took)
		}
	}
}

// What stands in a flag means the same as what it refers to, however long.
func TestReferenceIsWhatItStandsFor(t *testing.T) {
	for _, n := range []int{1, 10, 100, 1000} {
		part := `{"in":[{"var":"id"},` + listOf(n) + `]}`
		var snapshots [2]changes.Snapshot
		for i, document := range []string{
			`{"flags":{"a":{"targeting":{"if":[{"$ref":"part"},"on"]}}},"$evaluators":{"part":` + part + `}}`,
			`{"flags":{"a":{"targeting":{"if":[` + part + `,"on"]}}}}`,
		} {
			d, err := changes.Flagd{}.Read("flags.json", []byte(document))
			if err != nil {
				t.Fatal(err)
			}
			if snapshots[i], err = d.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
		if edits := changes.Diff(snapshots[0], snapshots[1]); len(edits) != 0 {
			t.Errorf("%d: %v", n, edits)
		}
	}
}

// Parts that refer to each other many times cost no more than each once; in
// circles they end.
func TestPartsThatReferToEachOther(t *testing.T) {
	const depth, times = 20, 10
	for name, c := range map[string]struct {
		last string
		want error
	}{
		"a tree":    {`{"==":[1,1]}`, nil},
		"a circle":  {`{"$ref":"e0"}`, nil},
		"a thicket": {`{"or":[` + strings.Join(slices.Repeat([]string{`{"$ref":"e0"},{"$ref":"e1"},{"$ref":"e2"}`}, times), ",") + `]}`, nil},
	} {
		var parts []string
		for i := range depth {
			parts = append(parts, fmt.Sprintf(`"e%d":{"and":[%s]}`, i, strings.Join(slices.Repeat([]string{fmt.Sprintf(`{"$ref":"e%d"}`, i+1)}, times), ",")))
		}
		parts = append(parts, fmt.Sprintf(`"e%d":%s`, depth, c.last))
		began := time.Now()
		d, err := changes.Flagd{}.Read("flags.json", []byte(`{"flags":{"a":{"targeting":{"$ref":"e0"}}},"$evaluators":{`+strings.Join(parts, ",")+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		// In circles it may be too much; then it is said.
		if _, err := d.Snapshot(); err != nil && (name == "a tree" || !errors.Is(err, changes.ErrUnreadable)) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("%s: it takes %v", name, took)
		}
	}
}
