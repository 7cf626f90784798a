//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A shell's <(git show main:flags.json) is a pipe.
func TestDiffReadsPipes(t *testing.T) {
	folder := t.TempDir()
	old, pipe := filepath.Join(folder, "old.json"), filepath.Join(folder, "63")
	write(t, old, demoFlagd)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	wrote := make(chan error, 1)
	go func() {
		wrote <- os.WriteFile(pipe, []byte(strings.Replace(demoFlagd, "ENABLED", "DISABLED", 1)), 0o600)
	}()
	var out, trouble bytes.Buffer
	if code := run(t.Context(), []string{"diff", old, pipe}, none, &out, &trouble); code != exitChanges || !strings.Contains(out.String(), "(on or off)") {
		t.Errorf("%d: %s%s", code, &out, &trouble)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// A pipe that nobody writes can be interrupted.
func TestDiffOfAPipeCanBeInterrupted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "63")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var out, trouble bytes.Buffer
	if code := run(ctx, []string{"diff", pipe, pipe}, none, &out, &trouble); code != exitTrouble || !strings.Contains(trouble.String(), "deadline") {
		t.Errorf("%d: %s", code, &trouble)
	}
	// What still waits there ends when somebody comes.
	if file, err := os.OpenFile(pipe, os.O_WRONLY, 0); err != nil || file.Close() != nil {
		t.Error(err)
	}
}
