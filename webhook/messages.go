package webhook

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Nothing that an answer says is repeated as it came. Who answers may echo the
// request, another one's, or a header, in any spelling: its author's address,
// its signature. So an error, a log line and a dead letter hold a sentence of an
// answer only if it is one of those below, which Sentry and Django REST
// framework are known to give, and then as it stands below: of the answer itself
// come nothing but numbers.
//
// In a sentence {n} stands for a number and {} for any text, which is shown as
// an ellipsis. The first that fits counts.
var sentences = []string{
	// Sentry's endpoint (src/sentry/flags/endpoints/hooks.py, src/sentry/api).
	"Not authorized.",
	"Not enabled.",
	"Not found.",
	"The requested resource does not exist",
	"Internal Error",
	"You are attempting to use this endpoint too frequently. Limit is {n} requests in {n} seconds",
	// The flag log, whose answers are about the token.
	"Authentication credentials were not provided.",
	"Invalid token",
	"Invalid token header.{}",
	"Token expired",
	"User inactive or deleted",
	"You do not have permission to perform this action.",
	// The request as a whole (rest_framework/exceptions.py, json/decoder.py).
	"JSON parse error - Expecting value: line {n} column {n} (char {n})",
	"JSON parse error - Expecting ',' delimiter: line {n} column {n} (char {n})",
	"JSON parse error - Expecting ':' delimiter: line {n} column {n} (char {n})",
	"JSON parse error - Expecting property name enclosed in double quotes: line {n} column {n} (char {n})",
	"JSON parse error - Extra data: line {n} column {n} (char {n})",
	"JSON parse error - Invalid control character at: line {n} column {n} (char {n})",
	"JSON parse error - Unterminated string starting at: line {n} column {n} (char {n})",
	"JSON parse error - {}",
	"Malformed request.",
	`Method "POST" not allowed.`,
	`Method "GET" not allowed.`,
	"Method {} not allowed.",
	`Unsupported media type "text/plain" in request.`,
	`Unsupported media type "application/x-www-form-urlencoded" in request.`,
	"Unsupported media type {} in request.",
	"Request was throttled.{}",
	// The fields of a change (rest_framework/fields.py, rest_framework/serializers.py).
	"This field is required.",
	"This field may not be null.",
	"This field may not be blank.",
	"A valid integer is required.",
	"String value too large.",
	"Not a valid string.",
	"Null characters are not allowed.",
	"Surrogate characters are not allowed: {}",
	"Ensure this field has no more than {n} characters.",
	"Ensure this field has at least {n} characters.",
	"Ensure this field has no more than {n} elements.",
	"Ensure this value is less than or equal to {n}.",
	"Ensure this value is greater than or equal to {n}.",
	"{} is not a valid choice.",
	"Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
	"Datetime has wrong format.{}",
	"Expected a datetime but got a date.",
	"Datetime value out of range.",
	"Invalid datetime for the timezone {}",
	"No data provided",
	"Invalid data. Expected a dictionary, but got str.",
	"Invalid data. Expected a dictionary, but got list.",
	"Invalid data. Expected a dictionary, but got int.",
	"Invalid data.{}",
	"Expected a list of items but got type {}",
	"This list may not be empty.",
	"Invalid input.",
	"Invalid value.",
}

// sentence is one of the sentences that have a place for something.
type sentence struct {
	pattern *regexp.Regexp
	shown   string // as fmt.Sprintf takes it
}

var (
	fixed    = make(map[string]bool)
	variable []sentence
)

func init() {
	for _, s := range sentences {
		if !strings.Contains(s, "{") {
			fixed[s] = true
			continue
		}
		pattern := strings.NewReplacer(`\{n\}`, `([0-9]{1,7})`, `\{\}`, `.*`).Replace(regexp.QuoteMeta(s))
		shown := strings.NewReplacer("%", "%%", "{n}", "%s", "{}", "…").Replace(s)
		variable = append(variable, sentence{regexp.MustCompile("(?s)^" + pattern + "$"), shown})
	}
}

// known returns a sentence of an answer as it may be shown, if Sentry is known
// to give it.
func known(text string) (shown string, ok bool) {
	if fixed[text] {
		return text, true
	}
	for _, s := range variable {
		if found := s.pattern.FindStringSubmatch(text); found != nil {
			numbers := make([]any, len(found)-1)
			for i, n := range found[1:] {
				numbers[i] = n
			}
			return fmt.Sprintf(s.shown, numbers...), true
		}
	}
	return "", false
}

// objection returns one of Sentry's objections to a change as it may be shown.
func objection(text string) string {
	if shown, ok := known(text); ok {
		return shown
	}
	return fmt.Sprintf("an objection that Sentry is not known to make (%d characters, not shown)", utf8.RuneCountInString(text))
}

// otherField stands for a field of which nobody has heard: its name, too, could
// be an echo.
const otherField = "another field"

// fieldName returns the name of a field as it may be shown.
func fieldName(name string) string {
	switch name {
	case "data", "meta", "version", "action", "change_id", "created_at", "created_by", "id", "type", "flag", nonFieldErrors:
		return name
	}
	return otherField
}

// mediaType returns the type of an answer's content as it may be shown.
func mediaType(name string) string {
	switch name {
	case "text/html", "text/plain", "text/xml", "application/xml", "application/json", "application/problem+json",
		"application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data":
		return name
	case "":
		return "unnamed content"
	}
	return "content of another type"
}

// private matches what must not come through from foreign text: a digest that
// somebody echoes, and the credentials within a URL.
var private = regexp.MustCompile(`[0-9A-Fa-f]{64,}|//[^/\s"@]*@`)

// clean makes foreign text fit for an error or a log: nothing private, no
// control characters, at most limit code points.
func clean(s string, limit int) string {
	// Longer text is cut first, so that ten megabytes cost nothing; the margin
	// keeps a digest whole for the pattern to see.
	if most := 4*limit + 256; len(s) > most {
		s = s[:most]
	}
	s = private.ReplaceAllStringFunc(s, func(found string) string {
		if strings.HasPrefix(found, "//") {
			return "//[redacted]@"
		}
		return "[redacted]"
	})
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
