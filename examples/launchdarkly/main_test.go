package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorsCarryWhatLaunchDarklyEvaluated(t *testing.T) {
	const want = `playback failed for ada   {"values":[{"flag":"new-player","result":true},{"flag":"autoplay","result":true},{"flag":"subtitles","result":true}]}
playback failed for grace {"values":[{"flag":"new-player","result":false},{"flag":"autoplay","result":true},{"flag":"subtitles","result":true}]}
`
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
