package vwotrack_test

import (
	"context"
	"fmt"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/vwo/vwotrack"
)

func ExampleWrap() {
	instance := &sdk{flags: map[string]*sdkFlag{"new_checkout": {enabled: true}}} // VWO's client, in a program
	flags := vwotrack.Wrap(instance, flagtrack.NewHook())

	flag, err := flags.GetFlag(context.Background(), "new_checkout", map[string]any{"id": "user-4711"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(flag.IsEnabled())
	// Output: true
}
