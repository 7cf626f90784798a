package flagdfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// MaxFile is the largest file in bytes: 16 MiB.
const MaxFile = 16 << 20

// Why a flag is not switched. Those that a repetition cannot mend are
// [killswitch.Final].
var (
	// ErrUnsupported means that the file is one that must not be edited here: YAML,
	// or managed by a mount. Final.
	ErrUnsupported = errors.New("flagdfile: the file is not edited here")
	// ErrNotFound means that the file has no such flag. Final.
	ErrNotFound = errors.New("flagdfile: there is no such flag")
	// ErrAmbiguous means that several flags have that key. Final.
	ErrAmbiguous = errors.New("flagdfile: there is more than one such flag")
	// ErrNoState means that the flag has no state, or one that is no string. Add
	// "state": "ENABLED", as flagd's schema requires. Final.
	ErrNoState = errors.New("flagdfile: the flag has no state")
	// ErrInvalidTarget means that the target has an attribute other than
	// flagSetId. Final.
	ErrInvalidTarget = errors.New("flagdfile: invalid target")
	// ErrMalformed means that the file is not a JSON document with flags, has more
	// than MaxFile bytes, or is no file but a folder or a pipe. It may be in the
	// middle of being written or replaced.
	ErrMalformed = errors.New("flagdfile: the file is not a flag definition in JSON")
	// ErrBusy means that the file changed again and again while it was edited.
	ErrBusy = errors.New("flagdfile: others keep changing the file")
)

// Toggler switches the flags of one file. A target's Flag is the flag's key; its
// attribute flagSetId is wanted only where several flags have that key. It is
// safe for concurrent use, and several may edit one file.
type Toggler struct {
	path   string
	settle time.Duration
	// beforeRename, in tests, is called when all is ready.
	beforeRename func()
}

var (
	_ killswitch.Toggler   = (*Toggler)(nil)
	_ killswitch.Validator = (*Toggler)(nil)
	_ killswitch.Checker   = (*Toggler)(nil)
)

// New makes a toggler for the file at path. It fails with [ErrUnsupported] for a
// file that must not be edited here. The file need not be there yet.
func New(path string) (*Toggler, error) {
	if path == "" {
		return nil, fmt.Errorf("%w: it has no name", ErrUnsupported)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("flagdfile: %w", err)
	}
	if _, err := resolve(absolute); errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	return &Toggler{path: absolute, settle: settle}, nil
}

// Validate fails with [ErrInvalidTarget] or [killswitch.ErrInvalidTarget]. Any
// key is a legal one.
func (t *Toggler) Validate(target killswitch.Target) error {
	if err := target.Validate(); err != nil {
		return err
	}
	for name := range target.Attributes {
		if name != flagSetID {
			return fmt.Errorf("%w: %q is not used; only %s may be", ErrInvalidTarget, name, flagSetID)
		}
	}
	return nil
}

// Check does all that a switch of each target would do but the rename: it locks
// and reads the file, finds the flags, and writes a file beside it, which it
// removes. On Linux it finds out whether the file is a mount of its own, over
// which nothing can be renamed.
func (t *Toggler) Check(ctx context.Context, targets ...killswitch.Target) error {
	path, err := resolve(t.path)
	if err != nil {
		return err
	}
	original, err := lockAndRead(ctx, path)
	if err != nil {
		return err
	}
	defer original.close()
	var wrong []error
	if isMounted(path) {
		wrong = append(wrong, errMounted)
	}
	for _, target := range targets {
		err := t.Validate(target)
		if err == nil {
			_, err = locate(original.content, target)
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	prepared, err := original.prepare(original.content)
	if err != nil {
		return errors.Join(append(wrong, err)...)
	}
	prepared.discard()
	return errors.Join(append(wrong, ctx.Err())...)
}

const (
	// attempts is how often an edit is made anew because others changed the file.
	attempts = 100
	// settle is for how long another program may have been at an edit of its own
	// that began before ours, and that undoes it.
	settle = 200 * time.Millisecond
)

// Toggle sets the state of a flag. It waits for other togglers of the same file
// until ctx ends, and looks again 200 milliseconds later whether another program
// has written back what it had read before: then it sets the state anew.
func (t *Toggler) Toggle(ctx context.Context, s killswitch.Switch) (was killswitch.State, err error) {
	if err := t.Validate(s.Target); err != nil {
		return killswitch.StateUnknown, killswitch.Final(err)
	}
	for range attempts {
		if ctx.Err() != nil {
			return was, ctx.Err()
		}
		found, done, err := t.try(ctx, s)
		if was == killswitch.StateUnknown && (done || err != nil) {
			was = found // later ones may be another's copy, or our own doing
		}
		if err != nil {
			if errors.Is(err, ErrUnsupported) {
				err = killswitch.Final(err)
			}
			return was, err
		}
		if done && (found == killswitch.StateOf(s.On) || t.stays(ctx, s)) {
			return was, nil
		}
	}
	return was, ErrBusy
}

// stays reports whether an edit is still there a little later. One whose time is
// over counts, for it was made.
func (t *Toggler) stays(ctx context.Context, s killswitch.Switch) bool {
	timer := time.NewTimer(t.settle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
	}
	path, err := resolve(t.path)
	if err != nil {
		return false
	}
	original, err := read(path)
	if err != nil {
		return false
	}
	defer original.close()
	found, err := locate(original.content, s.Target)
	return err == nil && found.was() == killswitch.StateOf(s.On)
}

// try makes one edit. It is not done if the file changed meanwhile.
func (t *Toggler) try(ctx context.Context, s killswitch.Switch) (was killswitch.State, done bool, err error) {
	path, err := resolve(t.path)
	if err != nil {
		return was, false, err
	}
	original, err := lockAndRead(ctx, path)
	if err != nil {
		return was, false, err
	}
	defer original.close()
	edited, was, err := edit(original.content, s.Target, s.On)
	if err != nil {
		return was, false, err
	}
	if bytes.Equal(edited, original.content) {
		return was, original.isCurrent(), nil
	}
	prepared, err := original.prepare(edited)
	if err != nil {
		return was, false, err
	}
	defer prepared.discard()
	if t.beforeRename != nil {
		t.beforeRename()
	}
	if !original.isCurrent() {
		return was, false, nil
	}
	return was, true, prepared.commit()
}

// isYAML reports whether flagd would read a file of that name as YAML.
func isYAML(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return true
	}
	return false
}
