//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sqlstore

import "syscall"

// writable reports whether this process may write to a file or a folder.
func writable(path string) bool {
	const write = 2
	return syscall.Access(path, write) == nil
}
