package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A flag that does not exist is on the error too, with the default.
func TestItRunsAsItStands(t *testing.T) {
	const want = `playback failed for ada [{new-player true} {autoplay true} {not-in-flagd false}]
playback failed for grace [{new-player false} {autoplay true} {not-in-flagd false}]
`
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
