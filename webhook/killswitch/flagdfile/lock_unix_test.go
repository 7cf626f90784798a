//go:build unix && !solaris && !aix

package flagdfile

import (
	"os"
	"syscall"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// TestLocksOfNFS has a file system that lends an exclusive lock on a file only if
// that is open for writing, as NFS and CIFS do, or none at all.
func TestLocksOfNFS(t *testing.T) {
	before := flock
	t.Cleanup(func() { flock = before })
	for name, one := range map[string]struct {
		mode  os.FileMode
		flock func(fd, how int) error
		locks int
	}{
		"for writing only": {0o640, func(fd, how int) error {
			flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
			if errno != 0 || flags&syscall.O_ACCMODE == syscall.O_RDONLY {
				return syscall.EBADF
			}
			return before(fd, how)
		}, 1},
		"never":     {0o640, func(int, int) error { return syscall.EBADF }, 0},
		"no lockd":  {0o640, func(int, int) error { return syscall.ENOLCK }, 0},
		"read only": {0o440, func(int, int) error { return syscall.EBADF }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			locks := 0
			flock = func(fd, how int) error {
				err := one.flock(fd, how)
				if err == nil {
					locks++
				}
				return err
			}
			path := write(t, sample)
			if err := os.Chmod(path, one.mode); err != nil {
				t.Fatal(err)
			}
			toggler := newToggler(t, path)
			if err := toggler.Check(t.Context(), killswitch.Target{Flag: "new-checkout"}); err != nil {
				t.Error(err)
			}
			if locks != one.locks {
				t.Errorf("%d locks", locks)
			}
			if _, err := toggler.Toggle(t.Context(), to("new-checkout", false)); err != nil {
				t.Error(err)
			}
			if stateOf(t, content(t, path), "new-checkout") != "DISABLED" {
				t.Error("the file is unchanged")
			}
			leftovers(t, path)
		})
	}
}
