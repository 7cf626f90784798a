package changes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Flagd reads flagd's flag definitions: JSON or YAML, with the flags as an
// object or as an array, or the operator's FeatureFlag resources that hold them:
// one, a list, or those among several documents of YAML, as kubectl applies
// them. Of other YAML the first document counts, as flagd has it. Its zero value
// is ready to use.
//
// What counts is state, variants, defaultVariant and targeting, the $evaluators
// that targeting refers to, through others too, and the metadata's flagSetId.
// What flagd's own parser refuses is refused here. So are flags that are null, as
// in YAML that breaks off, and a flag in which one of these words stands twice,
// in different case, of which flagd takes the later. Flags whose names differ in
// case are two.
type Flagd struct {
	// FlagSet is the flagSetId of the flags to read, for who evaluates with that
	// selector. Defaults to all: then flags with the same name in several sets
	// are one, which changes when any of them does.
	FlagSet string
}

var _ starter = Flagd{}

// Name implements [Format].
func (f Flagd) Name() string { return "flagd" }

// Rules implements [Format].
func (f Flagd) Rules() string {
	if f.FlagSet == "" {
		return "flagd"
	}
	return "flagd set " + strconv.Quote(f.FlagSet)
}

func (f Flagd) without() string { return "flagd serves no flags from it once it starts" }

// Read implements [Format].
func (f Flagd) Read(name string, content []byte) (Definitions, error) {
	document, err := parse(name, content)
	if err != nil {
		return Definitions{}, err
	}
	found := resourcesIn(document)
	if syntaxOf(name, content) == inYAML && bytes.Contains(content, []byte(flagdKind)) {
		documents, err := parseYAMLs(content)
		if err != nil {
			return Definitions{}, err
		}
		found = resourcesIn(documents...)
	}
	if len(found) == 0 {
		return f.read(document)
	}
	var all Definitions
	for _, resource := range found {
		d, err := f.read(resource.member("spec").member("flagSpec"))
		if err != nil {
			return Definitions{}, fmt.Errorf("%s %q: spec.flagSpec: %w", flagdKind, cut(resource.member("metadata").member("name").text, maxShown), err)
		}
		all.merge(d)
	}
	return all, nil
}

// flagdKind is the kind of the operator's resource, which has a document within.
const flagdKind = "FeatureFlag"

// resourcesIn returns the resources among documents and in lists of them.
func resourcesIn(documents ...value) (found []value) {
	for _, document := range documents {
		switch document.member("kind").text {
		case flagdKind:
			found = append(found, document)
		case "List", flagdKind + "List":
			found = append(found, resourcesIn(document.member("items").items()...)...)
		}
	}
	return found
}

// errNoObject means that a document is something else than an object.
var errNoObject = errors.New("it is not an object")

// Names in flagd's documents, and where fieldsOf puts what they name.
var (
	flagdTop  = []string{"flags", "$evaluators", "metadata"}
	flagdFlag = []string{"key", "state", "variants", "defaultVariant", "targeting", "metadata", "source"}
)

func (f Flagd) read(document value) (Definitions, error) {
	var fields [3]value // as in flagdTop
	if err := fieldsOf(document, flagdTop, fields[:]); err != nil {
		return Definitions{}, err
	}
	flags, shared, metadata := fields[0], fields[1], fields[2]
	r := flagdReader{only: f.FlagSet}
	var err error
	if r.resolve, err = evaluators(shared); err != nil {
		return Definitions{}, err
	}
	set, err := flagSet(metadata, "")
	if err != nil {
		return Definitions{}, fmt.Errorf("metadata: %w", err)
	}
	switch flags.kind {
	case object:
		r.found.flags = make(map[string]definition, len(flags.of.names))
		for name, flag := range flags.members {
			if err := r.flag(name, flag, set); err != nil {
				return Definitions{}, fmt.Errorf("flag %q: %w", cut(name, maxShown), err)
			}
		}
	case array:
		if err := r.list(flags.of.values, set); err != nil {
			return Definitions{}, err
		}
	case null: // which flagd takes for no flags, and YAML is where it breaks off
		return Definitions{}, errors.New(`its "flags" are null; a document without flags says "flags": {}`)
	case nothing:
		return Definitions{}, errors.New(`it has no "flags"; a document without flags says "flags": {}`)
	default:
		return Definitions{}, errors.New(`"flags" is neither an object nor an array`)
	}
	return r.found, nil
}

// fieldsOf picks members of an object by the names that Go's encoding/json
// would take for them, which flagd is built on: whatever their case.
func fieldsOf(v value, wanted []string, found []value) error {
	if v.kind != object {
		return errNoObject
	}
	clear(found)
	for i, name := range v.of.names {
		for at, want := range wanted {
			if name != want && !folds(name, want) {
				continue
			}
			if found[at].kind != nothing {
				return fmt.Errorf("it gives %q twice, in different case", want)
			}
			found[at] = v.of.values[i]
			break
		}
	}
	return nil
}

// folds reports whether a name is want in different case. Most names differ in
// the first letter already. Letters beyond ASCII fold to ASCII in a few cases.
func folds(name, want string) bool {
	if len(name) < len(want) || name[0] < utf8.RuneSelf && name[0]|0x20 != want[0]|0x20 {
		return false
	}
	return strings.EqualFold(name, want)
}

type flagdReader struct {
	only    string
	resolve resolver
	found   Definitions
	sets    map[[2]string]bool // of a list: flags and their sets
}

func (r *flagdReader) list(flags []value, set string) error {
	r.sets = make(map[[2]string]bool, len(flags))
	for i, flag := range flags {
		if flag.kind == null {
			continue
		}
		var fields [7]value
		if err := fieldsOf(flag, flagdFlag, fields[:]); err != nil {
			return fmt.Errorf("flags[%d]: %w", i, err)
		}
		key, err := textIn(fields[0])
		if err != nil {
			return fmt.Errorf("flags[%d]: key: %w", i, err)
		}
		if key == "" {
			r.found.skip("", fmt.Sprintf("flags[%d] has no key", i))
			continue
		}
		if err := r.flag(key, flag, set); err != nil {
			return fmt.Errorf("flags[%d], %q: %w", i, cut(key, maxShown), err)
		}
	}
	return nil
}

func (r *flagdReader) flag(name string, flag value, set string) error {
	if flag.kind == null {
		flag = value{kind: object, of: &composite{}}
	}
	var fields [7]value // as in flagdFlag
	if err := fieldsOf(flag, flagdFlag, fields[:]); err != nil {
		return err
	}
	_, err1 := textIn(fields[0])
	state, err2 := textIn(fields[1])
	defaultVariant, err3 := textIn(fields[3])
	set, err4 := flagSet(fields[5], set)
	_, err5 := textIn(fields[6])
	if err := cmp.Or(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	variants, targeting := fields[2], fields[4]
	if variants.kind > null && variants.kind != object {
		return errors.New("variants is not an object")
	}
	if defaultVariant != "" && variants.member(defaultVariant).kind == nothing {
		return errors.New("its defaultVariant is not one of its variants, so that flagd refuses the document")
	}
	if r.sets != nil {
		if r.sets[[2]string{name, set}] {
			return errors.New("it is there twice")
		}
		r.sets[[2]string{name, set}] = true
	}
	if name == "" {
		r.found.skip("", "a flag has no name")
		return nil
	}
	if r.only != "" && set != r.only {
		return nil
	}
	r.found.addTo(name, definition{
		on:      positionOf(state != "DISABLED"),
		rest:    flagdParts(variants, defaultVariant, targeting, set),
		resolve: r.resolve,
	})
	return nil
}

// flagdParts is what counts of a flag. What means the same is made the same.
func flagdParts(variants value, defaultVariant string, targeting value, set string) value {
	names, values := make([]string, 0, 4), make([]value, 0, 4)
	take := func(name string, v value) { names, values = append(names, name), append(values, v) }
	if defaultVariant != "" {
		take("defaultVariant", textOf(defaultVariant))
	}
	if set != "" {
		take("metadata.flagSetId", textOf(set))
	}
	if targeting.kind > null && (targeting.kind != object || len(targeting.of.names) > 0) {
		take("targeting", targeting)
	}
	if len(variants.items()) > 0 {
		take("variants", variants)
	}
	return value{kind: object, of: &composite{names, values}}
}

// textIn returns a text that may be absent.
func textIn(v value) (string, error) {
	switch v.kind {
	case nothing, null:
		return "", nil
	case str:
		return v.text, nil
	}
	return "", errors.New("something else stands where a text belongs")
}

// flagSet returns the set that metadata puts a flag in.
func flagSet(metadata value, set string) (string, error) {
	switch {
	case metadata.kind <= null:
		return set, nil
	case metadata.kind != object:
		return "", errNoObject
	}
	if id := metadata.member("flagSetId"); id.kind == str {
		return id.text, nil
	}
	return set, nil
}

// evaluators makes the resolver of {"$ref": "name"}.
func evaluators(shared value) (resolver, error) {
	switch {
	case shared.kind <= null:
		return nil, nil
	case shared.kind != object:
		return nil, errors.New("$evaluators is not an object")
	}
	for name, content := range shared.members {
		if content.kind != object && content.kind != array || len(content.items()) == 0 {
			// flagd refuses what is shorter than three characters.
			if b, _ := content.appendJSON(nil, 3); len(b) < 3 {
				return nil, fmt.Errorf("the evaluator %q is empty", cut(name, maxShown))
			}
		}
	}
	return func(v value) (string, value, bool) {
		if len(v.of.names) != 1 || v.of.names[0] != "$ref" || v.of.values[0].kind != str {
			return "", value{}, false
		}
		name := v.of.values[0].text
		content := shared.member(name)
		return name, content, content.kind != nothing
	}, nil
}
