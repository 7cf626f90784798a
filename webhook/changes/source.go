package changes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Source is where definitions are kept. [File], [Folder], [URL] and what
// [SourceFunc] returns are sources; it takes no type of this package, so that
// others can have one without importing it.
type Source interface {
	// Name is what the source is called beside its format: a file's name, say. It
	// must hold no secret.
	Name() string
	// Read returns the documents, one or several, by their names. It may return
	// the same bytes again when nothing has changed, and is called from one
	// goroutine at a time. A document that is not there is [ErrVanished] or
	// fs.ErrNotExist. Its error must hold no secret.
	Read(ctx context.Context) (documents map[string][]byte, err error)
}

// SourceFunc returns a source with this name that asks a function for its
// documents.
func SourceFunc(name string, read func(ctx context.Context) (map[string][]byte, error)) Source {
	return sourceFunc{name, read}
}

type sourceFunc struct {
	name string
	read func(ctx context.Context) (map[string][]byte, error)
}

func (s sourceFunc) Name() string { return s.name }

func (s sourceFunc) Read(ctx context.Context) (map[string][]byte, error) { return s.read(ctx) }

func (s sourceFunc) validate() error {
	if s.read == nil {
		return errors.New("SourceFunc needs a function")
	}
	return nil
}

// File is a document in a file. What the path leads to may be replaced, by a
// rename or through links as a mounted ConfigMap is. Use a pointer to it; it is
// for one watcher.
type File struct {
	// Path is where the file is.
	Path string
	// Limit is the most bytes. Defaults to [DefaultLimit].
	Limit int64

	mu   sync.Mutex
	last fileState
}

var _ Source = (*File)(nil)

// Name returns the last element of the path.
func (f *File) Name() string { return filepath.Base(f.Path) }

// Read reads the file if it looks changed, and now and then in any case: an
// edit can keep both size and time.
func (f *File) Read(ctx context.Context) (map[string][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, err := f.last.read(ctx, f.Path, limitOr(f.Limit))
	if err != nil {
		return nil, err
	}
	return map[string][]byte{f.Name(): content}, nil
}

func (f *File) limit() int64 { return limitOr(f.Limit) }

// errNoPath means that nobody said where to look.
var errNoPath = errors.New("Path must be set") //nolint:staticcheck // it is the field's name

func (f *File) validate() error {
	if f.Path == "" {
		return errNoPath
	}
	return nil
}

func limitOr(limit int64) int64 {
	if limit <= 0 {
		return DefaultLimit
	}
	return limit
}

// Folder is documents in a folder, all those whose names match a pattern. Names
// that begin with a dot are left out, as are folders within: so a mounted
// ConfigMap, where all names are links, is read once. Use a pointer to it; it is
// for one watcher.
//
// The list of files is a part of what it says: a file that is gone takes its
// flags with it. A folder that is gone, or that has no such file, has vanished.
type Folder struct {
	// Path is where the folder is.
	Path string
	// Pattern is which files, as path/filepath.Match has it. Defaults to those
	// that end in .json, .yaml, .yml or .toml.
	Pattern string
	// Limit is the most bytes of all files together. Defaults to [DefaultLimit].
	Limit int64

	mu   sync.Mutex
	last map[string]*fileState
}

var _ Source = (*Folder)(nil)

// Name returns the last element of the path.
func (f *Folder) Name() string { return filepath.Base(f.Path) }

func (f *Folder) limit() int64 { return limitOr(f.Limit) }

// maxFiles is how many files a folder may have.
const maxFiles = 10_000

// Read reads the files that look changed, and now and then all.
func (f *Folder) Read(ctx context.Context) (map[string][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, err := f.list()
	if err != nil {
		return nil, err
	}
	states, documents, left := map[string]*fileState{}, map[string][]byte{}, limitOr(f.Limit)
	for _, name := range names {
		state := f.last[name]
		if state == nil {
			state = &fileState{}
		}
		content, err := state.read(ctx, filepath.Join(f.Path, name), left)
		if err != nil {
			return nil, err
		}
		states[name], documents[name] = state, content
		left -= int64(len(content))
	}
	f.last = states
	return documents, nil
}

func (f *Folder) list() ([]string, error) {
	folder, err := os.Open(f.Path)
	if err != nil {
		return nil, fileError(f.Path, err)
	}
	defer func() { _ = folder.Close() }()
	entries, err := folder.ReadDir(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fileError(f.Path, err)
	}
	if len(entries) > maxFiles {
		return nil, &DocumentError{f.Name(), fmt.Errorf("%w: more than %d files", ErrTooLarge, maxFiles)}
	}
	var names []string
	for _, entry := range entries {
		matches, err := f.matches(entry)
		if err != nil {
			return nil, err
		}
		if matches {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		return nil, &DocumentError{f.Name(), fmt.Errorf("%w: no file in the folder matches", ErrVanished)}
	}
	slices.Sort(names)
	return names, nil
}

func (f *Folder) matches(entry fs.DirEntry) (bool, error) {
	name := entry.Name()
	if name[0] == '.' || entry.IsDir() {
		return false, nil
	}
	if f.Pattern != "" {
		return filepath.Match(f.Pattern, name)
	}
	return isDocument(name), nil
}

// isDocument reports whether a name is one of a document.
func isDocument(name string) bool {
	switch filepath.Ext(name) {
	case ".json", ".yaml", ".yml", ".toml":
		return true
	}
	return false
}

// validate says early what would fail at each look.
func (f *Folder) validate() error {
	if f.Path == "" {
		return errNoPath
	}
	if _, err := filepath.Match(f.Pattern, ""); err != nil {
		return fmt.Errorf("Pattern: %w", err) //nolint:staticcheck // it is the field's name
	}
	return nil
}

const (
	// settledAfter is how old a file's time has to be before it tells anything:
	// file systems count it in ticks of up to two seconds.
	settledAfter = 3 * time.Second
	// readAnyway is how often a file is read although it looks unchanged.
	readAnyway = 30 * time.Second
)

// fileState is what is known of a file, so that it is not read every second.
type fileState struct {
	info    fs.FileInfo
	content []byte
	readAt  time.Time
}

// read returns the content of a regular file.
func (s *fileState) read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	if s.unchanged(info, time.Now()) && int64(len(s.content)) <= limit {
		return s.content, nil
	}
	if !info.Mode().IsRegular() {
		return nil, &DocumentError{filepath.Base(path), ErrNotAFile}
	}
	// It may have become a pipe since, which would keep who opens it waiting.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer func() { _ = file.Close() }()
	readAt := time.Now()
	if info, err = file.Stat(); err != nil {
		return nil, fileError(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &DocumentError{filepath.Base(path), ErrNotAFile}
	}
	content, err := readLimited(file, info.Size(), limit)
	if err != nil {
		return nil, fileError(path, err)
	}
	*s = fileState{info, content, readAt}
	return content, nil
}

func (s *fileState) unchanged(info fs.FileInfo, now time.Time) bool {
	return s.info != nil && os.SameFile(s.info, info) && s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime()) &&
		s.readAt.Sub(info.ModTime()) > settledAfter && now.Sub(s.readAt) < readAnyway
}

// readLimited reads all there is, up to a limit and for a size that is only a
// hint: what is in /proc says 0.
func readLimited(from io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, fmt.Errorf("%w: it has %d bytes, the most is %d", ErrTooLarge, size, limit)
	}
	content := make([]byte, 0, max(min(size, limit), 0)+512)
	for {
		n, err := from.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case int64(len(content)) > limit:
			return nil, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit)
		case errors.Is(err, io.EOF):
			return content, nil
		case err != nil:
			return nil, err
		}
		if len(content) == cap(content) {
			content = slices.Grow(content, len(content))
		}
	}
}

// fileError names the file, and not where it lies, and what is wrong.
func fileError(path string, err error) error {
	name := filepath.Base(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &DocumentError{name, ErrVanished}
	}
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		err = fault.Err
	}
	return &DocumentError{name, err}
}
