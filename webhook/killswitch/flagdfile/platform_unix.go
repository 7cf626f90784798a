//go:build unix && !solaris && !aix

package flagdfile

import (
	"errors"
	"os"
	"syscall"
)

// lockIsFile says whether the lock hangs on the open file.
const lockIsFile = true

// dontWait keeps a pipe from holding up who opens it.
const dontWait = syscall.O_NONBLOCK

// flock is replaced in tests, by that of another file system.
var flock = syscall.Flock

// lock takes an advisory lock that lasts until the file is closed, without
// waiting for it.
func lock(file *os.File) (bool, error) {
	for {
		err := flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case isUnsupported(err), errors.Is(err, syscall.ENOLCK):
			return true, nil // a file system without locks: the comparison is all there is
		default:
			return false, err
		}
	}
}

// wantsWriting reports whether a lock was refused because the file is open for
// reading only, as NFS and CIFS do.
func wantsWriting(err error) bool { return errors.Is(err, syscall.EBADF) }

// unlock has nothing to do: closing the file ends the lock.
func unlock() {}

func keepOwner(file *os.File, info os.FileInfo) error {
	want, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := file.Stat()
	if err != nil {
		return err
	}
	if has, ok := now.Sys().(*syscall.Stat_t); ok && has.Uid == want.Uid && has.Gid == want.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

// isMountPoint reports whether a rename failed because the file is mounted.
func isMountPoint(err error) bool { return errors.Is(err, syscall.EBUSY) }

func isUnsupported(err error) bool {
	return errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS)
}
