// Package storefile is for the tools of this project's programs: they look into
// the SQLite file that the program has made, and make none.
package storefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Exists fails if there is no file. A tool that made an empty one would say that
// nothing waits and nothing is dead, and what it has made may belong to somebody
// else than the program's user.
func Exists(path string) error {
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // what else may be wrong is said by who opens it
	}
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return fmt.Errorf("there is no store %s: run this in the program's folder, with its configuration and environment; the program makes the file at its first start", path)
}

// Trial returns the path of a file to open in order to see whether the store
// could be opened: the store itself, or one beside it if there is none, which done
// removes.
func Trial(path string) (trial string, done func() error, err error) {
	if Exists(path) == nil {
		return path, func() error { return nil }, nil
	}
	// SQLite makes the file where a link leads to.
	if target, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".check-")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(folder, "store.db"), func() error { return os.RemoveAll(folder) }, nil
}
