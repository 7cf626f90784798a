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

func TestPassword(t *testing.T) {
	const treasure = "treasure"
	for _, test := range []struct {
		value, path string
		want        string
		problem     string
	}{
		{},
		{value: " " + treasure + "\n", want: treasure},
		{value: " \t"},
		{path: fileOf(t, "\n"+treasure+" \n"), want: treasure},
		{path: fileOf(t, "\ufeff"+treasure+"\r\n"), want: treasure},
		{path: fileOf(t, "\ufeff"), problem: "NAME_FILE: the file is empty"},
		{path: fileOf(t, strings.Repeat("x", 64<<10)), want: strings.Repeat("x", 64<<10)},
		{path: fileOf(t, treasure+strings.Repeat(" ", 64<<10)), problem: "NAME_FILE: the file is longer than 65536 bytes"},
		{path: fileOf(t, " \n"), problem: "NAME_FILE: the file is empty"},
		{path: t.TempDir(), problem: "NAME_FILE: "},
		{path: filepath.Join(t.TempDir(), "none"), problem: "NAME_FILE: "},
		{value: treasure, path: fileOf(t, treasure), problem: "NAME and NAME_FILE exclude each other"},
		{value: "größe12", problem: "the password of NAME has to have at least 8 characters"},
		{path: fileOf(t, "treasur"), problem: "the password of NAME has to have at least 8 characters"},
		{value: "größe123", want: "größe123"},
	} {
		env := map[string]string{"NAME": test.value, "NAME_FILE": test.path}
		got, err := setup.Password(func(name string) string { return env[name] }, "NAME", 8)
		switch {
		case got != test.want, (err != nil) != (test.problem != ""):
			t.Errorf("%q, %s: %q, %v", test.value, test.path, got, err)
		case err != nil && (!strings.HasPrefix(err.Error(), test.problem) || strings.Contains(err.Error(), "treasur")):
			t.Errorf("%q, %s: %v, want %s", test.value, test.path, err, test.problem)
		}
	}
}

func TestReadConfig(t *testing.T) {
	for content, problem := range map[string]string{
		`{"wait": "15m"}`:                "",
		`{"wait": "15m"} ` + "\n":        "",
		`{"wait": "15m"} {}`:             "more than one object",
		`{"wait": "15m"} x`:              "more than one object",
		`{"wait": "soon"}`:               "duration",
		`{"wait": "15m", "weight": "1"}`: "weight",
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
