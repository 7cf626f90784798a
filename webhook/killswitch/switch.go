package killswitch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Switch is a state that a flag is to be set to, and why.
type Switch struct {
	// ID is the same for each attempt at one switch and different for every other
	// one: up to 128 characters out of A-Z, a-z, 0-9 and "-", fit for a header
	// such as Idempotency-Key.
	ID string
	// Target is the flag.
	Target Target
	// On is the state to set.
	On bool
	// Alert is the name of the alert or monitor that asked for it, as far as it
	// can be printed: at most 100 characters, and none that controls a terminal or
	// turns text around. Whoever may rename an alert in Sentry writes it, so that
	// it must never become part of a statement, a path, a header or a template.
	// Empty when a person asked.
	Alert string
	// Trigger is what happened: Sentry's resource and action
	// ("event_alert.triggered"), or "restore".
	Trigger string
	// By is the person who asked for it. Empty when an alert did.
	By string
	// At is when it was decided.
	At time.Time
}

// Reason says in one line who asked for the switch, for the audit log of a flag
// system: `Sentry alert "Checkout failing" (event_alert.triggered)`. It holds
// foreign text, as Alert does.
func (s Switch) Reason() string {
	if s.By != "" {
		return fmt.Sprintf("%s by %s", s.Trigger, s.By)
	}
	return fmt.Sprintf("Sentry alert %q (%s)", s.Alert, s.Trigger)
}

// Target is a flag, in the words of the toggler that switches it.
//
// In JSON it is one object of strings, "flag" beside the attributes:
//
//	{"flag": "new-checkout", "environment": "production"}
type Target struct {
	// Flag is the flag's name, key or id. Required.
	Flag string
	// Attributes say where the flag is, as far as the flag system wants to know:
	// environment, project, segment. The toggler documents which it takes. None
	// is named "flag".
	Attributes map[string]string
}

// ErrInvalidTarget means that a target cannot be one in any flag system: it has
// no flag, or an attribute without a name.
var ErrInvalidTarget = errors.New("killswitch: invalid target")

// Validate fails with [ErrInvalidTarget]. What names may look like is not its
// business, but the toggler's (see [Validator]).
func (t Target) Validate() error {
	if t.Flag == "" {
		return fmt.Errorf("%w: flag must be set", ErrInvalidTarget)
	}
	for name := range t.Attributes {
		if name == "" || name == "flag" {
			return fmt.Errorf("%w: an attribute cannot be named %q", ErrInvalidTarget, name)
		}
	}
	return nil
}

// String returns the flag and its attributes by name:
// `new-checkout environment=production`. Different targets have different
// strings. Values with spaces, quotes, "=" or anything but printable ASCII are
// quoted.
func (t Target) String() string {
	if len(t.Attributes) == 0 {
		return quoteValue(t.Flag)
	}
	names := slices.AppendSeq(make([]string, 0, len(t.Attributes)), maps.Keys(t.Attributes))
	slices.Sort(names)
	text := append(make([]byte, 0, 64), quoteValue(t.Flag)...)
	for _, name := range names {
		text = append(append(text, ' '), quoteValue(name)...)
		text = append(append(text, '='), quoteValue(t.Attributes[name])...)
	}
	return string(text)
}

func quoteValue(s string) string {
	plain := func(r rune) bool { return r > ' ' && r < 0x7f && r != '"' && r != '=' && r != '\\' }
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

// Equal reports whether both name the same flag in the same place.
func (t Target) Equal(other Target) bool {
	return t.Flag == other.Flag && maps.Equal(t.Attributes, other.Attributes)
}

// MarshalJSON writes one object of strings.
func (t Target) MarshalJSON() ([]byte, error) {
	all := maps.Clone(t.Attributes)
	if all == nil {
		all = map[string]string{}
	}
	all["flag"] = t.Flag
	return json.Marshal(all)
}

// UnmarshalJSON reads one object of strings.
func (t *Target) UnmarshalJSON(text []byte) error {
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf(`%w: it must be an object of strings, as {"flag": "new-checkout", "environment": "production"}`, ErrInvalidTarget)
	}
	*t = Target{Flag: all["flag"]}
	if delete(all, "flag"); len(all) > 0 {
		t.Attributes = all
	}
	return nil
}

// State is the state of a flag.
type State int

// The states.
const (
	StateUnknown State = iota
	StateOff
	StateOn
)

// StateOf returns StateOn or StateOff.
func StateOf(on bool) State {
	if on {
		return StateOn
	}
	return StateOff
}

var stateNames = [...]string{StateUnknown: "unknown", StateOff: "off", StateOn: "on"}

func (s State) known() bool { return s >= 0 && int(s) < len(stateNames) }

// String returns "unknown", "off" or "on".
func (s State) String() string {
	if !s.known() {
		s = StateUnknown
	}
	return stateNames[s]
}

// MarshalText returns what String does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes what MarshalText returns, and anything else, which a later
// version may have written, for StateUnknown.
func (s *State) UnmarshalText(text []byte) error {
	*s = State(max(slices.Index(stateNames[:], string(text)), 0))
	return nil
}
