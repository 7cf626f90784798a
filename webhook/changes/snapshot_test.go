package changes_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// A snapshot has each flag once, whichever way it came into the definitions.
func TestSnapshotHasEveryFlag(t *testing.T) {
	folder := changes.SourceFunc("folder", func(context.Context) (map[string][]byte, error) {
		return map[string][]byte{
			"1.json": []byte(`{"flags":{"a":{},"b":{},"c":{}}}`),
			"2.json": []byte(`{"flags":{"d":{},"b":{"state":"DISABLED"},"e":{}}}`),
			"3.yaml": []byte("flags: {z: {}, a: {}, f: {}}"),
		}, nil
	})
	read, err := changes.Read(t.Context(), folder, changes.Flagd{})
	if err != nil {
		t.Fatal(err)
	}
	other := read // a copy has the same flags
	for i, to := range []*changes.Definitions{&read, &other, &read} {
		if err := to.Add(fmt.Sprintf("added-%d", i), true); err != nil {
			t.Fatal(err)
		}
	}
	snapshot, err := read.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var flags string
	for _, edit := range changes.Diff(changes.Snapshot{}, snapshot) {
		flags += edit.Flag + " "
	}
	if want := "a added-0 added-1 added-2 b c d e f z "; flags != want || read.Len() != 10 {
		t.Errorf("%d flags: %s, want %s", read.Len(), flags, want)
	}
}
