package gitlog

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// document is a file of definitions in a commit.
type document struct{ name, id string }

// state is what the documents of a commit say.
type state struct {
	documents   []document
	definitions changes.Definitions
	err         error // why they say nothing
}

// reader reads the documents of one commit after the other.
type reader struct {
	*repository
	last *state
}

// read returns what the documents of a tree under these names say. Its error is
// git's; what is wrong with the documents is in the state.
func (r *reader) read(ctx context.Context, tree string, names []string) (*state, error) {
	documents, err := r.documents(tree, names)
	if isDocuments(err) {
		return &state{err: err}, nil
	}
	if err != nil {
		return nil, err
	}
	if r.last != nil && slices.Equal(r.last.documents, documents) {
		return r.last, nil
	}
	s := &state{documents: documents}
	if len(documents) > 0 { // without any there are no flags
		s.definitions, s.err = changes.Read(ctx, r.source(documents), r.config.Format)
		if git, ok := errors.AsType[*gitError](s.err); ok {
			return nil, git.err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	r.last = s
	return s, nil
}

// isDocuments reports whether an error says what is wrong with documents.
func isDocuments(err error) bool {
	_, ok := errors.AsType[*changes.DocumentError](err)
	return ok
}

// gitError is one that is no fault of a document.
type gitError struct{ err error }

func (e *gitError) Error() string { return e.err.Error() }

// source reads the contents of documents.
func (r *reader) source(documents []document) changes.Source {
	return changes.SourceFunc("git", func(context.Context) (map[string][]byte, error) {
		contents, left := map[string][]byte{}, r.config.Limit
		for _, d := range documents {
			content, err := r.object(d.id, "blob", left)
			if long, ok := errors.AsType[tooLong](err); ok {
				return nil, &changes.DocumentError{Document: d.name, Err: fmt.Errorf("%w: %w, and %d is the most for all", changes.ErrTooLarge, long, r.config.Limit)}
			}
			if err != nil {
				return nil, &gitError{err}
			}
			if isPointer(content) {
				return nil, &changes.DocumentError{Document: d.name, Err: ErrLFS}
			}
			contents[d.name] = content
			left -= int64(len(content))
		}
		return contents, nil
	})
}

// isPointer reports whether a file is what Git LFS leaves in the place of one.
func isPointer(content []byte) bool {
	return len(content) < 1024 && strings.HasPrefix(string(content), "version https://git-lfs.github.com/spec/")
}

// documents lists the files under these names: the files themselves, and those
// in folders.
func (o *objects) documents(tree string, names []string) ([]document, error) {
	var documents []document
	for _, name := range names {
		found, err := o.at(tree, name)
		switch {
		case errors.Is(err, ErrSubmodule), errors.Is(err, ErrOutside):
			return nil, &changes.DocumentError{Document: name, Err: err}
		case err != nil:
			return nil, err
		case found.mode == modeTree:
			within, err := o.folder(tree, found.id, name)
			if err != nil {
				return nil, err
			}
			documents = append(documents, within...)
		case found.mode != "":
			documents = append(documents, document{name, found.id})
		}
	}
	slices.SortFunc(documents, func(a, b document) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(documents), nil // a file may be named beside its folder
}

// folder lists the documents in a folder.
func (o *objects) folder(root, id, name string) ([]document, error) {
	var documents []document
	var links []string
	err := o.tree(id, func(file string, e entry) bool {
		switch {
		case !isDocument(file):
		case e.mode == modeLink:
			links = append(links, path.Join(name, file))
		case e.mode != modeTree && e.mode != modeModule:
			documents = append(documents, document{path.Join(name, file), e.id})
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		found, err := o.at(root, link)
		if errors.Is(err, ErrSubmodule) || errors.Is(err, ErrOutside) {
			return nil, &changes.DocumentError{Document: link, Err: err}
		}
		if err != nil {
			return nil, err
		}
		if found.mode != "" && found.mode != modeTree {
			documents = append(documents, document{link, found.id})
		}
	}
	return documents, nil
}

// isDocument is which files of a folder count, as in changes.Folder.
func isDocument(file string) bool {
	if file == "" || file[0] == '.' {
		return false
	}
	switch path.Ext(file) {
	case ".json", ".yaml", ".yml", ".toml":
		return true
	}
	return false
}
