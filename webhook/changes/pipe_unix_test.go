//go:build unix

package changes_test

import (
	"path/filepath"
	"syscall"
	"testing"
)

// pipes makes a named pipe that nobody writes to.
func pipes(t *testing.T, folder string) []string {
	t.Helper()
	path := filepath.Join(folder, "pipe.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}
