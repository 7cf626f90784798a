package webhooktest

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A problem is what is wrong with a value, in the shape of Django REST
// framework: messages, or problems by field, or problems by position.
type problem interface {
	// append writes the problem as JSON.
	append(dst []byte, shape ErrorShape) []byte
}

// messages are about the value as a whole.
type messages []string

func (m messages) append(dst []byte, _ ErrorShape) []byte {
	dst = append(dst, '[')
	for i, text := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, text)
	}
	return append(dst, ']')
}

// fieldProblems are about the fields of an object, in the order of the rules.
type fieldProblems []fieldProblem

type fieldProblem struct {
	field   string
	problem problem
}

func (f fieldProblems) append(dst []byte, shape ErrorShape) []byte {
	dst = append(dst, '{')
	for i, p := range f {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, p.field), ':')
		dst = p.problem.append(dst, shape)
	}
	return append(dst, '}')
}

// nonField is how an object or a list is refused that is none.
func nonField(message string) problem {
	return fieldProblems{{field: "non_field_errors", problem: messages{message}}}
}

// itemProblems are about the items of a list; nil is a good one.
type itemProblems []problem

func (p itemProblems) append(dst []byte, shape ErrorShape) []byte {
	if shape == ErrorsInList {
		return p.appendList(dst)
	}
	first := true
	dst = append(dst, '{')
	for i, item := range p {
		if item == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(strconv.AppendInt(append(dst, '"'), int64(i), 10), `":`...)
		dst = item.append(dst, shape)
	}
	return append(dst, '}')
}

func (p itemProblems) appendList(dst []byte) []byte {
	dst = append(dst, '[')
	for i, item := range p {
		if i > 0 {
			dst = append(dst, ',')
		}
		if item == nil {
			dst = append(dst, "{}"...)
			continue
		}
		dst = item.append(dst, ErrorsInList)
	}
	return append(dst, ']')
}

// appendJSONString writes a string as Django REST framework does it.
func appendJSONString(dst []byte, s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string always encodes
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
