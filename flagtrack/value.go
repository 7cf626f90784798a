package flagtrack

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
)

// Evaluation is a flag and the value that the application received for it, as a filter sees it. Only Flag, Value and
// Variant decide what is shown; the rest is there to decide by.
type Evaluation struct {
	// Flag is the flag's key.
	Flag string
	// Value is what the application received.
	Value any
	// Variant is the name that the provider gave to the value, or empty. It is shown only in place of a value that has
	// no short text, an object say: see WithAllValues.
	Variant string
	// Domain is the OpenFeature domain that the client is bound to, or empty. Flags of one name in two domains are one
	// flag, unless a filter puts the domain into the name.
	Domain string
	// Provider is the name of OpenFeature's provider, or empty for AddFeatureFlag.
	Provider string
	// Reason is why the value is what it is, according to the provider, and openfeature.ErrorReason if anything failed.
	// It is empty for AddFeatureFlag.
	Reason openfeature.Reason
	// Err is what made the application receive the default, or nil. Its text may have been made by the provider.
	Err error
}

// value is an evaluation's result as Sentry can show it. Sentry's issue page shows booleans only, so a result of
// another type becomes part of the name: x=blue is shown as "x:blue" true.
type value struct {
	result bool
	// variant is the whole name to show, or empty for a plain boolean.
	variant string
}

// boolValue reports whether v is a boolean, of whatever named type, and which.
func boolValue(v any) (result, ok bool) {
	if b, ok := v.(bool); ok {
		return b, true
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Bool {
		return r.Bool(), true
	}
	return false, false
}

// maxValueText is the longest string, in bytes, that becomes part of a name. A
// name has room for 200; hashing a document for it would be felt.
const maxValueText = 1024

// valueText renders a result that is not a boolean. It reports false for what has no short text: objects, lists, nil, long
// strings.
func valueText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, len(v) <= maxValueText
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return floatText(v, 64), true
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String:
		return r.String(), r.Len() <= maxValueText
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(r.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(r.Uint(), 10), true
	case reflect.Float32:
		return floatText(r.Float(), 32), true
	case reflect.Float64:
		return floatText(r.Float(), 64), true
	}
	return "", false
}

// hasText reports whether v is shown itself, rather than the name of its variant.
func hasText(v any) bool {
	if _, isBool := boolValue(v); isBool {
		return true
	}
	_, ok := valueText(v)
	return ok
}

// floatText leaves out the plus sign, which is not legal in a name: 1e21, Inf, NaN.
func floatText(f float64, bits int) string {
	return strings.ReplaceAll(strconv.FormatFloat(f, 'g', -1, bits), "+", "")
}

// variantName returns the name that shows a flag together with its value.
func variantName(shown, text string) string {
	return flagname.Shown(shown + ":" + text)
}
