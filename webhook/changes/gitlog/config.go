package gitlog

import (
	"cmp"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// Config says which part of which history is read.
type Config struct {
	// Dir is a folder in the repository, or a bare repository. Defaults to the
	// current folder, and then git's own variables, GIT_DIR and so on, count, as
	// in a hook.
	Dir string

	// Before and After are the commits between which changes are looked for: what
	// the branch was before, and what it is now. Any name of a commit will do.
	// Both are required. A Before of zeros only, which is how the hosts of
	// repositories say that the branch is new, finds nothing: what a new branch
	// has is what changes are counted from.
	Before, After string

	// Paths are the files and folders that have the definitions, relative to Dir,
	// with slashes. Of a folder it is what [changes.Folder] reads: the files in it
	// that end in .json, .yaml, .yml or .toml, without those in folders within.
	// They are taken literally, not as patterns. At least one is required.
	Paths []string

	// Format reads them. Required.
	Format changes.Format

	// MergedAuthor names as the author of what a merge changed not who merged,
	// but who wrote it: of those commits that were merged and that changed the
	// flag, the author of the last. Defaults to false.
	MergedAuthor bool

	// Name is the author, of type name, where git knows none. Defaults to "git".
	Name string

	// Limit is the most bytes of all documents of one commit together. Defaults to
	// [changes.DefaultLimit].
	Limit int64

	// Timeout bounds the whole of [Read]. Defaults to 5 minutes.
	Timeout time.Duration

	// Git is the program to run. Defaults to "git", along the PATH.
	Git string
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "git")
	c.Limit = cmp.Or(c.Limit, changes.DefaultLimit)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Minute)
	c.Git = cmp.Or(c.Git, "git")
	return c
}

func (c Config) validate() error {
	switch {
	case c.Before == "":
		return invalid("Before", "is empty; if it comes from a variable, that is not set for this event")
	case c.After == "":
		return invalid("After", "is empty; if it comes from a variable, that is not set for this event")
	case c.Before[0] == '-' || c.After[0] == '-':
		return invalid("Before and After", "must not begin with a hyphen")
	case len(c.Paths) == 0:
		return invalid("Paths", "must name a file or a folder")
	case c.Format == nil:
		return invalid("Format", "must be set")
	case c.Limit < 0 || c.Timeout < 0:
		return invalid("Limit and Timeout", "must not be negative")
	case utf8.RuneCountInString(c.Name) > webhook.MaxAuthorID || !utf8.ValidString(c.Name):
		return invalid("Name", fmt.Sprintf("has to be at most %d code points of valid UTF-8", webhook.MaxAuthorID))
	}
	return nil
}

func invalid(field, rule string) error {
	return fmt.Errorf("%w: %s %s", ErrInvalidConfig, field, rule)
}
