//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package sqlstore

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

func lockFile(string, fs.FileMode) (lockedFile, error) {
	return nil, fmt.Errorf("taking turns on an SQLite file on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
