package setup_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentryflags/sentryflags-go/internal/setup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fileOf(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadConfig(t *testing.T) {
	for content, problem := range map[string]string{
		`{"wait": "15m"}`:                "",
		`{"wait": "15m"} ` + "\n":        "",
		"\ufeff{\"wait\": \"15m\"}\r\n":  "",
		`{"wait": "15m"} {}`:             "after top-level value",
		`{"wait": "15m"} x`:              "after top-level value",
		`{"wait": "soon"}`:               "duration",
		`{"wait": "15m", "weight": "1"}`: "weight",
		`{"wait": "1m", "wait": "15m"}`:  "duplicate",
		`{"Wait": "15m"}`:                "unknown field",
		``:                               "EOF",
	} {
		var c struct {
			Wait setup.Duration `json:"wait"`
		}
		err := setup.ReadConfig(fileOf(t, content), &c)
		switch {
		case problem == "" && (err != nil || time.Duration(c.Wait) != 15*time.Minute):
			t.Errorf("%s: %v, %v", content, c, err)
		case problem != "" && (err == nil || !strings.Contains(err.Error(), problem)):
			t.Errorf("%s: %v, want %s", content, err, problem)
		}
	}
	for content, want := range map[string]string{
		"\ufeff{\"wait\":\r\n\"15m\"}":            "",
		"{\n \"wiat\": 1}":                        "line 2: unknown field wiat: ",
		"{\n \"rules\": [{}, {\n  \"name\": 1}]}": "line 3: rules/1/name has to be a text in quotes",
		"{\"rules\": {}}":                         "line 1: rules has to be a list",
		"{\"rules\": [\n{\"on\": \"true\"}]}":     "line 2: rules/0/on has to be true or false, without quotes",
		"{\"rules\": [{\"most\": \"20\"}]}":       "rules/0/most has to be a number, without quotes",
		"{\"rules\": [7]}":                        "rules/0 has to be an object",
		"[]":                                      "the document has to be an object",
		"{\n\"wait\": 15}":                        "line 2: wait",
		"{\n\"wait\": \"15m\",\n}":                "line 2: ",
		"{ // a comment\n}":                       "line 1: ",
		"{\n\"rules\": [{\"nam\": \"x\"}]}":       "line 2: unknown field rules/0/nam: ",
	} {
		var c struct {
			Wait  setup.Duration `json:"wait"`
			Rules []struct {
				Name string `json:"name"`
				On   bool   `json:"on"`
				Most int    `json:"most"`
			} `json:"rules"`
		}
		err := setup.ReadConfig(fileOf(t, content), &c)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ")) {
			t.Errorf("%s: %v, want %s", content, err, want)
		}
	}
	if err := setup.ReadConfig(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestServePage(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	var log strings.Builder
	stop, err := setup.ServePage(t.Context(), "127.0.0.1:0", page, "program", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(log.String()), `msg="program: the console listens" console=`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "hello" {
		t.Errorf("%s %v", body, err)
	}
	response.Body.Close()
	if _, err := setup.ServePage(context.Background(), address, page, "program", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("the address was free")
	}
	before := log.String()
	stop()
	if log.String() != before {
		t.Errorf("a clean end says %s", log.String()[len(before):])
	}
	if response, err := client.Do(request); err == nil {
		response.Body.Close()
		t.Error("the page answers after its end")
	}
}
