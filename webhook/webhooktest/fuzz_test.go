package webhooktest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// FuzzJudge sends bodies under a valid signature. Whatever is in them, the
// answer is Sentry's kind of answer in either shape, and what is stored is
// whole and keeps the rules, or is nothing.
func FuzzJudge(f *testing.F) {
	for _, v := range bodyVectors(f) {
		f.Add([]byte(v.body()))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		inList, byIndex := judge(t, body, webhooktest.ErrorsInList), judge(t, body, webhooktest.ErrorsByIndex)
		if inList.Code != byIndex.Code || (inList.Body.Len() == 0) != (byIndex.Body.Len() == 0) {
			t.Fatalf("%q: the shapes differ in more than shape: %d %s, %d %s", body, inList.Code, inList.Body, byIndex.Code, byIndex.Body)
		}
	})
}

func judge(t *testing.T, body []byte, shape webhooktest.ErrorShape) *httptest.ResponseRecorder {
	h := webhooktest.NewHandler(webhooktest.Config{ErrorShape: shape})
	r := httptest.NewRequest(http.MethodPost, h.Path(), bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signing.Header, sign(t, h.Secret(), string(body)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)

	answer, stored := w.Body.Bytes(), h.Changes()
	switch {
	case w.Code != 200 && w.Code != 400 && w.Code != 500:
		t.Fatalf("%q: status %d", body, w.Code)
	case len(answer) > 0 && (!utf8.Valid(answer) || !json.Valid(answer) || len(stored) > 0):
		t.Fatalf("%q: answered %q, stored %v", body, answer, stored)
	case len(answer) == 0 && w.Code != 200:
		t.Fatalf("%q: status %d without a body", body, w.Code)
	case h.Requests()[0].Stored != len(stored):
		t.Fatalf("%q: %d noted, %d stored", body, h.Requests()[0].Stored, len(stored))
	}
	ids := map[string]bool{}
	for _, r := range h.Records() {
		n := utf8.RuneCountInString(r.Change.Flag)
		year := r.Change.CreatedAt.Year()
		if !utf8.ValidString(r.Change.Flag) || n < 1 || n > 256 || strings.ContainsRune(r.Change.Flag, 0) || strings.TrimSpace(r.Change.Flag) != r.Change.Flag ||
			r.Change.CreatedBy.ID == "" || r.ChangeID == "" || ids[r.ChangeID] || year < 1 || year > 9999 {
			t.Fatalf("%q: stored %+v", body, r)
		}
		ids[r.ChangeID] = true
	}
	return w
}

// FuzzLog asks for the log with any query: the answer is a page with its links,
// or a refusal with its reason.
func FuzzLog(f *testing.F) {
	for _, query := range []string{
		"", "flag=hello&provider=generic&sort=-created_at&per_page=1&cursor=1:0:0", "cursor=1073741823:1073741823:1",
		"start=2024-12-12&end=1e9", "statsPeriod=4294967295w", "start=-1e11&end=0001-01-01T00:00", "per_page=-1&sort=-", "start=\xf4&end=0",
	} {
		f.Add(query)
	}
	h := webhooktest.NewHandler(webhooktest.Config{})
	r := httptest.NewRequest(http.MethodPost, h.Path(), strings.NewReader(hello))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signing.Header, sign(f, h.Secret(), hello))
	h.ServeHTTP(httptest.NewRecorder(), r)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, h.LogsPath(), nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer "+h.Token())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 501 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		}
		if link := w.Header().Get("Link"); (w.Code == 200) != strings.Contains(link, `rel="next"`) {
			t.Fatalf("%q: %d with the link %q", query, w.Code, link)
		}
	})
}
