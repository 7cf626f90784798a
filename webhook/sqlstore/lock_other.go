//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package sqlstore

import (
	"errors"
	"fmt"
	"runtime"
)

func lockFile(string) (lockedFile, error) {
	return nil, fmt.Errorf("taking turns on an SQLite file on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
