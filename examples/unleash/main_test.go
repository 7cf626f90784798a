package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

// What the SDK answers for each user, the default of an unknown flag included.
func TestTheErrorCarriesWhatWasEvaluated(t *testing.T) {
	client, err := newClient(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	for user, player := range map[string]bool{"ada": true, "grace": false} {
		ctx, sent := flagtracktest.New(t)
		watch(ctx, client, user)
		want := []flagtrack.Value{
			{Flag: "new-player", Result: player},
			{Flag: "autoplay", Result: true},
			{Flag: "not-in-unleash", Result: false},
		}
		if diff := cmp.Diff(want, flagtracktest.Flags(sent.Last())); diff != "" {
			t.Errorf("flags on the error of %s (-want +got):\n%s", user, diff)
		}
	}
}

func TestItRunsAsItStands(t *testing.T) {
	const want = `playback failed for ada [{new-player true} {autoplay true} {not-in-unleash false}]
playback failed for grace [{new-player false} {autoplay true} {not-in-unleash false}]
`
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
