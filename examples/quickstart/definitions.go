package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

//go:embed shop.flagd.json
var shippedDefinitions []byte

// definition is one flag of a flag-definition file in flagd's JSON format.
type definition struct {
	State          string         `json:"state"`
	Variants       map[string]any `json:"variants"`
	DefaultVariant string         `json:"defaultVariant,omitempty"`
	Targeting      any            `json:"targeting,omitempty"`
}

// definitions holds the flags of a file by name.
type definitions map[string]definition

const (
	stateEnabled  = "ENABLED"
	stateDisabled = "DISABLED"
)

// loadDefinitions reads a definition file, or the one that is shipped with the
// program if path is empty.
func loadDefinitions(path string) (definitions, error) {
	if path == "" {
		return parseDefinitions(shippedDefinitions)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	flags, err := parseDefinitions(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return flags, nil
}

func parseDefinitions(content []byte) (definitions, error) {
	var file struct {
		Flags definitions `json:"flags"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, atLine(content, err)
	}
	if len(file.Flags) == 0 {
		return nil, errors.New(`no flags: flagd's format has them under "flags"`)
	}
	for _, name := range file.Flags.names() {
		if err := validateName(name); err != nil {
			return nil, err
		}
		if err := file.Flags[name].validate(); err != nil {
			return nil, fmt.Errorf("flag %s: %w", shorten(name), err)
		}
	}
	return file.Flags, nil
}

// validateName refuses names that neither an error nor a change can bear.
func validateName(name string) error {
	switch length := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return errors.New("a flag without a name")
	case length > 200:
		return fmt.Errorf("flag %s: its name has more than 200 characters", shorten(name))
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("flag %s: its name has a character U+0000", shorten(name))
	default:
		return nil
	}
}

// atLine adds to a JSON error the line it is about.
func atLine(content []byte, err error) error {
	offset := int64(-1)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = mismatch.Offset
	}
	if offset < 0 || offset > int64(len(content)) {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(content[:offset], []byte("\n")), err)
}

func (d definition) validate() error {
	if d.State != stateEnabled && d.State != stateDisabled {
		return fmt.Errorf("state %q is neither %s nor %s", d.State, stateEnabled, stateDisabled)
	}
	if len(d.Variants) == 0 {
		return errors.New("no variants")
	}
	kind := d.kind()
	for _, name := range slices.Sorted(maps.Keys(d.Variants)) {
		if other := kindOf(d.Variants[name]); other != kind || kind == kindOther {
			return fmt.Errorf("variant %q: variants are all booleans, all strings, all numbers or all objects", name)
		}
	}
	if _, ok := d.Variants[d.DefaultVariant]; d.DefaultVariant != "" && !ok {
		return fmt.Errorf("defaultVariant %q is not one of the variants", d.DefaultVariant)
	}
	return nil
}

// kind is the type of a flag's values.
type kind int

const (
	kindOther kind = iota
	kindBoolean
	kindString
	kindNumber
	kindObject
)

func kindOf(value any) kind {
	switch value.(type) {
	case bool:
		return kindBoolean
	case string:
		return kindString
	case float64:
		return kindNumber
	case map[string]any:
		return kindObject
	default:
		return kindOther
	}
}

func (d definition) kind() kind {
	for _, value := range d.Variants {
		return kindOf(value)
	}
	return kindOther
}

// names returns the names of the flags in the order in which the shop
// evaluates them.
func (d definitions) names() []string {
	return slices.Sorted(maps.Keys(d))
}

// resolve returns the variant that a flag has for a user and its value, or
// false if the application gets its own default: the flag is disabled, has no
// default variant, or its targeting names a variant that it has not.
func (d definition) resolve(user map[string]any) (value any, variant string, ok bool) {
	if d.State != stateEnabled {
		return nil, "", false
	}
	variant = d.DefaultVariant
	if chosen, err := target(d.Targeting, user); err == nil && chosen != "" {
		variant = chosen
	}
	value, ok = d.Variants[variant]
	return value, variant, ok
}

// boolean returns what the application gets for a boolean flag: the value, or
// its own default, false.
func (d definitions) boolean(name string, visitor user) bool {
	value, _, _ := d[name].resolve(visitor.attributes())
	on, _ := value.(bool)
	return on
}

// booleans returns what the application gets for every boolean flag.
func (d definitions) booleans(visitor user) map[string]bool {
	values := map[string]bool{}
	for name, flag := range d {
		if flag.kind() == kindBoolean {
			values[name] = d.boolean(name, visitor)
		}
	}
	return values
}

// maxFlags is how many flags Sentry wants to see on an error: the newest 100.
const maxFlags = 100

// recorded returns the flags that an error of the visitor should carry, worked
// out without OpenFeature and flagtrack: every boolean flag in the order of
// evaluation.
func (d definitions) recorded(visitor user) []recordedFlag {
	var flags []recordedFlag
	for _, name := range d.names() {
		if d[name].kind() == kindBoolean {
			flags = append(flags, recordedFlag{Flag: name, Result: d.boolean(name, visitor)})
		}
	}
	return flags[max(0, len(flags)-maxFlags):]
}
