package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/signing"
)

// shownOf is all that a program could print of an error.
func shownOf(err error) string {
	var out bytes.Buffer
	for e := err; e != nil; e = unwrapAny(e) {
		fmt.Fprintf(&out, "%T %v %s %q\n", e, e, e, e)
	}
	if rejection, ok := errors.AsType[*RejectionError](err); ok {
		fmt.Fprintf(&out, "%+v %#v\n", *rejection, *rejection)
	}
	if answer, ok := errors.AsType[*AnswerError](err); ok {
		fmt.Fprintf(&out, "%d %v %q\n", answer.Status, answer.RetryAfter, answer.Detail)
	}
	slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})).Error("failed", "error", err)
	return out.String()
}

// spellings are ways of repeating what was received. All keep the length of
// letters and digits.
var spellings = map[string]func(string) string{
	"as it is":   func(s string) string { return s },
	"upper case": strings.ToUpper,
	"backwards": func(s string) string {
		b := []byte(s)
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		return string(b)
	},
	"URL":            url.QueryEscape,
	"JSON":           func(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) },
	"JSON, ASCII":    func(s string) string { return strings.ReplaceAll(fmt.Sprintf("%+q", s), `"`, "") },
	"hex":            func(s string) string { return hex.EncodeToString([]byte(s)) },
	"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"the first half": func(s string) string { return s[:len(s)/2] },
	"the local part": func(s string) string { local, _, _ := strings.Cut(s, "@"); return local },
	"spaced":         func(s string) string { return strings.Join(strings.Split(s, ""), " ") },
}

// sayings are answers that say something: a body, a header, a position.
var sayings = map[string]func(r *http.Response, said string) string{
	"text":            func(_ *http.Response, s string) string { return s },
	"JSON text":       func(_ *http.Response, s string) string { return quoted(s) },
	"detail":          func(_ *http.Response, s string) string { return `{"detail":` + quoted(s) + `}` },
	"detail and text": func(_ *http.Response, s string) string { return `{"detail":` + quoted("Not found. "+s) + `}` },
	"parse error":     func(_ *http.Response, s string) string { return `{"detail":` + quoted("JSON parse error - "+s) + `}` },
	"parse error, long": func(_ *http.Response, s string) string {
		return `{"detail":` + quoted("JSON parse error - Extra data: "+s) + `}`
	},
	"rejection, list": func(_ *http.Response, s string) string { return `{"data":[{"created_by":{"id":[` + quoted(s) + `]}}]}` },
	"rejection, keyed": func(_ *http.Response, s string) string {
		return `{"data":{"0":{"flag":[` + quoted(s) + `,` + quoted(s) + `]}}}`
	},
	"choice": func(_ *http.Response, s string) string {
		return `{"data":{"0":{"action":[` + quoted(`"`+s+`" is not a valid choice.`) + `]}}}`
	},
	"field": func(_ *http.Response, s string) string {
		return `{"data":{"0":{` + quoted(s) + `:["This field is required."]}}}`
	},
	"deep field": func(_ *http.Response, s string) string {
		return `{"meta":{"version":{` + quoted(s) + `:["No ` + "\u2028" + `."]}}}`
	},
	"request":     func(_ *http.Response, s string) string { return `{"non_field_errors":[` + quoted(s) + `]}` },
	"data errors": func(_ *http.Response, s string) string { return `{"data":[` + quoted(s) + `]}` },
	"content type": func(r *http.Response, s string) string {
		r.Header.Set("Content-Type", "text/"+s)
		return "x"
	},
	"location": func(r *http.Response, s string) string {
		r.Header.Set("Location", "https://x.example.com/"+s)
		return ""
	},
	"location, host":   func(r *http.Response, s string) string { r.Header.Set("Location", "https://"+s+"/"); return "" },
	"location, no URL": func(r *http.Response, s string) string { r.Header.Set("Location", s); return "" },
	"location, at Sentry": func(r *http.Response, s string) string {
		r.Header.Set("Location", "https://"+s+".sentry.io/")
		return ""
	},
	"time to wait": func(r *http.Response, s string) string { r.Header.Set("Retry-After", "x"+s); return "" },
}

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// echo answers with what it makes of a part of the request.
func echo(tb testing.TB, status int, part, spelling, saying string) http.RoundTripper {
	return transportFunc(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			tb.Fatal(err)
		}
		var sent struct {
			Data []wireChange `json:"data"`
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			tb.Fatal(err)
		}
		said := map[string]string{
			"author": sent.Data[0].CreatedBy.ID, "flag": sent.Data[0].Flag, "body": string(body), "signature": r.Header.Get(signing.Header),
		}[part]
		response := &http.Response{StatusCode: status, Header: http.Header{}, Request: r}
		response.Body = io.NopCloser(strings.NewReader(sayings[saying](response, spellings[spelling](said))))
		return response, nil
	})
}

// TestNothingIsEchoed is a property: of two requests that differ in what they
// say, and in nothing else, a server that echoes them in any way makes errors
// that do not differ. So nothing of a request comes back, in any spelling.
func TestNothingIsEchoed(t *testing.T) {
	for _, status := range []int{200, 202, 302, 400, 401, 415, 429, 500} {
		for _, saying := range sortedKeys(sayings) {
			for _, spelling := range sortedKeys(spellings) {
				for _, part := range []string{"author", "flag", "body", "signature"} {
					transport := echo(t, status, part, spelling, saying)
					// Of one length and of letters only, so that no length differs.
					if one, other := shownOf(sendAs(t, transport, "jane")), shownOf(sendAs(t, transport, "omar")); one != other {
						t.Fatalf("%d, %s of the %s as %s shows:\n%s\n%s", status, spelling, part, saying, one, other)
					}
				}
			}
		}
	}
}

// sendAs sends a change that names somebody wherever it can.
func sendAs(t *testing.T, transport http.RoundTripper, name string) error {
	change := valid
	change.Flag = name + "-flag"
	change.CreatedBy = Author{ID: name + ".doe@" + name + ".example.com", Type: AuthorEmail}
	return newTestClient(t, func(c *Config) { c.HTTPClient = &http.Client{Transport: transport} }).Send(t.Context(), change)
}

// TestKnownSentences: Sentry's own words stay readable.
func TestKnownSentences(t *testing.T) {
	for text, want := range map[string]string{
		"Not authorized.": "Not authorized.",
		"not authorized.": "",
		"Ensure this field has no more than 100 characters.":                                                            "Ensure this field has no more than 100 characters.",
		"Ensure this field has no more than 12345678 characters.":                                                       "",
		`"x" is not a valid choice.`:                                                                                    "… is not a valid choice.",
		"\"a\nb\" is not a valid choice.":                                                                               "… is not a valid choice.",
		"JSON parse error - Expecting value: line 1 column 12 (char 11)":                                                "JSON parse error - Expecting value: line 1 column 12 (char 11)",
		"JSON parse error - 'utf-8' codec can't decode byte 0xff in position 7":                                         "JSON parse error - …",
		"You are attempting to use this endpoint too frequently. Limit is 40 requests in 1 seconds":                     "You are attempting to use this endpoint too frequently. Limit is 40 requests in 1 seconds",
		`Unsupported media type "text/plain" in request.`:                                                               `Unsupported media type "text/plain" in request.`,
		`Unsupported media type "jane/doe" in request.`:                                                                 "Unsupported media type … in request.",
		"Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].": "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
		"": "",
	} {
		if got, ok := known(text); got != want || ok != (want != "") {
			t.Errorf("%s is shown as %q, want %q", text, got, want)
		}
	}
	for _, s := range sentences {
		filled := strings.NewReplacer("{n}", "1234567", "{}", "jane 100% \x00").Replace(s)
		got, ok := known(filled)
		if !ok || strings.Contains(got, "jane") || strings.Contains(got, "%!") {
			t.Errorf("%q is shown as %q", filled, got)
		}
	}
}

// FuzzKnown: of any text only its numbers are shown.
func FuzzKnown(f *testing.F) {
	for _, s := range sentences {
		f.Add(strings.NewReplacer("{n}", "42", "{}", "jane").Replace(s))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, shown := range []string{objection(text), fieldName(text), mediaType(text)} {
			if len(shown) > 200 || strings.ContainsAny(shown, "\x00\r\n") {
				t.Fatalf("%q is shown as %q", text, shown)
			}
		}
		shown, ok := known(text)
		if !ok {
			return
		}
		blank := strings.NewReplacer("0", "", "1", "", "2", "", "3", "", "4", "", "5", "", "6", "", "7", "", "8", "", "9", "", "…", "")
		for _, s := range sentences {
			if blank.Replace(shown) == blank.Replace(strings.NewReplacer("{n}", "", "{}", "").Replace(s)) {
				return
			}
		}
		t.Fatalf("%q is shown as %q, which is no sentence of the list", text, shown)
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
