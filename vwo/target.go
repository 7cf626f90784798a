package vwo

import (
	"errors"
	"fmt"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// MaxName is the longest environment or feature name, in bytes.
const MaxName = 200

// ErrInvalidName means that an environment, a feature or an account cannot be
// one: it is not 1 to 200 characters out of A-Z, a-z, 0-9, "_" and "-". Any
// other character could name another resource of VWO's API (".." would).
var ErrInvalidName = errors.New("vwo: invalid name")

// Target is a feature flag in one environment.
type Target struct {
	// Environment is its id, or its SDK key.
	Environment string
	// Feature is its id, or its key.
	Feature string
}

// validate fails with ErrInvalidName.
func (t Target) validate() error {
	return errors.Join(checkName("environment", t.Environment), checkName("feature", t.Feature))
}

func checkName(kind, name string) error {
	if name == "" {
		return fmt.Errorf("%w: the %s is empty", ErrInvalidName, kind)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%w: the %s %s has %d characters, at most %d are allowed", ErrInvalidName, kind, visible.Quote(name), len(name), MaxName)
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return fmt.Errorf("%w: the %s %s has a character other than A-Z, a-z, 0-9, _ and -", ErrInvalidName, kind, visible.Quote(name))
		}
	}
	return nil
}
