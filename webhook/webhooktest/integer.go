package webhooktest

import (
	"strconv"
	"strings"
	"unicode"
)

// maxIntString is the longest string, in code points, that is tried as a
// number.
const maxIntString = 1000

// integer is an IntegerField: whatever Python's int makes of the value as text,
// after ".0" at its end is taken away. It returns the digits in their shortest
// form.
func integer(v value) (string, problem) {
	if s, ok := v.(string); ok && length(s) > maxIntString {
		return "", messages{"String value too large."}
	}
	digits, ok := pythonInt(cutZeroFraction(str(v)))
	if !ok {
		return "", messages{"A valid integer is required."}
	}
	return digits, nil
}

// cutZeroFraction takes away a point at the end with nothing but zeros and
// white space behind it.
func cutZeroFraction(s string) string {
	rest := strings.TrimRight(strings.TrimRightFunc(s, isSpace), "0")
	if whole, found := strings.CutSuffix(rest, "."); found {
		return whole
	}
	return s
}

// pythonInt reads what int(s) takes: white space around, a sign, decimal digits
// of any script, single underscores between them.
func pythonInt(s string) (string, bool) {
	s = strip(s)
	sign := ""
	switch {
	case strings.HasPrefix(s, "-"):
		sign, s = "-", s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	var digits []byte
	afterDigit := false
	for _, r := range s {
		if r == '_' && afterDigit {
			afterDigit = false
			continue
		}
		d, ok := digit(r)
		if !ok {
			return "", false
		}
		digits, afterDigit = append(digits, d), true
	}
	if !afterDigit || len(digits) > maxIntDigits {
		return "", false
	}
	shortest := strings.TrimLeft(string(digits), "0")
	if shortest == "" {
		return "0", true
	}
	return sign + shortest, true
}

// digit returns the ASCII digit that a decimal digit of any script stands for.
// Unicode has them in runs of ten.
func digit(r rune) (byte, bool) {
	if '0' <= r && r <= '9' {
		return byte(r), true
	}
	for _, run := range unicode.Nd.R16 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return '0' + byte((r-rune(run.Lo))%10), true
		}
	}
	for _, run := range unicode.Nd.R32 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return '0' + byte((r-rune(run.Lo))%10), true
		}
	}
	return 0, false
}

// toInt64 returns 0 for a number that does not fit.
func toInt64(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
