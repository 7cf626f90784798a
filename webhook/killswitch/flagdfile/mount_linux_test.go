package flagdfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// TestCheckFindsMounts has the file as a mount of its own, as docker run -v makes
// it. Only a rename would show that, and a check makes none.
func TestCheckFindsMounts(t *testing.T) {
	folder := filepath.Join(t.TempDir(), `flags of "shop" \ 2026`)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "flags.json")
	if err := os.WriteFile(path, []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	toggler := newToggler(t, path)
	target := killswitch.Target{Flag: "new-checkout"}
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`).Replace(path)
	const root = "1 0 0:1 / / rw - overlay overlay rw\n"
	for list, mounted := range map[string]bool{
		root: false,
		root + fmt.Sprintf("2 1 0:2 /flags.json %s rw,relatime shared:1 - ext4 /dev/sda1 rw\n", escaped):        true,
		root + fmt.Sprintf("2 1 0:2 / %s rw - ext4 /dev/sda1 rw\n", strings.TrimSuffix(escaped, "/flags.json")): false,
		root + fmt.Sprintf("2 1 0:2 /flags.json %s.bak rw - ext4 /dev/sda1 rw\n", escaped):                      false,
		"\n \\ \\0 \\999 \\x \\\n2 1 0:2 / \\9 x\n":                                                             false,
	} {
		mountInfoIs(t, list)
		if err := toggler.Check(t.Context(), target); errors.Is(err, ErrUnsupported) != mounted || (err != nil) != mounted {
			t.Errorf("%s: %v", list, err)
		}
	}
	mountInfo = filepath.Join(folder, "none")
	if err := toggler.Check(t.Context(), target); err != nil {
		t.Errorf("without a list: %v", err)
	}
	leftovers(t, path)
}

func mountInfoIs(t *testing.T, list string) {
	t.Helper()
	before := mountInfo
	t.Cleanup(func() { mountInfo = before })
	mountInfo = write(t, list)
}
