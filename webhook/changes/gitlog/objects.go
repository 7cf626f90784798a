package gitlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// objects reads what is in the repository: commits, trees and blobs, by their
// ids, from one process.
type objects struct {
	git     *repository
	ctx     context.Context //nolint:containedctx // that of the process, which lives as long
	stop    context.CancelFunc
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	trouble bytes.Buffer
	entries map[string]entry // by tree and name
}

// Kinds of an entry of a tree.
const (
	modeTree   = "40000"
	modeLink   = "120000"
	modeModule = "160000"
)

// entry is what stands under a name. The zero entry is nothing.
type entry struct{ mode, id string }

const (
	// maxObject bounds trees and commits, maxLinkText what a link says.
	maxObject   = 64 << 20
	maxLinkText = 4096
	// maxLinks is how many links lead from one to the next.
	maxLinks = 10
	// maxEntries is how many names are kept at hand.
	maxEntries = 200_000
)

var (
	errMissing = errors.New("gitlog: an object is missing; the repository is damaged (git fsck says how)")
	errObject  = errors.New("gitlog: an object is not what git says that it is; the repository is damaged (git fsck says how)")
)

// tooLong is how many bytes an object has that has too many.
type tooLong int64

func (n tooLong) Error() string { return fmt.Sprintf("it has %d bytes", int64(n)) }

func (r *repository) openObjects(ctx context.Context) (*objects, error) {
	ctx, stop := context.WithCancel(ctx)
	o := &objects{git: r, ctx: ctx, stop: stop, cmd: r.command(ctx, "cat-file", "--batch"), entries: map[string]entry{}}
	err := o.start()
	if err != nil {
		err = r.failure(ctx, "cat-file", "", err)
		stop()
	}
	return o, err
}

func (o *objects) start() error {
	in, err := o.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	o.in, o.out, o.cmd.Stderr = in, bufio.NewReader(out), &o.trouble
	return o.cmd.Start()
}

// close ends the process, which has answered all that it was asked or never will.
func (o *objects) close() {
	o.stop()
	_ = o.in.Close()
	_ = o.cmd.Wait()
}

// object returns the content of one, at most limit bytes.
func (o *objects) object(id, kind string, limit int64) ([]byte, error) {
	_, content, err := o.named(id, kind, limit)
	return content, err
}

// named returns the id of an object with any name, and its content.
func (o *objects) named(name, kind string, limit int64) (id string, content []byte, err error) {
	if strings.ContainsAny(name, "\n\x00") {
		return "", nil, errMissing
	}
	if _, err := io.WriteString(o.in, name+"\n"); err != nil {
		return "", nil, o.broken(err)
	}
	header, err := o.out.ReadString('\n')
	if err != nil {
		return "", nil, o.broken(err)
	}
	if said, ok := strings.CutPrefix(header, name+" "); ok && (said == "missing\n" || said == "ambiguous\n") {
		return "", nil, errMissing
	}
	fields := strings.Fields(header)
	if len(fields) != 3 {
		return "", nil, errObject
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return "", nil, errObject
	}
	if size <= limit {
		content = make([]byte, size)
		_, err = io.ReadFull(o.out, content)
	} else {
		_, err = io.CopyN(io.Discard, o.out, size)
	}
	if err == nil {
		_, err = o.out.Discard(1) // a line feed
	}
	switch {
	case err != nil:
		return "", nil, o.broken(err)
	case fields[1] != kind:
		return "", nil, errObject
	case size > limit:
		return "", nil, tooLong(size)
	}
	return fields[0], content, nil
}

// broken says why the process has ended.
func (o *objects) broken(err error) error {
	_ = o.in.Close()
	if ended := o.cmd.Wait(); ended != nil {
		err = ended
	}
	return o.git.failure(o.ctx, "cat-file", o.trouble.String(), err)
}

// tree calls a function for what a tree has, in git's order, until it returns
// false.
func (o *objects) tree(id string, each func(name string, e entry) bool) error {
	content, err := o.object(id, "tree", maxObject)
	if err != nil {
		return err
	}
	size := len(id) / 2
	for len(content) > 0 {
		mode, rest, ok := bytes.Cut(content, []byte{' '})
		name, rest, ended := bytes.Cut(rest, []byte{0})
		if !ok || !ended || len(rest) < size {
			return errObject
		}
		content = rest[size:]
		if !each(string(name), entry{string(mode), hex.EncodeToString(rest[:size])}) {
			return nil
		}
	}
	return nil
}

// entryOf returns what a tree has under a name.
func (o *objects) entryOf(tree, name string) (entry, error) {
	key := tree + "/" + name
	if found, known := o.entries[key]; known {
		return found, nil
	}
	var found entry
	err := o.tree(tree, func(other string, e entry) bool {
		if other == name {
			found = e
		}
		return other != name
	})
	if err != nil {
		return entry{}, err
	}
	if len(o.entries) > maxEntries {
		clear(o.entries)
	}
	o.entries[key] = found
	return found, nil
}

// at returns what stands under a path, behind symbolic links as well; nothing if
// there is nothing.
func (o *objects) at(root, name string) (entry, error) {
	for range maxLinks {
		found, leads, err := o.walk(root, name)
		if err != nil || leads == "" {
			return found, err
		}
		name = leads
	}
	return entry{}, ErrOutside
}

// walk goes down a path. If it meets a symbolic link it returns the path that
// this leads to instead.
func (o *objects) walk(root, name string) (found entry, leads string, err error) {
	found = entry{modeTree, root}
	if name == "." {
		return found, "", nil
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if found.mode != modeTree {
			return entry{}, "", nil
		}
		if found, err = o.entryOf(found.id, part); err != nil {
			return entry{}, "", err
		}
		switch found.mode {
		case "":
			return entry{}, "", nil
		case modeModule:
			return entry{}, "", ErrSubmodule
		case modeLink:
			leads, err = o.link(found.id, path.Join(parts[:i]...), path.Join(parts[i+1:]...))
			return entry{}, leads, err
		}
	}
	return found, "", nil
}

// link returns the path behind a link in a folder.
func (o *objects) link(id, folder, rest string) (string, error) {
	text, err := o.object(id, "blob", maxLinkText)
	if err != nil {
		if _, long := errors.AsType[tooLong](err); long {
			return "", ErrOutside
		}
		return "", err
	}
	leads := path.Join(folder, string(text), rest)
	if path.IsAbs(string(text)) || len(text) == 0 || leads == ".." || strings.HasPrefix(leads, "../") {
		return "", ErrOutside
	}
	return leads, nil
}
