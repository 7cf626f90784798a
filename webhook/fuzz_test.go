package webhook

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzJudge reads any answer: it never panics, takes nothing but an empty 2xx
// for success, and makes short, printable errors of the rest.
func FuzzJudge(f *testing.F) {
	for _, tc := range readAnswers(f) {
		f.Add(tc.Status, tc.Body, tc.Header["Retry-After"], tc.Header["X-Sentry-Rate-Limit-Reset"])
	}
	f.Fuzz(func(t *testing.T, status int, body, after, reset string) {
		err := judge(t.Context(), respond(status, map[string]string{"Retry-After": after, "X-Sentry-Rate-Limit-Reset": reset}, strings.NewReader(body)), 3)
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
		if ok && (answer.RetryAfter < 0 || answer.RetryAfter > maxRetryAfter || utf8.RuneCountInString(answer.Detail) > maxDetail+1) {
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
