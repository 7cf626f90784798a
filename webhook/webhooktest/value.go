package webhooktest

import (
	"math"
	"strconv"
	"strings"
)

// A value is a JSON value as Python has it after parsing: nil, bool, number,
// string, []value or *object. A string is UTF-8, except that a lone surrogate,
// which only an escape can make, is kept in three bytes of its own.
type value any

// number is a JSON number. An integer keeps its digits, however many.
type number struct {
	text  string
	float bool
}

// object is a JSON object in the order of its keys; of a repeated key the first
// place and the last value count.
type object struct {
	keys   []string
	values map[string]value
}

func (o *object) set(key string, v value) {
	if _, known := o.values[key]; !known {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// typeName is what Python calls the type of v.
func typeName(v value) string {
	switch v := v.(type) {
	case bool:
		return "bool"
	case number:
		if v.float {
			return "float"
		}
		return "int"
	case string:
		return "str"
	case []value:
		return "list"
	case *object:
		return "dict"
	default:
		return "NoneType"
	}
}

// str is Python's str(v).
func str(v value) string {
	if s, ok := v.(string); ok {
		return s
	}
	return string(appendRepr(nil, v))
}

// appendRepr appends Python's repr(v).
func appendRepr(dst []byte, v value) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(dst, "True"...)
		}
		return append(dst, "False"...)
	case number:
		return append(dst, v.repr()...)
	case string:
		return appendStringRepr(dst, v)
	case []value:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendRepr(dst, item)
		}
		return append(dst, ']')
	case *object:
		dst = append(dst, '{')
		for i, key := range v.keys {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendStringRepr(dst, key), ": "...)
			dst = appendRepr(dst, v.values[key])
		}
		return append(dst, '}')
	default:
		return append(dst, "None"...)
	}
}

func (n number) repr() string {
	if !n.float {
		if n.text == "-0" {
			return "0"
		}
		return n.text
	}
	f, _ := strconv.ParseFloat(n.text, 64) // out of range gives the infinity that Python has too
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if magnitude := math.Abs(f); magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
