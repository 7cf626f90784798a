package vwotest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const toggle = "/api/v2/accounts/current/environments/production/features/f/toggle"

// TestServerJudges holds the stand-in against the literal requests and answers
// that VWO publishes.
func TestServerJudges(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, token, body string
		status                    int
		answer                    string
	}{
		"off":              {"PATCH", toggle, "k", `{"isEnabled":false}`, 200, `{"_data":{"f":{"isEnabled":false}}}`},
		"on":               {"PATCH", toggle, "k", `{"isEnabled":true}`, 200, `{"_data":{"f":{"isEnabled":true}}}`},
		"as a number":      {"PATCH", toggle, "k", `{"isEnabled":0}`, 200, `{"_data":{"f":{"isEnabled":false}}}`},
		"by ids":           {"PATCH", "/api/v2/accounts/123456/environments/1/features/1/toggle", "k", `{"isEnabled":0}`, 200, `{"_data":{"1":{"isEnabled":false}}}`},
		"trigger":          {"POST", toggle + "?isEnabled=0&authToken=k", "", "", 200, `{"_data":{"f":{"isEnabled":false}}}`},
		"trigger by GET":   {"GET", toggle + "?isEnabled=0&authToken=k", "", "", 400, `{"_errors":[{"code":400,"message":"the method does not fit the form of the token"}]}`},
		"no token":         {"PATCH", toggle, "", `{"isEnabled":false}`, 401, `{"_errors":[{"code":401,"message":"Token is missing"}]}`},
		"wrong token":      {"PATCH", toggle, "x", `{"isEnabled":false}`, 403, `{"_errors":[{"code":403,"message":"Access denied"}]}`},
		"wrong feature":    {"PATCH", strings.Replace(toggle, "/f/", "/g/", 1), "k", `{"isEnabled":false}`, 404, `{"_errors":[{"code":404,"message":"Environment or feature not found"}]}`},
		"wrong account":    {"PATCH", strings.Replace(toggle, "current", "1", 1), "k", `{"isEnabled":false}`, 404, `{"_errors":[{"code":404,"message":"Account not found"}]}`},
		"no state":         {"PATCH", toggle, "k", `{}`, 400, `{"_errors":[{"code":400,"message":"isEnabled is missing or no boolean"}]}`},
		"no JSON":          {"PATCH", toggle, "k", `off`, 400, `{"_errors":[{"code":400,"message":"the body is not JSON"}]}`},
		"POST with header": {"POST", toggle, "k", `{"isEnabled":false}`, 400, `{"_errors":[{"code":400,"message":"the method does not fit the form of the token"}]}`},
		"nowhere":          {"GET", "/api/v2/nowhere", "k", "", 404, `{"_errors":[{"code":404,"message":"Not found"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := vwotest.NewHandler(vwotest.Config{Token: "k", Features: []string{"f"}})
			r := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
			if tc.token != "" {
				r.Header.Set("token", tc.token)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if got := strings.TrimSpace(w.Body.String()); w.Code != tc.status || got != tc.answer {
				t.Errorf("%d %s, want %d %s", w.Code, got, tc.status, tc.answer)
			}
			if (len(s.Toggles()) == 1) != (tc.status == 200) || s.Requests() != 1 {
				t.Errorf("%d toggles of %d requests", len(s.Toggles()), s.Requests())
			}
		})
	}
}

func TestServerMisbehaves(t *testing.T) {
	s := vwotest.NewServer(vwotest.Config{Token: "k", Features: []string{"f"}})
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() (int, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, s.URL+strings.TrimPrefix(toggle, "/api/v2"), strings.NewReader(`{"isEnabled":false}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("token", "k")
		response, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	s.SetFault(vwotest.Fault{Status: 503, Header: http.Header{"Retry-After": {"70"}}})
	if status, body, err := ask(); status != 503 || !json.Valid([]byte(body)) || err != nil {
		t.Errorf("%d %s %v", status, body, err)
	}
	s.SetFault(vwotest.Fault{Body: "<html>"})
	if status, body, _ := ask(); status != 200 || body != "<html>" {
		t.Errorf("%d %s", status, body)
	}
	s.SetFault(vwotest.Fault{Break: true, Applied: true})
	if _, _, err := ask(); err == nil || s.Enabled("production", "f") {
		t.Errorf("%v, on=%t", err, s.Enabled("production", "f"))
	}
	s.SetEnabled("production", "f", true)
	s.SetFault(vwotest.Fault{Delay: 30 * time.Millisecond})
	start := time.Now()
	if status, _, _ := ask(); status != 200 || time.Since(start) < 30*time.Millisecond || s.States("production")["f"] {
		t.Errorf("%d after %v", status, time.Since(start))
	}
	s.SetFault(vwotest.Fault{Hang: true})
	hung := make(chan error, 1)
	go func() { _, _, err := ask(); hung <- err }()
	for s.Requests() < 5 {
		time.Sleep(time.Millisecond)
	}
	s.Release()
	if err := <-hung; err == nil || errors.Is(err, http.ErrHandlerTimeout) {
		t.Errorf("%v", err)
	}
}

func TestServerCountsRequestsPerInterval(t *testing.T) {
	s := vwotest.NewHandler(vwotest.Config{Interval: time.Hour})
	for _, want := range []int{401, 429} {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v2/accounts/current/features", nil)); w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
}
