// Package typednil finds nil pointers in interfaces, which are not nil themselves.
package typednil

import "reflect"

// In reports whether v holds a pointer or a function that is nil. That is what an
// optional part of a program leaves in a configuration's field of an interface
// type: it passes a comparison with nil, and ends the process when it is used.
func In(v any) bool {
	r := reflect.ValueOf(v)
	return (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}
