package setup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ReadConfig reads a file that holds one JSON object into the struct that into
// points to. A name that the struct does not have is an error, in its exact case,
// and so is one that is there twice, of which the last would win. Its errors name
// the line. A byte order mark, as editors of Windows write it, is passed over.
func ReadConfig(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if err = json.Unmarshal(raw, into, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("read the configuration %s: %w", path, explain(raw, err))
	}
	return nil
}

// explain says what is wrong with a configuration in the words of its file.
func explain(raw []byte, err error) error {
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %w", line(raw, syntax.ByteOffset), syntax.Err)
	case errors.As(err, &meaning) && errors.Is(meaning.Err, json.ErrUnknownName):
		return fmt.Errorf("line %d: unknown field %s: %w", line(raw, meaning.ByteOffset), place(meaning.JSONPointer), meaning.Err)
	case errors.As(err, &meaning):
		text := fmt.Sprintf("line %d: %s", line(raw, meaning.ByteOffset), place(meaning.JSONPointer))
		if meaning.Err != nil {
			return fmt.Errorf("%s: %w", text, meaning.Err)
		}
		return fmt.Errorf("%s has to be %s", text, wanted(meaning.GoType))
	}
	return err
}

// line counts from 1.
func line(raw []byte, offset int64) int {
	return 1 + bytes.Count(raw[:min(max(offset, 0), int64(len(raw)))], []byte("\n"))
}

// place is where in the document something is: "rules/0/when".
func place(pointer jsontext.Pointer) string {
	return cmp.Or(strings.TrimPrefix(string(pointer), "/"), "the document")
}

// wanted says what JSON value a Go type stands for.
func wanted(t reflect.Type) string {
	if t == nil {
		return "another value"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false, without quotes"
	case reflect.String:
		return "a text in quotes"
	case reflect.Slice, reflect.Array:
		return "a list: [ ... ]"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "an object: { ... }"
	default:
		return "a number, without quotes"
	}
}

// Duration is a time.Duration that is written as "15m".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}
