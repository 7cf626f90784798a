package killswitch_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// flags is a flag system of one's own: here a map, elsewhere a table or an API.
type flags map[string]bool

var _ killswitch.Toggler = flags{}

func (f flags) Toggle(_ context.Context, s killswitch.Switch) (killswitch.State, error) {
	if f == nil {
		return killswitch.StateUnknown, killswitch.RetryAfter(errors.New("flags: not loaded yet"), time.Second)
	}
	was, found := f[s.Target.Flag]
	if !found {
		return killswitch.StateUnknown, killswitch.Final(fmt.Errorf("flags: there is no %q", s.Target.Flag))
	}
	f[s.Target.Flag] = s.On
	return killswitch.StateOf(was), nil
}

// One method makes any flag system one that alerts can switch.
func ExampleToggler() {
	f := flags{"new-checkout": true}
	was, err := f.Toggle(context.Background(), killswitch.Switch{
		Target: killswitch.Target{Flag: "new-checkout"}, Alert: "Checkout failing", Trigger: "event_alert.triggered",
	})
	fmt.Println(was, f["new-checkout"], err)

	_, err = f.Toggle(context.Background(), killswitch.Switch{Target: killswitch.Target{Flag: "old-checkout"}})
	toggleError, _ := errors.AsType[*killswitch.ToggleError](err)
	fmt.Println(err, toggleError.Final)
	// Output:
	// on false <nil>
	// flags: there is no "old-checkout" true
}
