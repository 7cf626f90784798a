package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// answers are the answers of Sentry, and of what may stand before it, with what
// they mean.
type answerCase struct {
	Name    string
	Status  int
	Header  map[string]string
	Body    string
	Kind    string
	Detail  string
	Changes map[int]Fields
	Request Fields
	Retry   float64 // seconds
}

var kinds = map[string]error{
	"stored": nil, "rejected": ErrRejected, "unexpected": ErrUnexpectedAnswer, "unauthorized": ErrUnauthorized,
	"not found": ErrNotFound, "misdirected": ErrMisdirected, "redirected": ErrRedirected, "refused": ErrRefused,
	"rate limited": ErrRateLimited, "ambiguous": ErrAmbiguous,
}

func readAnswers(tb testing.TB) []answerCase {
	tb.Helper()
	raw, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		tb.Fatal(err)
	}
	var cases []answerCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		tb.Fatal(err)
	}
	if len(cases) < 40 {
		tb.Fatalf("only %d answers were read", len(cases))
	}
	return cases
}

func respond(status int, header map[string]string, body io.Reader) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body)}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return r
}

func TestInterpret(t *testing.T) {
	for _, tc := range readAnswers(t) {
		t.Run(tc.Name, func(t *testing.T) {
			want, known := kinds[tc.Kind]
			if !known {
				t.Fatalf("unknown kind %q", tc.Kind)
			}
			err := interpret(t.Context(), respond(tc.Status, tc.Header, strings.NewReader(tc.Body)), 10)
			if want == nil {
				if err != nil {
					t.Fatalf("got %v, want success", err)
				}
				return
			}
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			for name, other := range kinds {
				if name != tc.Kind && other != nil && errors.Is(err, other) {
					t.Errorf("it is %q as well", name)
				}
			}
			if rejection, ok := errors.AsType[*RejectionError](err); ok {
				if diff := cmp.Diff(orEmpty(tc.Changes), rejection.Changes); diff != "" {
					t.Errorf("changes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(orEmpty(tc.Request), rejection.Request); diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
				return
			}
			answer, ok := errors.AsType[*AnswerError](err)
			if !ok {
				t.Fatalf("%T is no *AnswerError", err)
			}
			if answer.Status != tc.Status || answer.Detail != tc.Detail {
				t.Errorf("status %d, detail %q; want %d, %q", answer.Status, answer.Detail, tc.Status, tc.Detail)
			}
			if answer.RetryAfter != time.Duration(tc.Retry*float64(time.Second)) {
				t.Errorf("RetryAfter is %v, want %vs", answer.RetryAfter, tc.Retry)
			}
		})
	}
}

func orEmpty[K comparable, V any, M ~map[K]V](m M) M {
	if m == nil {
		return M{}
	}
	return m
}

func TestInterpretBoundsWhatItReads(t *testing.T) {
	for _, status := range []int{200, 500, 404} {
		body := &countingReader{}
		err := interpret(t.Context(), respond(status, nil, body), 10)
		if err == nil {
			t.Fatalf("an endless answer under %d is taken for success", status)
		}
		if body.n > maxAnswer+1<<16 {
			t.Errorf("read %d bytes of an endless answer", body.n)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
	// White space up to the limit is empty; an endless stream of it is not.
	if err := interpret(t.Context(), respond(200, nil, strings.NewReader(strings.Repeat(" ", maxAnswer+1))), 10); !errors.Is(err, ErrUnexpectedAnswer) {
		t.Errorf("a megabyte of spaces: %v", err)
	}
}

type countingReader struct{ n int }

func (r *countingReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	if r.n == 0 {
		p[0] = '{'
	}
	r.n += len(p)
	return len(p), nil
}

func TestRetryAfterWithoutDate(t *testing.T) {
	now := time.Unix(1_700_000_000, 500e6)
	for _, tc := range []struct {
		name, value string
		want        time.Duration
	}{
		{"X-Sentry-Rate-Limit-Reset", "1700000010", 9500 * time.Millisecond},
		{"X-Sentry-Rate-Limit-Reset", "1699999999", 0},
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", now.Add(3 * time.Second).UTC().Format(http.TimeFormat), 2500 * time.Millisecond},
		{"Retry-After", "9223372036854775807", time.Hour},
		{"Retry-After", "-5", 0},
		{"Retry-After", "99999999999999999999999", time.Hour},
		{"Retry-After", "9223372036854775807.5", time.Hour},
		{"Retry-After", "2.0", 2 * time.Second},
		{"Retry-After", " 2 ", 2 * time.Second},
		{"Retry-After", "soon", 0},
	} {
		if got := retryAfter(http.Header{tc.name: {tc.value}}, now); got != tc.want {
			t.Errorf("%s: %s gives %v, want %v", tc.name, tc.value, got, tc.want)
		}
	}
}

// FuzzInterpret reads any answer: it never panics, takes nothing but an empty 2xx
// for success, and makes short, printable errors of the rest.
func FuzzInterpret(f *testing.F) {
	for _, tc := range readAnswers(f) {
		f.Add(tc.Status, tc.Body, tc.Header["Retry-After"], tc.Header["X-Sentry-Rate-Limit-Reset"])
	}
	f.Fuzz(func(t *testing.T, status int, body, after, reset string) {
		err := interpret(t.Context(), respond(status, map[string]string{"Retry-After": after, "X-Sentry-Rate-Limit-Reset": reset}, strings.NewReader(body)), 3)
		if success := (status == 200 || status == 201) && strings.Trim(body, " \t\r\n\v\f\u0085\u00a0") == ""; success && err != nil {
			t.Fatalf("success is taken for %v", err)
		}
		if err == nil {
			if status != 200 && status != 201 || strings.TrimSpace(body) != "" {
				t.Fatalf("%d with %q is taken for success", status, body)
			}
			return
		}
		text := err.Error()
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\x1b") {
			t.Fatalf("the error is not printable: %q", text)
		}
		answer, ok := errors.AsType[*AnswerError](err)
		if ok && (answer.RetryAfter < 0 || answer.RetryAfter > maxRetryAfter || utf8.RuneCountInString(answer.Detail) > 200) {
			t.Fatalf("out of bounds: %+v", answer)
		}
		rejection, rejected := errors.AsType[*RejectionError](err)
		if ok == rejected {
			t.Fatalf("%T is neither an answer nor a rejection", err)
		}
		if rejected && (len(text) > 20_000 || len(rejection.Changes) > 3) {
			t.Fatalf("the rejection is out of bounds: %.300s", text)
		}
	})
}
