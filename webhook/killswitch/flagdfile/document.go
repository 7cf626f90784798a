package flagdfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// flagSetID is the attribute of a target, and the member of a flag's metadata,
// that tells flags of one key apart.
const flagSetID = "flagSetId"

const (
	enabled  = "ENABLED"
	disabled = "DISABLED"
)

// found is where the state of a flag stands in a document.
type found struct {
	start, end int64 // of the value, quotes included
	state      string
	hasState   bool
}

func (f found) was() killswitch.State {
	switch f.state {
	case enabled:
		return killswitch.StateOn
	case disabled:
		return killswitch.StateOff
	}
	return killswitch.StateUnknown
}

// edit returns the document with the state of the target set, and the state that
// it had. The result is the document itself if there is nothing to change.
func edit(document []byte, target killswitch.Target, on bool) ([]byte, killswitch.State, error) {
	f, err := locate(document, target)
	if err != nil {
		return nil, killswitch.StateUnknown, err
	}
	was := f.was()
	if was == killswitch.StateOf(on) {
		return document, was, nil
	}
	word := disabled
	if on {
		word = enabled
	}
	edited := make([]byte, 0, len(document)+len(enabled))
	edited = append(edited, document[:f.start]...)
	edited = append(edited, '"')
	edited = append(edited, word...)
	edited = append(edited, '"')
	return append(edited, document[f.end:]...), was, nil
}

// locate finds the one flag that the target names.
func locate(document []byte, target killswitch.Target) (found, error) {
	l := locator{Decoder: jsontext.NewDecoder(bytes.NewBuffer(document), jsontext.AllowInvalidUTF8(true)), target: target}
	if err := l.document(); err != nil {
		// The library's error may quote the names in the file.
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return found{}, fmt.Errorf("%w: a key is there twice (at byte %d)", ErrMalformed, l.InputOffset())
		}
		return found{}, fmt.Errorf("%w (at byte %d)", ErrMalformed, l.InputOffset())
	}
	switch {
	case !l.hasFlags:
		return found{}, fmt.Errorf("%w: it has no flags", ErrMalformed)
	case len(l.all) == 0:
		return found{}, killswitch.Final(fmt.Errorf("%w: %s", ErrNotFound, target))
	case len(l.all) > 1:
		return found{}, killswitch.Final(fmt.Errorf("%w: %s; name its %s", ErrAmbiguous, target, flagSetID))
	case !l.all[0].hasState:
		return found{}, killswitch.Final(fmt.Errorf("%w: %s", ErrNoState, target))
	}
	return l.all[0], nil
}

// locator walks through a document and notes where the flags are that the target
// may mean.
type locator struct {
	*jsontext.Decoder
	target   killswitch.Target
	hasFlags bool
	all      []found
	// sets are the flag sets of all, "" for those that name none, and set that of
	// the document, which counts for them.
	sets []string
	set  string
}

func (l *locator) document() error {
	err := l.fields([]string{"flags", "metadata"}, func(name string) error {
		switch name {
		case "flags":
			l.hasFlags = true
			return l.flags()
		case "metadata":
			set, err := l.metadata()
			l.set = set
			return err
		}
		return l.SkipValue()
	})
	if err != nil {
		return err
	}
	if _, err := l.ReadToken(); err != io.EOF { //nolint:errorlint // as the decoder promises
		return ErrMalformed // something follows
	}
	want, asked := l.target.Attributes[flagSetID]
	if !asked {
		return nil
	}
	kept := l.all[:0]
	for i, f := range l.all {
		if l.sets[i] == want || l.sets[i] == "" && l.set == want {
			kept = append(kept, f)
		}
	}
	l.all = kept
	return nil
}

// object calls member for each member of an object, which must read its value.
// Anything else is an error.
func (l *locator) object(member func(name string) error) error {
	token, err := l.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != jsontext.KindBeginObject {
		return ErrMalformed
	}
	for l.PeekKind() != jsontext.KindEndObject {
		name, err := l.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err = l.ReadToken()
	return err
}

// fields is object for what flagd reads into a struct of Go's, by encoding/json:
// there a name in different case is the same name, and of two the later counts,
// for other evaluators maybe the other.
func (l *locator) fields(wanted []string, member func(name string) error) error {
	seen := make([]bool, len(wanted))
	return l.object(func(name string) error {
		for i, want := range wanted {
			if !strings.EqualFold(name, want) {
				continue
			}
			if seen[i] {
				return jsontext.ErrDuplicateName
			}
			seen[i], name = true, want
		}
		return member(name)
	})
}

// flags reads both forms: an object by key, and a list of flags with their keys.
func (l *locator) flags() error {
	if l.PeekKind() != jsontext.KindBeginArray {
		return l.object(func(name string) error {
			if name != l.target.Flag {
				return l.SkipValue()
			}
			return l.flag(name, false)
		})
	}
	if _, err := l.ReadToken(); err != nil {
		return err
	}
	for l.PeekKind() != jsontext.KindEndArray {
		if err := l.flag("", true); err != nil {
			return err
		}
	}
	_, err := l.ReadToken()
	return err
}

// flag notes a flag if its key is the target's; one of a list says its key
// itself. Null is a flag without anything.
func (l *locator) flag(key string, listed bool) error {
	var f found
	set := ""
	member := func(name string) (err error) {
		switch {
		case name == "key" && listed:
			key, err = l.string()
		case name == "state":
			var value jsontext.Value
			if value, err = l.ReadValue(); err != nil || value.Kind() != jsontext.KindString {
				return err
			}
			text, _ := jsontext.AppendUnquote(nil, value)
			f.end = l.InputOffset()
			f.start, f.state, f.hasState = f.end-int64(len(value)), string(text), true
		case name == "metadata":
			set, err = l.metadata()
		default:
			err = l.SkipValue()
		}
		return err
	}
	var err error
	if l.PeekKind() == jsontext.KindNull {
		err = l.SkipValue()
	} else {
		err = l.fields([]string{"key", "state", "metadata"}, member)
	}
	if err == nil && key == l.target.Flag {
		l.all, l.sets = append(l.all, f), append(l.sets, set)
	}
	return err
}

// metadata returns the flag set that it names.
func (l *locator) metadata() (set string, err error) {
	if l.PeekKind() != jsontext.KindBeginObject {
		return "", l.SkipValue()
	}
	err = l.object(func(name string) (err error) {
		if name == flagSetID {
			set, err = l.string()
			return err
		}
		return l.SkipValue()
	})
	return set, err
}

// string reads a string; "" for anything else.
func (l *locator) string() (string, error) {
	if l.PeekKind() != jsontext.KindString {
		return "", l.SkipValue()
	}
	token, err := l.ReadToken()
	if err != nil {
		return "", err
	}
	return token.String(), nil
}
