package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// linkToNowhere is a link into a folder that there is not.
func linkToNowhere(t *testing.T) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "killswitch.db")
	if err := os.Symlink(filepath.Join("none", "killswitch.db"), link); err != nil {
		return filepath.Join(filepath.Dir(link), "none", "killswitch.db")
	}
	return link
}

// fullStore can be read, and takes nothing.
type fullStore struct{ queue.Store }

func (fullStore) Lease(context.Context, string, string, time.Duration) (time.Duration, error) {
	return 0, queue.ErrFull
}

// TestCheckWritesToTheStore has a disk be full, which lets itself be read.
func TestCheckWritesToTheStore(t *testing.T) {
	store := sharedStore(t)
	for range 2 { // what it writes does not stand in its own way
		if err := tryStore(t.Context(), store); err != nil {
			t.Error(err)
		}
	}
	if err := tryStore(t.Context(), fullStore{store}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("a full disk: %v", err)
	}
}
