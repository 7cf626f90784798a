package changes

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Format reads the documents of a flag system into definitions. [Flagd],
// [GoFeatureFlag] and what [Keyed] returns are formats; one of your own makes
// its definitions with [Definitions.Add].
//
// It takes JSON, YAML and, where the flag system does, TOML: which, the name's
// extension says, or else the first character of the content.
type Format interface {
	// Name is what the flag system is called in names, as in
	// "flagd:checkout.json".
	Name() string
	// Rules says what is read and what counts. It is kept with each snapshot,
	// and a snapshot under other rules is a new baseline: change it when the same
	// document gives other digests than before. At most 1,000 bytes.
	Rules() string
	// Read returns the definitions in a document. An error means that the
	// document says nothing, so that what was read before stays. It must not hold
	// values of the document, which may be secrets or personal data.
	Read(name string, content []byte) (Definitions, error)
}

// starter is a format that knows what its flag system does without a document.
type starter interface {
	// without says what happens now or at the flag system's next start, as in
	// "flagd would start without flags".
	without() string
}

// What is wrong with a document, for errors.Is. All of them leave the last good
// snapshot in force.
var (
	// ErrUnreadable means that a document is not what its format reads: broken,
	// half-written, nested too deep, ambiguous. The error says where. Correct the
	// document.
	ErrUnreadable = errors.New("changes: the document cannot be read")
	// ErrEmpty means that a document has no content. It is not taken for one
	// without flags, which says so: {"flags":{}}.
	ErrEmpty = errors.New("changes: the document is empty")
	// ErrTooLarge means that the documents of a source are larger than the limit,
	// which can be raised.
	ErrTooLarge = errors.New("changes: the document is too large")
	// ErrVanished means that there is no document any more where the source looks.
	ErrVanished = errors.New("changes: the document has vanished")
	// ErrNotAFile means that a path is something else than a file or a folder of
	// files: a device, a pipe, a socket.
	ErrNotAFile = errors.New("changes: this is not a regular file")
)

// DocumentError is a document that cannot be taken. It wraps one of the
// sentinels.
type DocumentError struct {
	// Document is its name.
	Document string
	// Err is what is wrong.
	Err error
}

// Error names the document and what is wrong, without any value in it.
func (e *DocumentError) Error() string {
	return fmt.Sprintf("%v (in %q)", e.Err, cut(e.Document, maxShown))
}

// Unwrap returns what is wrong.
func (e *DocumentError) Unwrap() error { return e.Err }

// unreadable wraps what a format found.
func unreadable(err error) error { return fmt.Errorf("%w: %w", ErrUnreadable, err) }

// readDocuments reads the documents of a source together, in the order of their
// names.
func readDocuments(format Format, documents map[string][]byte) (all Definitions, err error) {
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		read, err := readDocument(format, name, documents[name])
		if err != nil {
			return Definitions{}, &DocumentError{Document: name, Err: err}
		}
		all.merge(read)
	}
	return all, nil
}

func readDocument(format Format, name string, content []byte) (d Definitions, err error) {
	if isBlank(content) {
		return Definitions{}, ErrEmpty
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = unreadable(panicked("the format", cause))
		}
	}()
	d, err = format.Read(name, content)
	if err != nil && isWebPage(content) {
		err = errWebPage
	}
	if err != nil && !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrEmpty) {
		err = unreadable(err)
	}
	return d, err
}

// isBlank reports whether a document has nothing in it but white space and, as
// some file systems leave after a crash, zero bytes.
func isBlank(content []byte) bool {
	for _, c := range content {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != 0 {
			return false
		}
	}
	return true
}

// Definitions are the flags of one document or of several, each with what can
// change its evaluation. The zero value is empty and ready to use.
type Definitions struct {
	flags   map[string]definition
	skipped []Skipped
}

// definition is one flag.
type definition struct {
	at   int // how many flags the document had before
	on   position
	rest value // all that counts but whether it is on
	// beside is what the flag refers to, elsewhere in the document.
	beside value
	// resolve finds what a reference in rest stands for. Nil if there are none.
	resolve resolver
	// next is a further definition of the same flag, from another set or another
	// document.
	next *definition
}

// resolver returns what stands for a reference, and under which name, if the
// value is one.
type resolver func(value) (name string, content value, ok bool)

// position is whether a flag is on.
type position byte

const (
	unknown position = iota
	off
	on
	// hidden is off, by our own hand, in a document that leaves out what is off.
	hidden
)

func positionOf(isOn bool) position {
	if isOn {
		return on
	}
	return off
}

// Skipped is a flag that a document has and that the flag system does not serve.
type Skipped struct {
	// Flag is its name, if it has one.
	Flag string
	// Reason says why.
	Reason string
}

// Skipped lists what was left out, as the flag system leaves it out.
func (d Definitions) Skipped() []Skipped { return slices.Clone(d.skipped) }

// Len is how many flags there are.
func (d Definitions) Len() int { return len(d.flags) }

// Add adds a flag with all that can change its evaluation, made of what
// encoding/json makes of JSON: nil, bool, float64 (or int, int64, uint64),
// string, []any and map[string]any. It fails if the name is empty or there
// already, or on any other type.
func (d *Definitions) Add(flag string, counts any) error {
	rest, err := fromAny(counts, 0)
	if err != nil {
		return fmt.Errorf("flag %q: %w", cut(flag, maxShown), err)
	}
	return d.add(flag, definition{rest: rest})
}

func (d *Definitions) add(flag string, def definition) error {
	if flag == "" {
		return errors.New("a flag has no name")
	}
	if _, twice := d.flags[flag]; twice {
		return fmt.Errorf("the flag %q is there twice", cut(flag, maxShown))
	}
	d.addTo(flag, def)
	return nil
}

func (d *Definitions) skip(flag, reason string) {
	d.skipped = append(d.skipped, Skipped{Flag: flag, Reason: reason})
}

// merge adds the definitions of a further document. What both have counts in
// both unless it is the same: which of them an evaluation takes is the flag
// system's business.
func (d *Definitions) merge(other Definitions) {
	d.skipped = append(d.skipped, other.skipped...)
	if d.flags == nil {
		d.flags = make(map[string]definition, len(other.flags))
	}
	var e encoder
	for _, flag := range other.inOrder() {
		for part := new(other.flags[flag]); part != nil; part = part.next {
			one := *part
			one.next = nil
			if !d.has(flag, one, &e) {
				d.addTo(flag, one)
			}
		}
	}
}

// has reports whether a flag is defined in just this way already, as it is while
// somebody moves it from one document to another: whichever is taken, it is
// evaluated alike.
func (d *Definitions) has(flag string, def definition, e *encoder) bool {
	first, there := d.flags[flag]
	if !there {
		return false
	}
	sum, err := def.digest(e)
	for part := &first; part != nil && err == nil; part = part.next {
		one := *part
		one.next = nil
		var known digest
		if known, err = one.digest(e); err == nil && known == sum && one.on == def.on {
			return true
		}
	}
	return false
}

// addTo adds a definition of a flag that may have some already.
func (d *Definitions) addTo(flag string, def definition) {
	if d.flags == nil {
		d.flags = make(map[string]definition)
	}
	first, both := d.flags[flag]
	if !both {
		def.at = len(d.flags)
		d.flags[flag] = def
		return
	}
	last := &first
	for last.next != nil {
		further := *last.next
		last.next = &further
		last = &further
	}
	last.next = &def
	d.flags[flag] = first
}

// inOrder returns the names in the order in which they were read, which is about
// that in memory: to go through a large document otherwise takes twice as long.
func (d Definitions) inOrder() []string {
	names := make([]string, len(d.flags))
	for flag, def := range d.flags {
		names[def.at] = flag
	}
	return names
}

// position is whether the flag is on, as far as one can say so.
func (d definition) position() position {
	if d.next != nil {
		return unknown
	}
	return d.on
}

// digestSize is enough that no two definitions are taken for each other.
const digestSize = 16

type digest [digestSize]byte

// digestVersion is the version of the rules by which digests are made here; see
// [Format.Rules] for those of a format. A note of another version is a new
// baseline.
const digestVersion = 2

// digest is of all that counts but the flag's position.
func (d definition) digest(e *encoder) (digest, error) {
	e.buffer, e.within, e.depth = e.buffer[:0], nil, 0
	for part := &d; part != nil; part = part.next {
		if d.next != nil {
			e.buffer = append(e.buffer, byte(part.on))
		}
		e.resolve = part.resolve
		e.value(&part.rest)
		if part.beside.kind != nothing {
			e.beside(&part.beside)
		}
	}
	sum := sha256.Sum256(e.buffer)
	return digest(sum[:digestSize]), e.failed
}

// Read reads a source once, for who compares documents instead of watching them.
// Its errors are those of the source and of the format.
func Read(ctx context.Context, source Source, format Format) (Definitions, error) {
	documents, err := source.Read(ctx)
	if err != nil {
		return Definitions{}, err
	}
	if len(documents) == 0 {
		return Definitions{}, ErrVanished
	}
	return readDocuments(format, documents)
}
