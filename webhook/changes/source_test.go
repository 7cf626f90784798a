package changes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.json")
	file := &changes.File{Path: path, Limit: 100}
	if _, err := file.Read(t.Context()); !errors.Is(err, changes.ErrVanished) || strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Error(err)
	}
	for _, content := range []string{"one", "two", "", strings.Repeat("x", 100)} {
		write(t, path, content)
		documents, err := file.Read(t.Context())
		if err != nil || len(documents) != 1 || string(documents["flags.json"]) != content {
			t.Errorf("%q: %q, %v", content, documents, err)
		}
	}
	write(t, path, strings.Repeat("x", 101))
	if _, err := file.Read(t.Context()); !errors.Is(err, changes.ErrTooLarge) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := file.Read(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A file that is old and looks unchanged is not read again, an edit is seen
// whatever its time says.
func TestFileIsReadWhenItLooksChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.json")
	file := &changes.File{Path: path}
	read := func() []byte {
		documents, err := file.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return documents["flags.json"]
	}
	write(t, path, "one")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	first := read()
	if again := read(); &first[0] != &again[0] {
		t.Error("read again")
	}
	if allocations := testing.AllocsPerRun(10, func() { read() }); allocations > 8 {
		t.Errorf("%v allocations to see that nothing changed", allocations)
	}
	// Another file with the same size and time.
	write(t, path+"2", "two")
	if err := errors.Join(os.Chtimes(path+"2", old, old), os.Rename(path+"2", path)); err != nil {
		t.Fatal(err)
	}
	if string(read()) != "two" {
		t.Error("the other file is not seen")
	}
}

func TestDevicesAreNoFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such paths")
	}
	folder := t.TempDir()
	link := filepath.Join(folder, "link.json")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(pipes(t, folder), "/dev/zero", "/dev/null", "/dev/random", link, folder) {
		if _, err := (&changes.File{Path: path}).Read(t.Context()); !errors.Is(err, changes.ErrNotAFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Files without a size, and one that has no end.
	if runtime.GOOS == "linux" {
		documents, err := (&changes.File{Path: "/proc/self/status"}).Read(t.Context())
		if err != nil || len(documents["status"]) == 0 {
			t.Error(err)
		}
	}
}

func TestFolder(t *testing.T) {
	path := t.TempDir()
	folder := &changes.Folder{Path: path, Limit: 50}
	if _, err := folder.Read(t.Context()); !errors.Is(err, changes.ErrVanished) {
		t.Error(err)
	}
	// As a ConfigMap is mounted.
	if err := errors.Join(os.Mkdir(filepath.Join(path, "..v1"), 0o700), os.Symlink("..v1", filepath.Join(path, "..data")), os.Mkdir(filepath.Join(path, "d.json"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.json", "b.yaml", "c.toml", "README.md"} {
		write(t, filepath.Join(path, "..v1", name), name)
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(path, "d.json")); err != nil {
		t.Fatal(err)
	}
	documents, err := folder.Read(t.Context())
	if names := slices.Sorted(maps.Keys(documents)); err != nil || !slices.Equal(names, []string{"a.json", "b.yaml", "c.toml"}) {
		t.Errorf("%v, %v", names, err)
	}
	documents, err = (&changes.Folder{Path: path, Pattern: "*.md"}).Read(t.Context())
	if err != nil || len(documents) != 1 {
		t.Errorf("%v, %v", documents, err)
	}
	if _, err := (&changes.Folder{Path: path, Pattern: "["}).Read(t.Context()); err == nil {
		t.Error("a pattern that is none")
	}
	write(t, filepath.Join(path, "big.json"), strings.Repeat("x", 50))
	if _, err := folder.Read(t.Context()); !errors.Is(err, changes.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := (&changes.Folder{Path: filepath.Join(path, "none")}).Read(t.Context()); !errors.Is(err, changes.ErrVanished) {
		t.Error(err)
	}
}

const secretKey = "hunter2-hunter2"

func newURL(t *testing.T, server *httptest.Server, change func(*changes.URLConfig)) *changes.URL {
	t.Helper()
	config := changes.URLConfig{
		URL: server.URL + "/sdk/flags.json?key=" + secretKey, AllowHTTP: true, Transport: server.Client().Transport, Timeout: time.Minute,
		Header: func(h http.Header) { h.Set("Authorization", secretKey) },
	}
	if change != nil {
		change(&config)
	}
	u, err := changes.NewURL(config)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestURL(t *testing.T) {
	content, asked, full := "{}", 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != secretKey || r.URL.Query().Get("key") != secretKey {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("%q", content))
		if r.Header.Get("If-None-Match") == fmt.Sprintf("%q", content) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full++
		_, _ = w.Write([]byte(content))
	}))
	defer server.Close()
	u := newURL(t, server, nil)
	for _, content = range []string{"{}", "{}", "{}", `{"a":1}`, `{"a":1}`} {
		documents, err := u.Read(t.Context())
		if err != nil || string(documents["flags.json"]) != content {
			t.Errorf("%q, %v", documents, err)
		}
	}
	if asked != 5 || full != 2 {
		t.Errorf("asked %d times, sent %d times", asked, full)
	}
	if printed := fmt.Sprintf("%v %+v %#v", u, u, u); strings.Contains(printed, secretKey) || strings.Contains(u.Name(), secretKey) {
		t.Error("it prints a secret")
	}
}

func TestURLThatGivesNoDocument(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		case "/slow":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/half":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("half"))
		case "/gone":
			w.WriteHeader(http.StatusNotFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "/unasked":
			w.WriteHeader(http.StatusNotModified)
		case "/drop":
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	advice := map[string]string{"/redirect": "the URL that answers itself", "/forbidden": "check the headers", "/broken": "in trouble"}
	for path, want := range map[string]error{
		"/redirect": nil, "/endless": changes.ErrTooLarge, "/slow": nil, "/half": nil, "/gone": changes.ErrVanished, "/broken": nil, "/unasked": nil, "/drop": nil, "/forbidden": nil,
	} {
		u := newURL(t, server, func(c *changes.URLConfig) {
			c.URL = server.URL + path + "?key=" + secretKey
			if path == "/slow" {
				c.Timeout = time.Second
			}
			c.Limit = 1 << 20
		})
		_, err := u.Read(t.Context())
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if !strings.Contains(err.Error(), advice[path]) {
			t.Errorf("%s: %v does not say what to do", path, err)
		}
		if strings.Contains(err.Error(), secretKey) || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v shows where it went", path, err)
		}
	}
	server.Close()
	if _, err := newURL(t, server, nil).Read(t.Context()); err == nil || strings.Contains(err.Error(), secretKey) {
		t.Error(err)
	}
}

// answers is a server without a socket, so that time can pass.
type answers func(r *http.Request) (status int, header http.Header, body string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status, header, body := a(r)
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

// A server that refuses is left alone for as long as it asks for, within reason.
func TestURLLeavesAServerAlone(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		wait   time.Duration
	}{
		"seconds":         {http.StatusTooManyRequests, "90", 90 * time.Second},
		"a date":          {http.StatusServiceUnavailable, "Sat, 01 Jan 2000 00:01:00 GMT", time.Minute},
		"nothing said":    {http.StatusTooManyRequests, "", 30 * time.Second},
		"nonsense":        {http.StatusTooManyRequests, "-5", 30 * time.Second},
		"a year":          {http.StatusTooManyRequests, "31536000", 5 * time.Minute},
		"credential":      {http.StatusUnauthorized, "", 30 * time.Second},
		"trouble":         {http.StatusBadGateway, "", 0},
		"long since over": {http.StatusBadGateway, "Sat, 01 Jan 1990 00:00:00 GMT", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked, well := 0, false
			u, err := changes.NewURL(changes.URLConfig{URL: "https://example.com/flags.json", Transport: answers(func(*http.Request) (int, http.Header, string) {
				asked++
				if well {
					return http.StatusOK, http.Header{}, "{}"
				}
				return c.status, http.Header{"Retry-After": {c.after}}, ""
			})})
			if err != nil {
				t.Fatal(err)
			}
			_, first := u.Read(t.Context())
			well = true
			if c.wait > 0 {
				time.Sleep(c.wait - time.Second)
				if _, err := u.Read(t.Context()); asked != 1 || err == nil || err.Error() != first.Error() {
					t.Errorf("%s: asked %d times, %v and then %v", name, asked, first, err)
				}
				time.Sleep(time.Second)
			}
			if _, err := u.Read(t.Context()); err != nil || asked != 2 {
				t.Errorf("%s: asked %d times, %v", name, asked, err)
			}
		})
	}
}

// A server that always knows the ETag is asked for the whole document now and
// then.
func TestURLIsAskedAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := "1"
		u, err := changes.NewURL(changes.URLConfig{URL: "https://example.com/flags.json", Transport: answers(func(r *http.Request) (int, http.Header, string) {
			if r.Header.Get("If-None-Match") != "" {
				return http.StatusNotModified, http.Header{}, ""
			}
			return http.StatusOK, http.Header{"Etag": {`"build-7"`}}, content
		})})
		if err != nil {
			t.Fatal(err)
		}
		for want, after := range map[string]time.Duration{"1": 4 * time.Minute, "2": 6 * time.Minute} {
			content = "1"
			time.Sleep(time.Hour)
			if _, err := u.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			content = "2"
			time.Sleep(after)
			if documents, err := u.Read(t.Context()); err != nil || string(documents["flags.json"]) != want {
				t.Errorf("after %v: %q, %v", after, documents, err)
			}
		}
	})
}

func TestURLConfigIsChecked(t *testing.T) {
	for _, config := range []changes.URLConfig{
		{}, {URL: "flags.json"}, {URL: "http://example.com/flags.json"}, {URL: "ftp://example.com", AllowHTTP: true}, {URL: "https://example.com", Timeout: -1}, {URL: "https://example.com", Limit: -1}, {URL: "https://\x00"},
	} {
		if _, err := changes.NewURL(config); !errors.Is(err, changes.ErrInvalidConfig) {
			t.Errorf("%+v: %v", config, err)
		}
	}
	// The last element of a path may be a key, as GrowthBook's is.
	for url, want := range map[string]string{
		"https://flags.example.com/":                       "flags.example.com",
		"https://cdn.example.com:8443/api/features/sdk-k3": "cdn.example.com",
		"https://flags.example.com/shop/flags.yaml?token=": "flags.yaml",
	} {
		if u, err := changes.NewURL(changes.URLConfig{URL: url}); err != nil || u.Name() != want {
			t.Error(u, err)
		}
	}
}

func TestSourceFunc(t *testing.T) {
	source := changes.SourceFunc("settings", func(context.Context) (map[string][]byte, error) { return nil, errDown })
	if _, err := source.Read(t.Context()); source.Name() != "settings" || !errors.Is(err, errDown) {
		t.Error(err)
	}
}

func TestFolderPatternIsChecked(t *testing.T) {
	source := &changes.Folder{Path: t.TempDir(), Pattern: "[*"}
	_, err := changes.NewWatcher(changes.Config{Source: source, Format: changes.Flagd{}, Store: newStore(t), Emitter: &emitter{}})
	if !errors.Is(err, changes.ErrInvalidConfig) || !strings.Contains(err.Error(), "Pattern") {
		t.Error(err)
	}
}

func TestWebPageIsNamed(t *testing.T) {
	for _, page := range []string{"<!DOCTYPE html><title>Log in</title>", "\n <html>", `<?xml version="1.0"?><Error/>`} {
		for name, format := range map[string]changes.Format{"flags.json": changes.Flagd{}, "features": changes.Keyed("/features", ""), "flags.yaml": changes.GoFeatureFlag{}, "flags.toml": changes.GoFeatureFlag{}} {
			_, err := changes.Read(t.Context(), newDocument(name, page), format)
			if !errors.Is(err, changes.ErrUnreadable) || !strings.Contains(err.Error(), "web page") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A flag that a second document has too, and the first has not had before.
func TestFurtherDefinitionIsExplained(t *testing.T) {
	document := newDocument("a.yaml", "a: {variations: {v: 1}, defaultRule: {variation: v}}\n")
	before, err := changes.Read(t.Context(), document, changes.GoFeatureFlag{})
	if err != nil {
		t.Fatal(err)
	}
	document.files["b.yaml"] = bytes.ReplaceAll(document.files["a.yaml"], []byte("1"), []byte("2"))
	after, err := changes.Read(t.Context(), document, changes.GoFeatureFlag{})
	if err != nil {
		t.Fatal(err)
	}
	edits, err := changes.DiffDefinitions(before, after)
	if err != nil || len(edits) != 1 || len(edits[0].Fields) == 0 {
		t.Fatal(edits, err)
	}
	for _, field := range edits[0].Fields {
		if strings.HasSuffix(field.Path, ": ") {
			t.Errorf("%q leads nowhere", field.Path)
		}
	}
}
