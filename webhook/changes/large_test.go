package changes_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

const large = 100 << 20

// sparse makes a file of a size that takes no room.
func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// 100 MB, wherever they come from, are refused before they take the memory.
func TestLargeDocumentsAreRefused(t *testing.T) {
	folder, single := t.TempDir(), filepath.Join(t.TempDir(), "flags.json")
	sparse(t, single, large)
	for i := range 10 {
		sparse(t, filepath.Join(folder, fmt.Sprintf("%d.json", i)), large/10)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/told.json" {
			w.Header().Set("Content-Length", fmt.Sprint(large))
		}
		for range large >> 20 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	address := func(path string) changes.Source {
		return newURL(t, server, func(c *changes.URLConfig) { c.URL, c.Timeout = server.URL+path, 5*time.Minute })
	}
	for name, c := range map[string]struct {
		source changes.Source
		most   uint64 // bytes that are allocated
	}{
		"a file":                     {&changes.File{Path: single}, 1 << 20},
		"a folder":                   {&changes.Folder{Path: folder}, 2 * changes.DefaultLimit},
		"a URL that says so":         {address("/told.json"), 16 << 20}, // what the server allocates included
		"a URL that does not say so": {address("/untold.json"), 8 * changes.DefaultLimit},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.source.Read(t.Context())
		runtime.ReadMemStats(&after)
		if !errors.Is(err, changes.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > c.most {
			t.Errorf("%s: it takes %d bytes", name, took)
		}
	}
}

// Who raises the limit can have them.
func TestLargeDocumentsCanBeRead(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("it takes half a gigabyte")
	}
	const flags = 20_000
	path, long := filepath.Join(t.TempDir(), "flags.json"), strings.Repeat("x", large/flags-100)
	var document strings.Builder
	document.Grow(2 * large)
	document.WriteString(`{"flags":{`)
	for i := range flags {
		fmt.Fprintf(&document, `"flag-%d":{"variants":{"on":true,"off":false},"defaultVariant":"on","targeting":{"in":[{"var":"id"},["%s"]]}},`, i, long)
	}
	var read [2]changes.Definitions
	for i, last := range []string{`{"variants":{"on":1}}`, `{"variants":{"on":2}}`} {
		write(t, path, document.String()+`"last":`+last+`}}`)
		var err error
		if read[i], err = changes.Read(t.Context(), &changes.File{Path: path, Limit: 2 * large}, changes.Flagd{}); err != nil {
			t.Fatal(err)
		}
	}
	if edits, err := changes.DiffDefinitions(read[0], read[1]); err != nil || len(edits) != 1 || edits[0].Flag != "last" {
		t.Errorf("%d edits, %v", len(edits), err)
	}
}
