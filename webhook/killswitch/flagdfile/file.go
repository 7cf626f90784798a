package flagdfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxLinks is how many links are followed before they are taken for a loop.
const maxLinks = 40

// resolve follows links to the file itself, so that a rename replaces the file
// and not a link to it.
func resolve(path string) (string, error) {
	if isYAML(path) {
		return "", fmt.Errorf("%w: it is YAML, in which a state has many spellings; convert it to JSON", ErrUnsupported)
	}
	links := 0
	pending := strings.Split(filepath.Clean(path), string(filepath.Separator))
	done := filepath.VolumeName(path) + string(filepath.Separator)
	if filepath.VolumeName(path) != "" {
		pending = pending[1:]
	}
	for len(pending) > 0 {
		name := pending[0]
		pending = pending[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, name)
		info, err := os.Lstat(next)
		if err != nil {
			return "", fmt.Errorf("flagdfile: %w", err)
		}
		if info.Mode()&os.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%w: its links lead in a circle", ErrUnsupported)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", fmt.Errorf("flagdfile: %w", err)
		}
		parts := strings.Split(filepath.Clean(target), string(filepath.Separator))
		if name == "..data" || len(parts) > 0 && parts[0] == "..data" {
			return "", fmt.Errorf("%w: a mount of Kubernetes manages it (%s is a link through ..data), and would undo the edit; switch the flag where the mount comes from", ErrUnsupported, path)
		}
		if filepath.IsAbs(target) {
			done = filepath.VolumeName(target) + string(filepath.Separator)
		}
		pending = append(parts, pending...)
	}
	if isYAML(done) {
		return "", fmt.Errorf("%w: it is a link to YAML; convert that to JSON", ErrUnsupported)
	}
	return done, nil
}

// original is the file as it was read.
type original struct {
	path    string
	file    *os.File
	info    os.FileInfo
	content []byte
	locked  bool
}

// open opens a file for reading, and does not wait for the other end of what is a
// pipe.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|dontWait, 0)
}

func read(path string) (*original, error) {
	file, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("flagdfile: %w", err)
	}
	o := &original{path: path, file: file}
	if err := o.load(); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *original) load() (err error) {
	if o.info, err = o.file.Stat(); err != nil {
		return fmt.Errorf("flagdfile: %w", err)
	}
	if !o.info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no regular file now", ErrMalformed, o.path)
	}
	if o.content, err = io.ReadAll(io.NewSectionReader(o.file, 0, MaxFile+1)); err != nil {
		return fmt.Errorf("flagdfile: %w", err)
	}
	if len(o.content) > MaxFile {
		return fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, MaxFile)
	}
	if !lockIsFile {
		_ = o.file.Close()
	}
	return nil
}

func (o *original) close() {
	_ = o.file.Close()
	if o.locked {
		o.locked = false
		unlock()
	}
}

// lockPause is how long to wait before asking for the lock again.
const lockPause = 2 * time.Millisecond

// lockAndRead reads the file under a lock that other togglers honour. It lasts
// until the file is closed.
func lockAndRead(ctx context.Context, path string) (*original, error) {
	for {
		file, err := open(path)
		if err != nil {
			return nil, fmt.Errorf("flagdfile: %w", err)
		}
		o := &original{path: path, file: file}
		o.locked, err = o.lock()
		locked := o.locked
		if err == nil && locked {
			if err = o.load(); err == nil && o.isSameFile() {
				return o, nil
			}
		}
		o.close()
		if err != nil {
			return nil, err
		}
		if locked {
			continue // another toggler has replaced the file that was locked
		}
		timer := time.NewTimer(lockPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}

// lock locks the file, without waiting for it.
func (o *original) lock() (bool, error) {
	locked, err := lock(o.file)
	if !wantsWriting(err) {
		return locked, err
	}
	file, err := os.OpenFile(o.path, os.O_RDWR|dontWait, 0)
	if err != nil {
		return true, nil // it may be replaced and not written to: the comparison is all there is
	}
	_ = o.file.Close()
	o.file = file
	if locked, err = lock(file); wantsWriting(err) {
		return true, nil
	}
	return locked, err
}

// isSameFile reports whether the path still leads to the file that was read.
func (o *original) isSameFile() bool {
	now, err := os.Lstat(o.path)
	return err == nil && os.SameFile(now, o.info)
}

// isCurrent reports whether the path still leads to what was read.
func (o *original) isCurrent() bool {
	if !o.isSameFile() {
		return false
	}
	content, err := os.ReadFile(o.path)
	return err == nil && bytes.Equal(content, o.content)
}

// errMounted is about a file that a container has as a mount of its own.
var errMounted = fmt.Errorf("%w: it is a mount of its own, which cannot be replaced; mount its folder instead", ErrUnsupported)

// prepared is a new file beside the original one.
type prepared struct{ from, to string }

// prepare writes a file that has the original one's mode, owner and group, and is
// on disk.
func (o *original) prepare(content []byte) (_ *prepared, err error) {
	file, err := os.CreateTemp(filepath.Dir(o.path), "."+filepath.Base(o.path)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("flagdfile: %w", err)
	}
	p := &prepared{from: file.Name(), to: o.path}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			p.discard()
			err = fmt.Errorf("flagdfile: %w", err)
		}
	}()
	// The owner first: changing it clears bits of the mode.
	if err := keepOwner(file, o.info); err != nil {
		return nil, fmt.Errorf("its owner or group cannot be kept: %w", err)
	}
	if err := file.Chmod(o.info.Mode()); err != nil {
		return nil, err
	}
	if _, err := file.Write(content); err != nil {
		return nil, err
	}
	return p, file.Sync()
}

func (p *prepared) discard() { _ = os.Remove(p.from) }

// commit puts the new file in the place of the original one. Once it has
// returned nil, that outlasts a crash.
func (p *prepared) commit() error {
	if err := os.Rename(p.from, p.to); err != nil {
		if isMountPoint(err) {
			return errMounted
		}
		return fmt.Errorf("flagdfile: %w", err)
	}
	// Not every file system lets a folder be flushed; the rename has happened.
	if folder, err := os.Open(filepath.Dir(p.to)); err == nil {
		err = folder.Sync()
		_ = folder.Close()
		if err != nil && !errors.Is(err, os.ErrInvalid) && !isUnsupported(err) {
			return fmt.Errorf("flagdfile: %w", err)
		}
	}
	return nil
}
