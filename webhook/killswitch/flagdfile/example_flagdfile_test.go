package flagdfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/flagdfile"
)

// An alert switches a flag off in the file that flagd watches.
func ExampleNew() {
	folder, err := os.MkdirTemp("", "flagdfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "flags.json")
	definition := `{
  "flags": {
    "new-checkout": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" }
  }
}
`
	if err := os.WriteFile(path, []byte(definition), 0o644); err != nil {
		fmt.Println(err)
		return
	}

	toggler, err := flagdfile.New(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	was, err := toggler.Toggle(context.Background(), killswitch.Switch{Target: killswitch.Target{Flag: "new-checkout"}})
	now, _ := os.ReadFile(path)
	fmt.Println("was", was, err)
	fmt.Print(string(now))
	// Output:
	// was on <nil>
	// {
	//   "flags": {
	//     "new-checkout": { "state": "DISABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" }
	//   }
	// }
}
