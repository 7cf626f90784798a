package changes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// KeyedFormat reads documents of the shape that most flag products publish: the
// flags stand at a known place, as an object by name or as an array of objects
// that have their name within. Make it with [Keyed].
type KeyedFormat struct {
	product   string
	places    []string
	name      steps
	ignored   []steps
	position  steps
	shared    []sharedParts
	overrides []override
}

// Keyed returns the format of a document whose flags stand at pointer, a JSON
// pointer ("" for the document itself, "/features" for a member of it): as an
// object by name if name is empty; otherwise as an array, and name is where each
// flag's name stands within it ("key", "feature/name").
//
// All that a flag has counts, except what stands at one of the paths to ignore
// ("description", "strategies/*/title"), where "*" stands for every item or
// member. The segments of a document count once they are named by
// [KeyedFormat.Shared] or [KeyedFormat.Overrides]; segments that are kept
// elsewhere no difference can see.
//
//	ConfigCat    Keyed("/f", "").Shared("/s", "", "s")
//	Flipt        Keyed("/flags", "key", "name", "description", "metadata").Shared("/segments", "key", "segment", "segments", "keys")
//	Featurevisor Keyed("/features", "").Shared("/segments", "", "segments", "and", "or", "not")
//	Flagsmith    Keyed("/feature_states", "feature/name", "id", "django_id", "featurestate_uuid").Overrides("/project/segments", "feature_states/*/feature/name")
//	GrowthBook   Keyed("/features", "").Shared("/savedGroups", "", "$inGroup", "$notInGroup")
//	LaunchDarkly Keyed("/flags", "", "version").Also("/flagValues").Shared("/segments", "", "values")
//	PostHog      Keyed("/flags", "key", "id", "name", "version").Shared("/cohorts", "", "value")
//	Unleash      Keyed("/features", "name", "description", "lastSeenAt").Shared("/segments", "id", "segments")
func Keyed(pointer, name string, ignore ...string) KeyedFormat {
	f := KeyedFormat{product: "keyed", places: []string{pointer}, name: stepsOf(name)}
	for _, path := range ignore {
		f.ignored = append(f.ignored, stepsOf(path))
	}
	return f
}

// Called returns the format under the name of a product, which appears in the
// names of sources, as in "unleash:features.json". Defaults to "keyed".
func (f KeyedFormat) Called(product string) KeyedFormat {
	f.product = product
	return f
}

// Also returns the format of documents that have flags at another pointer, too,
// in the same way. One of the places may be missing.
func (f KeyedFormat) Also(pointer string) KeyedFormat {
	f.places = append(slices.Clone(f.places), pointer)
	return f
}

// Switch returns the format with the place where a flag says that it is on: a
// boolean at path within the flag ("enabled"). [Watcher.Own] needs it.
func (f KeyedFormat) Switch(path string) KeyedFormat {
	f.position = stepsOf(path)
	return f
}

// Shared returns the format with parts that several flags share, segments in
// most products: what stands at pointer, as an object by name or as an array of
// objects with their name at the path name (an array without is counted from 0).
// A part counts for each flag that refers to it, through other parts too: that
// has the part's name as the value, or within a list that is the value, of a
// member called one of by.
func (f KeyedFormat) Shared(pointer, name string, by ...string) KeyedFormat {
	f.shared = append(slices.Clone(f.shared), sharedParts{pointer, stepsOf(name), by})
	return f
}

// Overrides returns the format with parts that name flags: each item or member
// at pointer counts for the flags whose names stand at path within it.
func (f KeyedFormat) Overrides(pointer, path string) KeyedFormat {
	f.overrides = append(slices.Clone(f.overrides), override{pointer, stepsOf(path)})
	return f
}

type sharedParts struct {
	pointer string
	name    steps
	by      []string
}

type override struct {
	pointer string
	flags   steps
}

// Name implements [Format].
func (f KeyedFormat) Name() string { return f.product }

// Rules implements [Format].
func (f KeyedFormat) Rules() string {
	return fmt.Sprintf("keyed %q %q %q %q %q %q", f.places, f.name, f.ignored, f.position, f.shared, f.overrides)
}

// Read implements [Format].
func (f KeyedFormat) Read(name string, content []byte) (Definitions, error) {
	document, err := parse(name, content)
	if err != nil {
		return Definitions{}, err
	}
	found := Definitions{}
	r := keyedReader{KeyedFormat: f, parts: f.partsOf(document), overridden: f.overriddenIn(document), within: map[partName][]partName{}}
	missing := 0
	for _, pointer := range f.places {
		at := document.at(pointer)
		if at.kind <= null { // YAML that breaks off has null there
			missing++
			continue
		}
		if err := r.read(&found, pointer, at); err != nil {
			return Definitions{}, err
		}
	}
	if missing == len(f.places) {
		return Definitions{}, fmt.Errorf("there is nothing at %q; a document without flags says {} or [] there", f.places[0])
	}
	return found, nil
}

// keyedReader reads a document, with what its flags share.
type keyedReader struct {
	KeyedFormat
	parts      map[partName]value
	overridden map[string][]value
	within     map[partName][]partName // what parts refer to, as far as was asked
}

func (f *keyedReader) read(found *Definitions, pointer string, at value) error {
	switch {
	case at.kind == array && f.name != nil:
	case at.kind == object && f.name == nil:
	default:
		return fmt.Errorf("the flags at %q are not as the format says, an object by name or an array", pointer)
	}
	if found.flags == nil {
		found.flags = make(map[string]definition, len(at.of.values))
	}
	for i, flag := range at.of.values {
		name, ok := "", true
		if f.name == nil {
			name = at.of.names[i]
		} else {
			name, ok = f.name.text(flag)
		}
		if name == "" || !ok {
			found.skip("", fmt.Sprintf("%s/%d has no name", pointer, i))
			continue
		}
		def := definition{}
		def.rest, def.beside = f.rest(flag, f.overridden[name])
		if f.position != nil {
			switch f.position.first(flag).kind {
			case boolTrue:
				def.on = on
			case boolFalse:
				def.on = off
			}
		}
		if err := found.add(name, def); err != nil {
			return err
		}
	}
	return nil
}

// rest is what counts of a flag, and of what is beside it in the document.
func (f *keyedReader) rest(flag value, overrides []value) (rest, beside value) {
	if f.position != nil && f.position.first(flag).isBool() {
		flag = flag.without(f.position)
	}
	for _, path := range f.ignored {
		flag = flag.without(path)
	}
	var with members
	for _, name := range f.follow(flag) {
		with.put(f.shared[name.of].pointer+"/"+name.name, f.parts[name])
	}
	for i, o := range overrides {
		with.put(fmt.Sprintf("overrides/%d", i), o)
	}
	if len(with.names) > 0 {
		beside = with.object()
	}
	return flag, beside
}

func (v value) isBool() bool { return v.kind == boolTrue || v.kind == boolFalse }

// partName is the name of a shared part, and which of the kinds it is.
type partName struct {
	of   int
	name string
}

func (f KeyedFormat) partsOf(document value) map[partName]value {
	parts := map[partName]value{}
	for kind, shared := range f.shared {
		at := document.at(shared.pointer)
		for i, part := range at.items() {
			name, ok := strconv.Itoa(i), true
			switch {
			case at.kind == object:
				name = at.of.names[i]
			case shared.name != nil:
				name, ok = shared.name.text(part)
			}
			if ok {
				parts[partName{kind, name}] = part
			}
		}
	}
	return parts
}

// manyParts is from how many on a map is quicker than a list.
const manyParts = 16

// follow collects the shared parts that a flag refers to, each once, so that
// circles end.
func (f *keyedReader) follow(flag value) (used []partName) {
	if len(f.parts) == 0 {
		return nil
	}
	var known map[partName]bool
	found := func(name partName) {
		if _, ok := f.parts[name]; !ok || known[name] || len(known) == 0 && slices.Contains(used, name) {
			return
		}
		if used = append(used, name); len(used) == manyParts {
			known = make(map[partName]bool, 2*manyParts)
			for _, name := range used {
				known[name] = true
			}
		} else if known != nil {
			known[name] = true
		}
	}
	f.references(flag, found)
	for next := 0; next < len(used); next++ {
		for _, name := range f.referencesWithin(used[next]) {
			found(name)
		}
	}
	return used
}

// referencesWithin returns what a part refers to itself.
func (f *keyedReader) referencesWithin(part partName) []partName {
	names, asked := f.within[part]
	if !asked {
		seen := map[partName]bool{part: true}
		f.references(f.parts[part], func(name partName) {
			if _, ok := f.parts[name]; ok && !seen[name] {
				seen[name], names = true, append(names, name)
			}
		})
		f.within[part] = names
	}
	return names
}

// references calls found with each name that a value may refer to a part by.
func (f KeyedFormat) references(v value, found func(partName)) {
	for i := range v.items() {
		member := &v.of.values[i]
		if member.of != nil {
			f.references(*member, found)
		}
		if v.kind != object {
			continue
		}
		for kind, shared := range f.shared {
			if !slices.Contains(shared.by, v.of.names[i]) {
				continue
			}
			for reference := range member.scalars {
				found(partName{kind, reference})
			}
		}
	}
}

// scalars yields a text or a number, or those in a list, as names.
func (v value) scalars(yield func(string) bool) {
	switch v.kind {
	case str, number:
		yield(v.text)
	case array:
		for _, item := range v.of.values {
			if (item.kind == str || item.kind == number) && !yield(item.text) {
				return
			}
		}
	}
}

func (f KeyedFormat) overriddenIn(document value) map[string][]value {
	overridden := map[string][]value{}
	for _, o := range f.overrides {
		for _, item := range document.at(o.pointer).items() {
			for _, flag := range o.flags.all(item, nil) {
				if list := overridden[flag.text]; flag.kind == str && (len(list) == 0 || !list[len(list)-1].equal(item)) {
					overridden[flag.text] = append(list, item)
				}
			}
		}
	}
	return overridden
}

// steps lead to where something stands within a flag. Nil is no place at all.
type steps []string

func stepsOf(s string) steps {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimPrefix(s, "/"), "/")
}

// at returns what stands at a JSON pointer. Nothing if there is nothing.
func (v value) at(pointer string) value {
	for _, step := range stepsOf(pointer) {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		v = v.step(step)
	}
	return v
}

func (v value) step(step string) value {
	if v.kind != array {
		return v.member(step)
	}
	if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(v.of.values) {
		return v.of.values[i]
	}
	return value{}
}

// all returns what stands at the path, once for each item that "*" stands for.
func (p steps) all(v value, found []value) []value {
	switch {
	case v.kind == nothing:
		return found
	case len(p) == 0:
		return append(found, v)
	case p[0] != "*":
		return p[1:].all(v.step(p[0]), found)
	}
	for _, item := range v.items() {
		found = p[1:].all(item, found)
	}
	return found
}

func (p steps) first(v value) value {
	if !slices.Contains(p, "*") {
		for _, step := range p {
			v = v.step(step)
		}
		return v
	}
	if found := p.all(v, nil); len(found) > 0 {
		return found[0]
	}
	return value{}
}

// text returns the name that stands at the path.
func (p steps) text(v value) (string, bool) {
	switch name := p.first(v); name.kind {
	case str, number:
		return name.text, true
	}
	return "", false
}

// without returns the value without what stands at the path.
func (v value) without(p steps) value {
	if v.of == nil || len(p) == 0 || p.first(v).kind == nothing {
		return v
	}
	left := value{kind: v.kind, of: &composite{values: make([]value, 0, len(v.of.values))}}
	if v.kind == object {
		left.of.names = make([]string, 0, len(v.of.values))
	}
	for i, item := range v.of.values {
		here := p[0] == "*" || v.kind == object && v.of.names[i] == p[0] || v.kind == array && strconv.Itoa(i) == p[0]
		if here && len(p) == 1 {
			continue
		}
		if here {
			item = item.without(p[1:])
		}
		if v.kind == object {
			left.of.names = append(left.of.names, v.of.names[i])
		}
		left.of.values = append(left.of.values, item)
	}
	return left
}

var errNoPointer = errors.New("changes: a pointer begins with a slash, or is empty")

// validate finds what can never be read.
func (f KeyedFormat) validate() error {
	pointers := slices.Clone(f.places)
	for _, shared := range f.shared {
		pointers = append(pointers, shared.pointer)
	}
	for _, o := range f.overrides {
		pointers = append(pointers, o.pointer)
	}
	for _, pointer := range pointers {
		if pointer != "" && pointer[0] != '/' {
			return fmt.Errorf("%w: %q", errNoPointer, pointer)
		}
	}
	if len(f.places) == 0 {
		return errors.New("changes: a KeyedFormat is made with Keyed")
	}
	return nil
}
