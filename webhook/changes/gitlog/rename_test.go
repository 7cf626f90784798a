package gitlog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
)

// TestRenames moves files and folders, and asks for them by any of their names.
func TestRenames(t *testing.T) {
	for title, tc := range map[string]struct {
		history func(r *repo) (before, after string)
		paths   []string // each alone
		want    []string
		moved   bool // the last of the paths, not the first
	}{
		"a file": {
			history: func(r *repo) (string, string) {
				r.put("flags.json", flagd("a", "b", "c"))
				before := r.commit("base")
				r.git("mv", "flags.json", "features.json")
				r.commit("moved")
				r.put("features.json", flagd("a!", "b", "c"))
				r.commit("off")
				r.put("config/features.json", flagd("a", "b", "c"), "features.json", "")
				return before, r.commit("moved and on")
			},
			paths: []string{"config/features.json", "features.json", "flags.json"},
			want:  []string{"off: ada@example.com updated a", "moved and on: ada@example.com updated a"},
			moved: true,
		},
		"a folder": {
			history: func(r *repo) (string, string) {
				r.put("flags/a.json", flagd("a"), "flags/b.json", flagd("b"), "flags/deep/c.json", flagd("c"))
				before := r.commit("base")
				r.put("flags/a.json", flagd("a!"))
				r.commit("off")
				r.git("mv", "flags", "config")
				r.put("config/b.json", flagd("b!"))
				r.commit("moved and off")
				r.put("config/a.json", flagd("a"))
				return before, r.commit("on")
			},
			paths: []string{"config", "flags"},
			want: []string{
				"off: ada@example.com updated a", "moved and off: ada@example.com updated b", "on: ada@example.com updated a",
			},
			moved: true,
		},
		"into another language and on": {
			history: func(r *repo) (string, string) {
				r.put("flags.json", flagd("a"))
				before := r.commit("base")
				r.put("flags.json", "", "flags.yml", strings.ReplaceAll(flagd("a!"), "\n      ", " "))
				r.commit("to YAML, off")
				r.git("mv", "flags.yml", "live.yaml")
				return before, r.commit("moved")
			},
			paths: []string{"live.yaml", "flags.json"},
			want:  []string{"to YAML, off: ada@example.com updated a"},
			moved: true,
		},
		"a copy": {
			history: func(r *repo) (string, string) {
				r.put("flags.json", flagd("a", "b", "c"))
				before := r.commit("base")
				r.put("staging.json", flagd("a", "b", "c"))
				r.commit("copied")
				r.put("staging.json", flagd("a!", "b", "c"))
				r.commit("off in the copy")
				return before, r.commit("end")
			},
			paths: []string{"flags.json"},
			want:  []string{},
		},
		"a file made of another, which stays": {
			history: func(r *repo) (string, string) {
				r.put("flags.json", flagd("a", "b"))
				before := r.commit("base")
				r.put("staging.json", flagd("a", "b"))
				return before, r.commit("copied")
			},
			paths: []string{"staging.json"},
			want:  []string{"copied: ada@example.com created a", "copied: ada@example.com created b"},
		},
		"two files change names": {
			history: func(r *repo) (string, string) {
				r.put("a.json", flagd("a"), "b.json", flagd("b"))
				before := r.commit("base")
				r.git("mv", "a.json", "x")
				r.git("mv", "b.json", "a.json")
				r.git("mv", "x", "b.json")
				return before, r.commit("swapped")
			},
			paths: []string{"a.json"}, // what reads it has the other flags now
			want:  []string{"swapped: ada@example.com deleted a", "swapped: ada@example.com created b"},
		},
		"within a merge": {
			history: func(r *repo) (string, string) {
				r.put("flags.json", flagd("a", "b"))
				before := r.commit("base")
				r.git("switch", "-qc", "work")
				r.git("mv", "flags.json", "features.json")
				r.commit("moved")
				r.git("switch", "-q", "main")
				r.put("flags.json", flagd("a!", "b"))
				r.commit("off")
				return before, r.merge("ada <ada@example.com>", "merge", "work")
			},
			paths: []string{"features.json", "flags.json"},
			want:  []string{"off: ada@example.com updated a"},
			moved: true,
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			before, after := tc.history(r)
			for i, path := range tc.paths {
				got, log := r.read(r.config(before, after, path))
				if diff := cmp.Diff(tc.want, got); diff != "" || len(log.Problems) > 0 {
					t.Error(path, diff, log.Problems)
				}
				var moved []gitlog.Move
				if tc.moved && i > 0 {
					moved = []gitlog.Move{{Path: path, Now: tc.paths[0]}}
				}
				if diff := cmp.Diff(moved, log.Moved); diff != "" {
					t.Error(path, diff)
				}
			}
			// All together are the same.
			if got, _ := r.read(r.config(before, after, tc.paths...)); !cmp.Equal(tc.want, got) {
				t.Error("together:", got)
			}
		})
	}
}

func TestNowhere(t *testing.T) {
	r := newRepo(t)
	r.put("flags.json", flagd("a"))
	before := r.commit("base")
	for _, path := range []string{"flag.json", "flags.json/x", "none/flags.json", "FLAGS.JSON", "*.json", "-send"} {
		_, err := gitlog.Read(t.Context(), r.config(before, "HEAD", "flags.json", path))
		if !errors.Is(err, gitlog.ErrNoDocument) || !strings.Contains(err.Error(), `"`+path+`"`) {
			t.Errorf("%s: %v", path, err)
		}
	}
	r.put("folder/deeper/flags.json", flagd("a"), "folder/README.md", "x")
	r.commit("a folder in a folder")
	if _, err := gitlog.Read(t.Context(), r.config(before, "HEAD", "folder")); !errors.Is(err, gitlog.ErrNoDocument) || !strings.Contains(err.Error(), "folder") {
		t.Error(err)
	}
	for _, path := range []string{"", "..", "../flags.json", "/flags.json", "a/../../b"} {
		if _, err := gitlog.Read(t.Context(), r.config(before, "HEAD", path)); !errors.Is(err, gitlog.ErrInvalidConfig) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
