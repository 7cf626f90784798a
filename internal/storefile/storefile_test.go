package storefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/storefile"
)

func TestNothingIsMade(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "store.db")
	if err := storefile.Exists(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	trial, done, err := storefile.Trial(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trial, []byte("x"), 0o600); err != nil {
		t.Errorf("the trial: %v", err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, _, err := storefile.Trial(filepath.Join(folder, "none", "store.db")); err == nil {
		t.Error("a folder that there is not can be used")
	}

	// A link that leads into a folder that there is not, and one to a file that the
	// program is to make.
	for target, usable := range map[string]bool{filepath.Join("none", "store.db"): false, "other.db": true, filepath.Join(folder, "third.db"): true} {
		link := filepath.Join(folder, "link.db")
		if err := os.Symlink(target, link); err != nil {
			t.Skip(err)
		}
		_, done, err := storefile.Trial(link)
		if (err == nil) != usable {
			t.Errorf("a link to %s: %v", target, err)
		}
		if err == nil {
			err = done()
		}
		if !usable {
			err = nil
		}
		left, readErr := os.ReadDir(folder)
		if err := errors.Join(err, readErr, os.Remove(link)); err != nil || len(left) != 1 {
			t.Errorf("left: %v, %v", left, err)
		}
	}

	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := storefile.Exists(path); err != nil {
		t.Error(err)
	}
	if trial, done, err := storefile.Trial(path); trial != path || err != nil || done() != nil {
		t.Errorf("%s, %v", trial, err)
	}
	if storefile.Exists(path) != nil {
		t.Error("the store itself was removed")
	}
}
