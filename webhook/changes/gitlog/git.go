package gitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"
)

// repository runs git in one.
type repository struct {
	config  Config
	env     []string
	prefix  string // of Dir within the repository
	shallow bool
	*objects
}

// of the repository, which must not lead elsewhere when a folder is given.
var local = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE",
	"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE",
}

// environment is what git runs in: ours, in a language that we understand, and
// without what can change what a commit says or ask somebody a question.
func environment(config Config) []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return config.Dir != "" && slices.Contains(local, name)
	})
	return append(env, "LC_ALL=C", "LANGUAGE=", "GIT_NO_REPLACE_OBJECTS=1", "GIT_GRAFT_FILE="+os.DevNull+"/none",
		"GIT_LITERAL_PATHSPECS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
}

func open(ctx context.Context, config Config) (*repository, error) {
	r := &repository{config: config, env: environment(config)}
	// Bare repositories have no prefix.
	out, err := r.run(ctx, "rev-parse", "--is-shallow-repository", "--show-prefix")
	if err != nil {
		return nil, err
	}
	shallow, prefix, _ := strings.Cut(string(out), "\n")
	r.shallow, r.prefix = shallow == "true", strings.TrimSuffix(prefix, "\n")
	if r.objects, err = r.openObjects(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// command prepares a call of git. Hooks and monitors do not run for what is
// called here; should a later git think otherwise, they are switched off.
func (r *repository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.config.Git, append([]string{"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false"}, args...)...)
	cmd.Dir, cmd.Env = r.config.Dir, r.env
	cmd.WaitDelay = time.Second // for what it has started itself
	return cmd
}

// run returns what git writes.
func (r *repository) run(ctx context.Context, args ...string) ([]byte, error) {
	var out, trouble bytes.Buffer
	cmd := r.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &trouble
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	return nil, r.failure(ctx, args[0], trouble.String(), err)
}

// failure says why a call of git failed.
func (r *repository) failure(ctx context.Context, command, stderr string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("gitlog: git %s took too long or was stopped: %w", command, cause)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok || errors.Is(err, exec.ErrWaitDelay) {
		if ok && exit.ExitCode() == 1 && command == "merge-base" {
			return errNo
		}
		return said(command, stderr, err)
	}
	if info, e := os.Stat(r.config.Dir); r.config.Dir != "" && (e != nil || !info.IsDir()) {
		return fmt.Errorf("%w: %w", ErrNoRepository, cmpErr(e, errNoFolder))
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrDot) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrNoGit, err)
	}
	return fmt.Errorf("gitlog: git %s: %w", command, err)
}

var (
	// errNo is git's answer to a question.
	errNo       = errors.New("gitlog: git says no")
	errNoFolder = errors.New("it is not a folder")
)

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// resolve returns the commit of that name, as raw does.
func (r *repository) resolve(field, name string) (commit, error) {
	c, err := r.raw(name + "^{commit}")
	switch {
	case err == nil && c.second == noDate:
		return commit{}, dateless(c.id)
	case !errors.Is(err, errMissing):
		return c, err
	case isID(name) && r.shallow:
		return commit{}, fmt.Errorf("%w: %s, %s, is not in it", ErrShallow, field, name)
	case isID(name):
		return commit{}, fmt.Errorf("%w: %s, %s; fetch it (git fetch origin %s), or, if it is gone after a push by force, name another one", ErrNoCommit, field, name, name)
	}
	if r.shallow {
		return commit{}, fmt.Errorf("%w: %s, %q; this copy is shallow: fetch the rest (git fetch --unshallow) if it is a commit before these", ErrNoCommit, field, name)
	}
	return commit{}, fmt.Errorf("%w: %s, %q", ErrNoCommit, field, name)
}

// isID reports whether a name is that of an object, in full.
func isID(name string) bool {
	return (len(name) == 40 || len(name) == 64) && strings.Trim(name, "0123456789abcdefABCDEF") == ""
}

// isZero reports whether a name says that there was no commit.
func isZero(name string) bool { return isID(name) && strings.Trim(name, "0") == "" }

// isAncestor reports whether one commit is in the history of another, or the
// same.
func (r *repository) isAncestor(ctx context.Context, one, other string) (bool, error) {
	_, err := r.run(ctx, "merge-base", "--is-ancestor", one, other)
	if errors.Is(err, errNo) {
		return false, nil
	}
	return err == nil, err
}

// inside is a path of the configuration as it stands in the repository.
func (r *repository) inside(given string) (string, error) {
	if path.IsAbs(given) || given == "" {
		return "", invalid("Paths", fmt.Sprintf("are relative to the folder, and %q is not", given))
	}
	name := path.Join(r.prefix, given)
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", invalid("Paths", fmt.Sprintf("have to be in the repository, and %q is not", given))
	}
	return name, nil
}
