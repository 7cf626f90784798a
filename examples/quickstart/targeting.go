package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// maxDepth bounds how deep a targeting rule may be nested.
const maxDepth = 100

// target computes a flag's targeting, a JsonLogic rule, for a user. It returns
// the name of the variant, or nothing if the rule leaves it to the default.
//
// It knows the operations that most rules are made of. For any other one, such
// as flagd's fractional, it fails, and the flag's default variant is used: this
// is a shop window, not a flag engine.
func target(rule any, user map[string]any) (string, error) {
	result, err := evaluate(rule, user, 0)
	if err != nil {
		return "", err
	}
	switch variant := result.(type) {
	case string:
		return variant, nil
	case bool: // flagd takes the variants named true and false for them
		return fmt.Sprint(variant), nil
	default:
		return "", nil
	}
}

func evaluate(rule any, user map[string]any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("the rules are nested too deeply")
	}
	operation, ok := rule.(map[string]any)
	if !ok {
		return rule, nil
	}
	if len(operation) == 0 {
		return nil, nil
	}
	if len(operation) > 1 {
		return nil, errors.New("an object has more than one operation")
	}
	for name, operands := range operation {
		list, ok := operands.([]any)
		if !ok {
			list = []any{operands}
		}
		return apply(name, list, user, depth+1)
	}
	return nil, nil
}

func apply(operation string, operands []any, user map[string]any, depth int) (any, error) {
	// if, and, or stop at the operand that decides.
	switch operation {
	case "if":
		return choose(operands, user, depth)
	case "and", "or":
		var last any
		for _, operand := range operands {
			value, err := evaluate(operand, user, depth)
			if err != nil {
				return nil, err
			}
			last = value
			if truthy(value) == (operation == "or") {
				break
			}
		}
		return last, nil
	}

	values := make([]any, len(operands))
	for i, operand := range operands {
		value, err := evaluate(operand, user, depth)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	at := func(i int) any {
		if i < len(values) {
			return values[i]
		}
		return nil
	}
	switch operation {
	case "var":
		return lookUp(at(0), at(1), user), nil
	case "==", "===":
		return reflect.DeepEqual(at(0), at(1)), nil
	case "!=", "!==":
		return !reflect.DeepEqual(at(0), at(1)), nil
	case "!":
		return !truthy(at(0)), nil
	case "in":
		return contains(at(1), at(0)), nil
	case "starts_with":
		return strings.HasPrefix(text(at(0)), text(at(1))), nil
	case "ends_with":
		return strings.HasSuffix(text(at(0)), text(at(1))), nil
	default:
		return nil, fmt.Errorf("the operation %s is not known here", shorten(operation))
	}
}

// choose computes if: condition, value, condition, value, …, else.
func choose(operands []any, user map[string]any, depth int) (any, error) {
	for len(operands) >= 2 {
		condition, err := evaluate(operands[0], user, depth)
		if err != nil {
			return nil, err
		}
		if truthy(condition) {
			return evaluate(operands[1], user, depth)
		}
		operands = operands[2:]
	}
	if len(operands) == 1 {
		return evaluate(operands[0], user, depth)
	}
	return nil, nil
}

func lookUp(name, fallback any, user map[string]any) any {
	if value, ok := user[text(name)]; ok {
		return value
	}
	return fallback
}

func contains(collection, wanted any) bool {
	switch collection := collection.(type) {
	case string:
		return strings.Contains(collection, text(wanted))
	case []any:
		for _, element := range collection {
			if reflect.DeepEqual(element, wanted) {
				return true
			}
		}
	}
	return false
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func truthy(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case float64:
		return value != 0
	case string:
		return value != ""
	case []any:
		return len(value) > 0
	default:
		return true
	}
}
