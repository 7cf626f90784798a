package gitlog

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Why a history cannot be read, for errors.Is. The error says what to do.
var (
	// ErrInvalidConfig means that a [Config] or a [ReportConfig] cannot work. The
	// error names the field and the rule.
	ErrInvalidConfig = errors.New("gitlog: the configuration is not usable")
	// ErrNoGit means that git is not installed, or not where it was said to be.
	ErrNoGit = errors.New("gitlog: git cannot be run; install it, or say where it is")
	// ErrNoRepository means that the folder is in no repository.
	ErrNoRepository = errors.New("gitlog: this is not in a git repository")
	// ErrUntrusted means that the repository belongs to another user, as it often
	// does in a container, and git does not trust it.
	ErrUntrusted = errors.New("gitlog: git does not trust the repository, which belongs to another user; " +
		"if you do: git config --global --add safe.directory <its folder>")
	// ErrNoCommit means that Before or After is no commit of this copy: it is
	// misspelled, or was never fetched, or the host has dropped it after a push by
	// force.
	ErrNoCommit = errors.New("gitlog: there is no such commit here")
	// ErrShallow means that the copy of the repository ends before the commits that
	// are needed. Fetch more: git fetch --unshallow; in GitHub's checkout action
	// fetch-depth: 0; in GitLab GIT_DEPTH: 0.
	ErrShallow = errors.New("gitlog: this copy of the repository is shallow and does not reach back far enough; " +
		"fetch the rest (git fetch --unshallow; in GitHub's checkout fetch-depth: 0; in GitLab GIT_DEPTH: 0)")
	// ErrNoDocument means that one of the paths is in none of the commits: it is
	// misspelled, or is relative to another folder.
	ErrNoDocument = errors.New("gitlog: there is nothing of that name in any of the commits")

	// ErrLFS means that a document is kept in Git LFS, so that only a pointer to it
	// is in the history.
	ErrLFS = errors.New("gitlog: this is a pointer of Git LFS, and not the document; keep documents in git itself")
	// ErrSubmodule means that a path leads into a submodule, whose history is its
	// own. Run in it.
	ErrSubmodule = errors.New("gitlog: this is in a submodule, which has a history of its own")
	// ErrOutside means that a symbolic link leads out of the repository, or in a
	// circle.
	ErrOutside = errors.New("gitlog: this symbolic link leads to nothing in the repository")
)

// credentials are what a URL in one of git's messages may hold.
var credentials = regexp.MustCompile(`://[^/\s'"@]*@`)

// maxSaid is how much of git's message is shown.
const maxSaid = 300

// said makes an error of what git wrote to its standard error.
func said(command, stderr string, err error) error {
	switch {
	case strings.Contains(stderr, "dubious ownership"), strings.Contains(stderr, "unsafe repository"):
		return ErrUntrusted
	case strings.Contains(stderr, "not a git repository"):
		return ErrNoRepository
	}
	return fmt.Errorf("gitlog: git %s: %s (%w)", command, reason(stderr), err)
}

// reason is the line that says what was wrong, fit to be shown.
func reason(stderr string) string {
	said := ""
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); said == "" || strings.HasPrefix(line, "fatal:") {
			said = line
		}
	}
	said = credentials.ReplaceAllString(said, "://…@")
	said = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, said)
	return string([]rune(said)[:min(len([]rune(said)), maxSaid)])
}
