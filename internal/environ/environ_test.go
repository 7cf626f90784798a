package environ_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/internal/environ"
)

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
		{path: filepath.Join(t.TempDir(), "none"), problem: "NAME_FILE: open "},
		{value: treasure, path: fileOf(t, treasure), problem: "NAME and NAME_FILE exclude each other"},
		{value: "größe12", problem: "the password of NAME has to have at least 8 characters"},
		{path: fileOf(t, "treasur"), problem: "the password of NAME has to have at least 8 characters"},
		{value: "größe123", want: "größe123"},
	} {
		env := map[string]string{"NAME": test.value, "NAME_FILE": test.path}
		got, err := environ.Password(func(name string) string { return env[name] }, "NAME", 8)
		switch {
		case got != test.want, (err != nil) != (test.problem != ""):
			t.Errorf("%q, %s: %q, %v", test.value, test.path, got, err)
		case err != nil && (!strings.HasPrefix(err.Error(), test.problem) || strings.Contains(err.Error(), "treasur")):
			t.Errorf("%q, %s: %v, want %s", test.value, test.path, err, test.problem)
		}
	}
}
