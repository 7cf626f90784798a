package changes_test

import (
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// fuzzFormat reads any bytes in each syntax: it never panics, ends soon, and the
// same document is no change.
func fuzzFormat(f *testing.F, format changes.Format, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{"", "{}", "[]", "null", "a: &a [*a]", "<<: *a", "a.b.c = 1", "\xef\xbb\xbf{}", "\xff\xfe{\x00}\x00", "{\"a\":1e999}", "- - - -", "? ? ?", "a: !!binary x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, name := range []string{"x.json", "x.yaml", "x.toml", "x"} {
			start := time.Now()
			first, err := format.Read(name, content)
			if time.Since(start) > time.Minute {
				t.Errorf("%s: takes %v", name, time.Since(start))
			}
			if err != nil {
				if len(err.Error()) > 700 {
					t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
				}
				continue
			}
			second, err := format.Read(name, content)
			if err != nil {
				t.Fatalf("%s: refused the second time: %v", name, err)
			}
			edits, err := changes.DiffDefinitions(first, second)
			if err == nil && len(edits) != 0 {
				t.Errorf("%s: differs from itself in %+v", name, edits)
			}
		}
	})
}

func FuzzFlagd(f *testing.F) {
	fuzzFormat(f, changes.Flagd{}, flagdJSON, flagdYAML, flagdArray)
}

func FuzzGoFeatureFlag(f *testing.F) {
	fuzzFormat(f, changes.GoFeatureFlag{}, goffJSON, goffYAML, goffTOML)
}

func FuzzKeyed(f *testing.F) {
	var seeds []string
	for _, p := range products {
		seeds = append(seeds, p.document)
	}
	fuzzFormat(f, changes.Keyed("/flags", "key", "*/name").Also("/features").Switch("on").Shared("/segments", "id", "segments", "segment").Overrides("/s", "f/*/n"), seeds...)
}
