//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sqlstore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// lockFile creates the file with the mode if need be and locks it, or fails with
// errLocked.
// The file is left in place: removing it would let two takers lock two files of
// the same name.
func lockFile(path string, mode fs.FileMode) (lockedFile, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, mode)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.Mode().Perm() != mode {
		_ = file.Chmod(mode) // the umask took some of it; only the owner may
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	return nil, errors.Join(err, file.Close())
}
